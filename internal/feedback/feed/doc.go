// Package feed brings counts from metrics engines to objectives: what somebody
// else's Prometheus has seen becomes slots of good and total.
//
// A tour:
//
//   - source.go: which engine an indicator is counted on: the DataSource that it
//     names, or the default; and the indicator in the words of port/metric.
//   - progress.go: what of an indicator's past has been read. It is kept with
//     the slots' store, so that a restart goes on where it was.
//   - feeder.go: the chore. Once a minute is over, and targets have had time to
//     be scraped once more, it is read for all indicators of a source at once,
//     with the minutes before it again, for what came late. Meanwhile the past
//     is read, newest first, in bounded pieces: an hour, the rest of the day,
//     days.
//   - operations.go: flyball slo sources, where objectives' counts come from,
//     and what is wrong with them.
//
// A minute about which the engine knows nothing is a gap. A source that fails
// is asked again, later and later; nothing is recorded meanwhile, and what was
// missed is read when it is back.
package feed
