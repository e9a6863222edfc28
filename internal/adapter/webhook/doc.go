// Package webhook delivers messages by HTTP POST, signed as the Standard
// Webhooks specification 1.0 says: the headers webhook-id, webhook-timestamp
// and webhook-signature, an HMAC-SHA256 over "id.timestamp.body".
//
// sign.go signs and verifies; guard.go decides which network addresses may be
// connected to, at dial time, after the name was resolved, so that a name that
// points to a private address later (DNS rebinding) is no way in; send.go is
// the notify.Notifier.
package webhook
