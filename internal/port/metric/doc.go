// Package metric is the port to a metrics engine that speaks PromQL: the
// embedded one, or any server with the HTTP API of Prometheus (Thanos, Mimir,
// VictoriaMetrics).
//
// An Engine answers in three ways. Query and QueryRange evaluate an expression,
// with everything PromQL does to it: lookback, staleness, extrapolation.
// Samples gives what was stored, nothing computed, which is what exact counts
// are made of. A Discovery tells which metrics, labels and series there are.
//
// Answers are plain values, whole or not at all: an engine that knows it
// answers in part (a store that is down behind Thanos) says so in
// Result.Partial. They are bounded by Limits; a larger one is an error, not a
// shortened answer, except for discovery, which says More.
//
// A Counter stands on an Engine: it counts the good and total events of
// indicators, slot by slot, from stored samples where it can.
//
// Times are Unix milliseconds, as in Prometheus' store, and spans hold their
// beginning and not their end: [From, Until).
//
// Errors are problems: Invalid for an expression that cannot be read or an
// answer beyond the limits (ask for a shorter span), Denied for credentials
// that are refused, NotFound where the engine lacks what is asked (an HTTP API
// without metadata), Unavailable, with RetryAfter where known, for everything
// that may pass. metrictest checks all this of every adapter.
package metric
