// Package remote asks a server with the HTTP API of Prometheus: Prometheus 2.42
// or later, Thanos, Mimir, VictoriaMetrics. It is port/metric's adapter for an
// engine that is somewhere else.
//
// The address is one that was declared in git: loopback and private networks
// are allowed, link-local addresses (the credentials of cloud machines) are
// not, and no redirect is followed. Secrets are looked up for each request and
// kept nowhere. Answers are read up to a bound. A server that says 429 or 503
// is left alone for as long as it asks, or for a time that doubles.
//
// Stored samples come by remote read, as the chunks in which Prometheus keeps
// them, which costs both sides far less than JSON. A server without it, with
// external labels (which remote read adds and a query does not), or whose
// configuration cannot be seen, is asked by queries, as are native histograms.
package remote
