// Package query reads PromQL the way objectives need it: it finds out which
// events an expression counts, and counts them from stored samples.
//
// An expression such as sum(rate(http_requests_total{code!~"5.."}[5m])) says
// which events are meant; what rate does beyond that (extrapolate to the edges
// of its window, skip the first sample of a series) makes the number
// approximate. So Counter takes the expression apart (parse.go), reads the raw
// samples of its selectors in few requests (selector.go, fetch.go), and adds up
// what really happened, in slots of a minute. Expressions that are no sums of
// counters are evaluated by the engine, once per slot (evaluate.go), and say so.
//
// The rules of counting (differences.go, slots.go):
//
//   - Between two samples of a series the counter rose by their difference; if
//     it fell, the process began again at 0, and it rose by the later value.
//   - A series that begins counts from 0 when its target is known to have been
//     scraped just before without it: another series of the same metric and
//     target has samples at that scrape and at the next. Failing that, when the
//     target's process_start_time_seconds is at most metric.Reach ago, it counts
//     from 0 since then; or since the last scrape that up tells of, if the value
//     is small (maxFirst). Otherwise its first value is only where counting begins.
//   - A difference that spans the edge of a slot is split in proportion to time,
//     in whole events, and its parts sum to it. Series scraped together are added
//     up first, so that good stays at most total.
//   - Two samples further apart than metric.Reach have a gap between them, as do
//     two with a reset and a missed scrape between them: how much happened, or
//     when, is not known, and no slot says anything.
//   - A slot is known when total covers it: some target was scraped before and
//     after, with holes of at most one scrape interval.
//
// The same samples give the same slots, whatever span they are read in.
package query
