package judge

import (
	"math"
	"time"
)

// Verdict is what to do with a canary.
type Verdict string

// The verdicts.
const (
	Back Verdict = "back" // it is worse: return to the baseline
	On   Verdict = "on"   // the next step's harm is affordable: take it
	Hold Verdict = "hold" // neither yet: stay at this weight
)

// Choice is what a service wants when a hold reaches its deadline.
type Choice string

// The choices at a deadline.
const (
	Ask    Choice = "ask"  // keep holding and ask a person; the default
	GoBack Choice = "back" // return to the baseline
	GoOn   Choice = "on"   // take the step, with "without evidence" in the verdict
)

// Metric is one measure of badness, such as errors or slow requests, with what
// has been seen of it and what may be spent on it.
type Metric struct {
	Name   string  `json:"name"`
	Config Config  `json:"config"` // Alpha already divided by the number of metrics
	State  State   `json:"state"`
	Budget float64 `json:"budget"` // bad requests left in the objective's budget; of a full window for a young service
	Share  float64 `json:"share"`  // φ: the part of it one change may spend before it is stopped, 0 to 1
}

// Step is the next step of a rollout.
type Step struct {
	Weight  float64       `json:"weight"`  // ceiling of the canary's share of traffic, 0 to 1
	Current float64       `json:"current"` // its share now, 0 to 1
	Rate    float64       `json:"rate"`    // requests a second to both arms together
	Time    time.Duration `json:"time"`    // until the next possible verdict, in nanoseconds: at least the step's minimum duration
}

// Input is all that [Decide] looks at.
type Input struct {
	Now        time.Time `json:"now"`
	Metrics    []Metric  `json:"metrics"`
	Next       Step      `json:"next"`
	Earliest   time.Time `json:"earliest,omitzero"`     // end of the present step's minimum duration; no going on before
	Deadline   time.Time `json:"deadline,omitzero"`     // when a hold ends by the service's choice; zero for never
	OnDeadline Choice    `json:"on_deadline,omitempty"` // empty is Ask
}

// MetricEvidence is the evidence of one metric and what the next step needs of
// it.
type MetricEvidence struct {
	Metric string `json:"metric"`
	Evidence
	NeededExcess float64 `json:"needed_excess"` // the ceiling is affordable once ExcessUpper is at most this; at most 1
	AtStake      float64 `json:"at_stake"`      // excess bad requests the ceiling could cost at worst
	Allowed      float64 `json:"allowed"`       // what may be spent: share × budget
}

// Decision is a verdict with everything it rests on.
type Decision struct {
	Verdict         Verdict          `json:"verdict"`
	Reason          string           `json:"reason"`            // a sentence for people
	Culprit         string           `json:"culprit,omitempty"` // the metric that sent it back or holds it
	Weight          float64          `json:"weight"`            // on: the weight to take, at most the ceiling
	Wait            time.Duration    `json:"wait,omitempty"`    // hold: expected time to a verdict in nanoseconds; 0 is unknown
	WithoutEvidence bool             `json:"without_evidence,omitempty"`
	Overdue         bool             `json:"overdue,omitempty"` // hold past its deadline: a person is asked
	Evidence        []MetricEvidence `json:"evidence"`          // in the order of the metrics
}

// worthwhile is how much larger than the present weight a step below its
// ceiling must be; smaller ones are churn.
const worthwhile = 1.25

// sharpest is the weight at which two arms compare best. A step below its
// ceiling does not go beyond: it would expose more and learn less.
const sharpest = 0.5

// Decide gives the verdict: back when any metric's evidence has reached
// 1/alpha, on when no metric puts the canary in doubt and every metric can
// afford the next step or a worthwhile part of it, else hold. It is pure: the same input gives the same decision.
func Decide(in Input) Decision {
	d := Decision{Verdict: Hold}
	for _, m := range in.Metrics {
		d.Evidence = append(d.Evidence, m.evidence(in.Next))
	}
	if i := culprit(d.Evidence); i >= 0 {
		d.Verdict, d.Culprit = Back, in.Metrics[i].Name
		d.Reason = backReason(d.Evidence[i])
		return d
	}
	weight, limiting := affordableWeight(in, d.Evidence)
	if weight < in.Next.Weight {
		weight = min(weight, sharpest)
	}
	enough := weight >= in.Next.Weight || weight >= worthwhile*in.Next.Current && weight >= 0.01
	if in.Now.Before(in.Earliest) {
		d.Wait = in.Earliest.Sub(in.Now)
		d.Reason = earlyReason(d)
		return d
	}
	if i := in.doubtful(d.Evidence); i >= 0 {
		d.Culprit, d.Wait = in.Metrics[i].Name, untilCrossing(in.Metrics[i].State, d.Evidence[i])
		d.Reason = doubtReason(d, d.Evidence[i])
		return deadline(in, d, true)
	}
	if limiting >= 0 && enough {
		d.Verdict, d.Weight = On, weight
		d.Reason = onReason(d, limiting)
		return d
	}
	if limiting >= 0 {
		d.Culprit = in.Metrics[limiting].Name
		d.Wait = in.wait(limiting, d.Evidence[limiting])
	}
	d.Reason = holdReason(d, limiting)
	return deadline(in, d, false)
}

