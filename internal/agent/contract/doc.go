// Package contract is what the agent and its clients say to each other: the
// desired document, what is observed, and errors, as JSON over HTTP on a unix
// socket.
//
//	GET  /desired        the Document in effect
//	PUT  /desired        replace it: compare-and-set, on disk before the answer
//	POST /refresh        Refresh: renew the lease of a route
//	GET  /observed       Observed; ?service= and ?environment= narrow it
//	GET  /output         a workload.Chunk; ?service, environment, revision, instance, offset, limit
//	GET  /bins           a measure.Page; ?after=, ?max=
//	POST /bins/ack       Ack
//	GET  /healthz        200 while the agent serves
//	GET  /metrics        OpenMetrics
//
// A PUT is accepted when the document's epoch is not older than the one in
// effect and its generation is the next one. Repeating the document in effect
// succeeds, so a client that lost the answer just asks again. Everything else
// is a conflict that says what is in effect.
//
// Durations are in nanoseconds, weights in basis points, times in RFC 3339.
package contract
