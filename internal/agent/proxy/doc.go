// Package proxy is the part of the data plane that requests pass through: a
// reverse proxy for HTTP/1.1, HTTP/2, WebSocket, streams and gRPC that divides
// requests among the revisions of a service by weight, and counts what became
// of them.
//
// # Routing
//
// A Table is the complete routing wanted. Apply checks it whole and swaps it
// atomically; requests on their way are not touched. A request takes the route
// of its host and path, then a revision drawn by weight, then the less busy of
// two instances drawn at random. Instances that keep failing are left alone for
// a while, though never more than half of a revision's. An attempt is repeated
// only where that cannot do harm, and only at the same revision, so that no
// revision answers for another.
//
// # Counting
//
// A request belongs to the second in which it arrived, and is bad if it has not
// ended well within its route's limit. A Bin is therefore final when its second
// is over and every request in it has ended or passed the limit: a revision
// that hangs is bad, not absent. Bins are published in order of time for each
// service, kept until acknowledged, in a spool file if there is one, and never
// change. Watermark says up to when nothing is missing.
//
// What is the client's doing (it went away, its body broke) is counted apart
// and never as an error; what the proxy fails itself is counted apart as faults.
// WebSocket, server-sent events and gRPC count by their response header.
//
// # Where to look
//
// table.go says what routing is possible, proxy.go what can be asked, forward.go
// follows one request, meter.go counts it without locks, ledger.go and spool.go
// keep the bins, endpoint.go knows the instances, metrics.go is /metrics.
package proxy