// deadline applies the service's choice to a hold. A canary in doubt does not
// go on unasked: there is evidence, and it speaks against the canary.
func deadline(in Input, d Decision, doubt bool) Decision {
	if in.Deadline.IsZero() || in.Now.Before(in.Deadline) {
		return d
	}
	switch choice := in.OnDeadline; {
	case choice == GoBack:
		d.Verdict, d.Reason = Back, "Went back: the deadline passed without a verdict. "+d.Reason
	case choice == GoOn && !doubt:
		d.Verdict, d.Weight, d.WithoutEvidence = On, in.Next.Weight, true
		d.Reason = "Going on to " + percent(d.Weight) + " without evidence: the deadline passed. " + d.Reason
	default:
		d.Overdue = true
		d.Reason += "; the deadline has passed, a person decides"
	}
	return d
}

func (m Metric) evidence(next Step) MetricEvidence {
	e := MetricEvidence{Metric: m.Name, Evidence: m.Config.Evidence(m.State)}
	e.NeededExcess = min(1, largestExcess(next.Weight, next.Rate, next.Time, m.Share, m.Budget))
	e.AtStake = max(0, e.ExcessUpper) * next.Weight * next.Rate * next.Time.Seconds()
	e.Allowed = max(0, m.Share*m.Budget)
	return e
}

// culprit is the metric that crossed first, −1 if none did.
func culprit(all []MetricEvidence) int {
	first := -1
	for i, e := range all {
		if !e.CrossedAt.IsZero() && (first < 0 || e.CrossedAt.Before(all[first].CrossedAt)) {
			first = i
		}
	}
	return first
}

// doubtful is the metric by which the canary is visibly worse although that is
// not proven yet, −1 if there is none. However affordable its next step is, such
// a canary waits for the evidence to be settled.
//
// It is in doubt halfway to the verdict, when E has reached 1/√alpha, and while
// the excess since the warm-up is surely above what is tolerated. An equal
// canary ever gets there with probability √alpha and alpha/2 (Ville).
func (in Input) doubtful(all []MetricEvidence) int {
	for i, e := range all {
		m := in.Metrics[i]
		if e.LogE >= -math.Log(e.Alpha)/2 || m.State.Excess.settledLower(e.Alpha/2) > m.Config.Tolerated*e.Baseline.Ratio() {
			return i
		}
	}
	return -1
}

// untilCrossing is the expected time until E reaches 1/alpha if it goes on
// rising as it has, 0 if it does not rise.
func untilCrossing(s State, e MetricEvidence) time.Duration {
	from := s.Started
	if e.WarmUntil.After(from) {
		from = e.WarmUntil
	}
	if e.LogE <= 0 || !e.Until.After(from) {
		return 0
	}
	left := -math.Log(e.Alpha) - e.LogE
	return time.Duration(left / e.LogE * float64(e.Until.Sub(from)))
}

// affordableWeight is the weight that every metric can afford, and the metric
// that affords least (−1 without metrics).
func affordableWeight(in Input, all []MetricEvidence) (weight float64, limiting int) {
	weight, limiting = math.Inf(1), -1
	for i, m := range in.Metrics {
		w := LargestAffordable(all[i].ExcessUpper, in.Next.Weight, in.Next.Rate, in.Next.Time, m.Share, m.Budget)
		if w < weight {
			weight, limiting = w, i
		}
	}
	return min(weight, in.Next.Weight), limiting
}

// wait is the expected time until metric i affords the ceiling.
func (in Input) wait(i int, e MetricEvidence) time.Duration {
	m := in.Metrics[i]
	wait, _ := m.Config.ExpectedWait(m.State, e.NeededExcess, in.Next.Rate*in.Next.Current)
	return wait
}
