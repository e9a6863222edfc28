// Package outbound is the way out to other people's servers: which addresses
// may be connected to, and one HTTP request with everything bounded.
//
// guard.go decides at dial time, after the name was resolved, so that a name
// that points to a private address later (DNS rebinding) is no way in. It stands
// before every connection that users or files choose: webhooks, channels, probes,
// scrapes and metrics servers. client.go posts for the channels that are HTTP
// APIs: no redirects, no proxy (the guard must see the receiver's own address),
// a short look at the answer, and one reading of what a status means.
package outbound
