package incident

import (
	"math"
	"time"
)

// Slot is what one objective counted in one slot of time.
type Slot struct {
	At    time.Time // its beginning
	Total int64
	Bad   int64
}

// Onset is when trouble began, as well as it is known.
type Onset struct {
	At    time.Time     `json:"at" doc:"when it began"`
	Width time.Duration `json:"width,omitempty" doc:"it is known to so many nanoseconds; zero when it is what the trigger says"`
	From  float64       `json:"from,omitempty" doc:"share of bad events before"`
	To    float64       `json:"to,omitempty" doc:"share of bad events since"`
}

// surely is how much more likely (as a logarithm) a change of the rate must make
// what was counted before it is believed.
const surely = 10

// changePoint finds the slot from which on more went wrong than before: the one
// that splits what was counted into two rates under which the counts are most
// likely (the maximum likelihood estimate of a single change point of Bernoulli
// trials; Hinkley and Hinkley, Biometrika 57, 1970). ok is false when one rate
// explains it as well.
func changePoint(slots []Slot, width time.Duration) (o Onset, ok bool) {
	var total, bad int64
	for _, s := range slots {
		total, bad = total+s.Total, bad+s.Bad
	}
	base := likelihood(bad, total)
	best := base + surely
	var before, badBefore int64
	for n, s := range slots {
		if n > 0 {
			after, badAfter := total-before, bad-badBefore
			l := likelihood(badBefore, before) + likelihood(badAfter, after)
			from, to := rate(badBefore, before), rate(badAfter, after)
			if l > best && to > from && before > 0 {
				best, ok = l, true
				o = Onset{At: s.At, Width: width, From: from, To: to}
			}
		}
		before, badBefore = before+s.Total, badBefore+s.Bad
	}
	return o, ok
}

func rate(bad, total int64) float64 {
	if total == 0 {
		return 0
	}
	return float64(bad) / float64(total)
}

// likelihood is the logarithm of how likely the counts are under their own rate.
func likelihood(bad, total int64) float64 {
	p := rate(bad, total)
	if p <= 0 || p >= 1 {
		return 0
	}
	return float64(bad)*math.Log(p) + float64(total-bad)*math.Log(1-p)
}
