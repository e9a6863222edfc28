// Package judge compares two arms of live traffic, a baseline and a canary,
// and says whether the canary should go back, may go on, or is held until
// more is known. It is pure statistics: it knows no service, reads no clock
// and does no I/O, so that a rollout, a flag variant, an experiment, a
// simulation and a replay all reach the same verdict from the same counts.
//
// A tour, in the order in which counts travel:
//
//   - [Bin] is what arrived in one span of time, per arm: requests and bad
//     requests. A request belongs to the bin in which it arrived, and is bad
//     once its limit has passed, even if it is still open.
//   - [Config.Advance] folds bins into a [State]. Narrow bins are merged into
//     windows (10 s by default), so that failures which come in bursts are
//     seen as one event, not as many independent ones.
//   - betting.go turns windows into an E-value: evidence that the canary's
//     share of bad requests exceeds its share of requests. One may look at
//     any time; when both arms are alike, it reaches 1/alpha with probability
//     at most alpha, ever.
//   - excess.go turns the same windows into a confidence interval for the
//     canary's bad ratio minus the baseline's, which also holds at all times
//     together.
//   - [Affordable] and [LargestAffordable] weigh that interval against the
//     error budget: a step is taken when the harm it could still do can be
//     paid for. [ExpectedWait] says how long until then.
//   - [Decide] puts it together for several metrics and gives a [Decision]:
//     back, on or hold, with the reason in words.
//   - mixture.go has the single-sample and independent-count tests from the
//     same literature, for other uses.
//
// Everything that is kept between calls is a plain value that survives JSON
// exactly, because it is folded into events and read back. docs/judge.md
// gives the formulas, the sources and the measured error rates.
package judge
