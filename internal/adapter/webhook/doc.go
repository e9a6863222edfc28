// Package webhook delivers messages by HTTP POST, signed as the Standard
// Webhooks specification 1.0 says: the headers webhook-id, webhook-timestamp
// and webhook-signature, an HMAC-SHA256 over "id.timestamp.body".
//
// sign.go signs and verifies; send.go is the notify.Notifier. Which network
// addresses may be connected to is the business of package outbound.
package webhook
