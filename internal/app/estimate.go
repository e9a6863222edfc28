package app

import (
	"fmt"
	"math"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// estimate says how long a canary of a service will take.
type estimate struct {
	Service     string  `json:"service"`
	Environment string  `json:"environment"`
	Seconds     float64 `json:"seconds"` // until everybody has a healthy change
	// Detected is after how many seconds a change that fails every request is
	// taken back; left out when the evidence comes too late for that.
	Detected float64 `json:"detected_seconds,omitempty"`
	Text     string  `json:"text"`
}

// cleanFor is about how many clean canary requests bring the upper bound of
// the excess down to u at the default confidence (docs/judge.md).
const cleanFor = 6.15

// estimates says, for each service and environment, how long a healthy change
// takes to reach everybody at the traffic declared, with a full budget.
func estimates(set *resource.Set) []estimate {
	services, names := resource.Specs[catalog.ServiceSpec](set, catalog.KindService)
	environments, places := resource.Specs[catalog.EnvironmentSpec](set, catalog.KindEnvironment)
	var out []estimate
	for i, s := range services {
		for j, e := range environments {
			svc := catalog.Service{Name: names[i].Name, ServiceSpec: s}
			if svc.In(places[j].Name) {
				out = append(out, estimateOf(svc, catalog.Environment{Name: places[j].Name, EnvironmentSpec: e}))
			}
		}
	}
	return out
}

func estimateOf(s catalog.Service, place catalog.Environment) estimate {
	e := estimate{Service: s.Name, Environment: place.Name}
	r := s.Rollout.Over(place.Rollout.WithDefaults())
	if s.Traffic == 0 {
		e.Text = fmt.Sprintf("%s in %s: say how much traffic is expected (traffic: 20/s) to learn how long a canary will take", s.Name, place.Name)
		return e
	}
	target := 0.999
	if a := s.Objectives.Availability; a != 0 {
		target = a.Ratio()
	}
	// u·R·T ≤ φ·B with B = (1 − target)·R·period: the rate cancels out.
	// T is that of the last step, 1/720 of the period; see docs/rollout.md.
	period := s.Objectives.Window.Seconds()
	needed := r.BudgetShare.Ratio() * (1 - target) * period / math.Max(period/720, r.StepDuration.Seconds())
	clean := cleanFor / math.Min(1, needed)
	total := 0.0
	for _, step := range r.Steps {
		seconds := r.StepDuration.Seconds()
		clean -= seconds * s.Traffic.PerSecond() * step.Ratio()
		total += seconds
	}
	if last := r.Steps[len(r.Steps)-1]; clean > 0 {
		total += clean / (s.Traffic.PerSecond() * last.Ratio())
	}
	e.Seconds = math.Round(total)
	e.Text = fmt.Sprintf("%s in %s: a healthy change takes about %s to reach everybody at %.3g requests/s with a full budget",
		s.Name, place.Name, span(time.Duration(e.Seconds)*time.Second), s.Traffic.PerSecond())
	if e.Seconds > r.Deadline.Seconds() {
		e.Text += fmt.Sprintf("; that is longer than the deadline of %s: a person will be asked. Consider onDeadline, fewer steps, or synthetic checks", span(r.Deadline))
	}
	if after, ok := rollout.Detection(s, place); ok {
		e.Detected = after.Seconds()
		e.Text += fmt.Sprintf("; one that fails every request is taken back after %s", span(after))
	} else {
		e.Text += fmt.Sprintf("\nwarning: %s in %s: at this traffic even a change that fails every request cannot be proven worse in the least times of its steps (%d × %s): "+
			"if the budget affords the steps, it reaches everybody. Use a longer rollout.stepDuration", s.Name, place.Name, len(r.Steps), span(r.StepDuration))
	}
	return e
}

// span is a time for a person, in one unit: 40 s, 6 min, 3 h, 2 d.
func span(d time.Duration) string {
	switch {
	case d < 90*time.Second:
		return fmt.Sprintf("%.0f s", math.Ceil(d.Seconds()))
	case d < 90*time.Minute:
		return fmt.Sprintf("%.0f min", math.Ceil(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", math.Ceil(d.Hours()))
	}
	return fmt.Sprintf("%.0f d", math.Ceil(d.Hours()/24))
}
