package judge

import (
	"fmt"
	"time"
)

// Conclusion is the verdict on counts that are complete, with no step to take
// and no budget to spend: recorded data, or another tool's canary.
type Conclusion struct {
	Verdict  Verdict   `json:"verdict"`
	At       time.Time `json:"at,omitzero"` // the crossing for back, else the end of the last bin; zero without data
	Reason   string    `json:"reason"`      // a sentence for people
	Evidence Evidence  `json:"evidence"`
}

// Conclude gives back if the evidence has reached 1/alpha, on if the canary's
// excess bad ratio is below tolerance (0 to 1), else hold. Call
// [Config.Flush] first.
func (c Config) Conclude(s State, tolerance float64) Conclusion {
	e := c.Evidence(s)
	switch {
	case s.Crossed != nil:
		return Conclusion{Back, e.CrossedAt, backReason(MetricEvidence{Evidence: e}), e}
	case e.ExcessUpper < tolerance:
		reason := fmt.Sprintf("May go on: excess at most %s, below the tolerance of %s, after %s",
			percent(e.ExcessUpper), percent(tolerance), requestsSeen(e.Canary))
		return Conclusion{On, e.Until, reason, e}
	}
	reason := "Held: " + requestsSeen(e.Canary) + " so far, "
	rate := 0.0
	if e.Canary.Requests > 0 {
		rate = float64(e.Canary.Requests) / s.Until.Sub(s.Started).Seconds()
	}
	if wait, ok := c.ExpectedWait(s, tolerance, rate); ok && wait > 0 {
		reason += "about " + duration(wait) + " to a verdict"
	} else {
		reason += "no verdict in sight at this traffic"
	}
	return Conclusion{Hold, e.Until, reason, e}
}
