package web

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/judge"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

type rolloutListBody struct {
	Lead    string
	Service string
	Moving  bool
	Items   []rollout.Rollout
	Next    string
}

func (s *site) rolloutList(v *visit) (page, error) {
	b := rolloutListBody{Service: v.URL.Query().Get("service"), Moving: v.URL.Query().Get("moving") == "true"}
	f := v.filter("all", "yes")
	switch {
	case b.Moving:
		f.Index = "moving"
	case b.Service != "":
		f.Index, f.Value = "service", b.Service
	}
	var err error
	if b.Items, b.Next, err = projection.List[rollout.Rollout](v.ctx, v.reader, rollout.ProjectionName, f); err != nil {
		return page{}, err
	}
	moving, _, err := projection.List[rollout.Rollout](v.ctx, v.reader, rollout.ProjectionName, projection.Filter{Index: "moving", Value: "yes", Limit: projection.MaxPage})
	switch n := len(moving); {
	case n == 0:
		b.Lead = "Nothing is moving."
	default:
		b.Lead = plural(n, "rollout is moving", "rollouts are moving") + "."
	}
	return page{Template: "rollouts", Title: "Rollouts", Section: "rollouts", Live: "rollout.", Body: b}, err
}

// pageSize is how many rows a list shows at once.
const pageSize = 50

// filter is the part of a list that the query asks for, newest first.
func (v *visit) filter(index, value string) projection.Filter {
	return projection.Filter{Index: index, Value: value, After: v.URL.Query().Get("after"), Limit: pageSize, Newest: true}
}

// arm is the evidence on one metric.
type arm struct {
	rollout.Metric
	judge.Evidence
	Limit float64 // E-value at which it goes back
}

type rolloutBody struct {
	rollout.Rollout
	Lead    string
	Verdict string
	State   string
	Change  change.Change
	Arms    []arm
	Split   chart
	Weigh   chart // evidence
	Excess  chart
	Actions []control
	Refused string // why the visitor sees no buttons
}

// control is a button that calls an operation.
type control struct {
	Operation string
	Label     string
	Tone      string
}

func (s *site) rollout(v *visit) (page, error) {
	name := v.PathValue("name")
	r, ok, err := rollout.Get(v.ctx, v.reader, name)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "rollout.show", "there is no rollout named %q", name).WithNext("the list of rollouts shows what there is")
	}
	if err != nil {
		return page{}, err
	}
	b := rolloutBody{Rollout: r, State: rolloutState(r), Arms: armsOf(r)}
	if b.Change, _, err = change.Get(v.ctx, v.reader, r.Change); err != nil {
		return page{}, err
	}
	b.Lead = rolloutLead(r)
	b.Verdict = sentence(strings.TrimPrefix(r.Reason, "Went back: "))
	b.draw(v.now)
	b.Actions, b.Refused = s.interventions(v, r)
	live := "rollout.,action."
	return page{Template: "rollout", Title: name, Section: "rollouts", Live: live, Charts: true, Body: b}, nil
}

// rolloutState is the word for how a rollout stands.
func rolloutState(r rollout.Rollout) string {
	switch {
	case r.Outcome != "":
		return r.Outcome
	case r.Asked:
		return "asked"
	case r.Paused != nil:
		return "paused"
	}
	return string(r.Phase)
}

// rolloutLead answers where the rollout stands.
func rolloutLead(r rollout.Rollout) string {
	what := fmt.Sprintf("%s of %s", short(r.Revision), r.Service)
	took := span(r.FinishedAt.Sub(r.StartedAt))
	switch {
	case r.Outcome == "promoted":
		return fmt.Sprintf("%s serves everybody in %s, %s after it started.", what, r.Environment, took)
	case r.Outcome != "" && r.Ended != nil:
		return fmt.Sprintf("%s %s in %s at %s, %s after it started.", what, word(r.Outcome), r.Environment, points(r.Ended.Weight), took)
	case r.Outcome != "":
		return fmt.Sprintf("%s %s in %s.", what, word(r.Outcome), r.Environment)
	case r.Paused != nil:
		return fmt.Sprintf("%s is paused at %s in %s by %s: %s", what, points(r.Weight), r.Environment, who(r.Paused.By), sentence(r.Paused.Reason))
	case r.Asked:
		return fmt.Sprintf("%s waits at %s in %s for a person to choose.", what, points(r.Weight), r.Environment)
	case r.Phase == rollout.PhaseGoingBack:
		return fmt.Sprintf("%s is going back in %s.", what, r.Environment)
	case r.Weight == 0:
		return fmt.Sprintf("%s is starting in %s.", what, r.Environment)
	}
	return fmt.Sprintf("%s has %s of the traffic in %s.", what, points(r.Weight), r.Environment)
}

func armsOf(r rollout.Rollout) []arm {
	cfg := r.Judging()
	var out []arm
	for _, m := range r.Metrics {
		e := cfg.Evidence(m.State)
		out = append(out, arm{Metric: m, Evidence: e, Limit: 1 / e.Alpha})
	}
	return out
}

// draw makes the three pictures from the rollout's trace.
func (b *rolloutBody) draw(now time.Time) {
	zero, whole := 0.0, 100.0
	b.Split = chart{ID: "split", Title: "Traffic to " + short(b.Revision), Unit: "%", Min: &zero, Max: &whole,
		Caption: "share of the traffic that the new revision gets, over time", Series: []series{{Name: "share", Kind: "step", Tone: "accent"}}}
	b.Weigh = chart{ID: "evidence", Title: "Evidence against it", Log: true,
		Caption: "largest E-value of all metrics over time, with the line at which the canary goes back", Series: []series{{Name: "E", Kind: "line", Tone: "accent"}}}
	b.Excess = chart{ID: "excess", Title: "Excess of bad requests", Unit: "%",
		Caption: "share of bad requests beyond the baseline's, with the band it lies in at all times together",
		Series:  []series{{Name: "at least", Kind: "low", Tone: "accent"}, {Name: "at most", Kind: "high", Tone: "accent"}, {Name: "estimate", Kind: "line", Tone: "accent"}},
		Lines:   []line{{Name: "no worse than the baseline", At: 0, Tone: "idle"}}}
	trace := b.Trace
	if n := len(trace); n > 0 && b.FinishedAt.IsZero() && now.After(trace[n-1].Time) && now.Sub(trace[n-1].Time) < time.Hour {
		last := trace[n-1]
		last.Time = now
		trace = append(trace[:n:n], last)
	}
	if len(trace) > 0 {
		// Nobody had it when it started.
		trace = append([]rollout.Point{{Time: b.StartedAt}}, trace...)
	}
	limit := 2.0
	if len(b.Arms) > 0 {
		limit = math.Log10(b.Arms[0].Limit)
	}
	for i, p := range trace {
		b.Split.Times = append(b.Split.Times, p.Time)
		b.Split.Series[0].Values = append(b.Split.Series[0].Values, value(float64(p.Weight)/100))
		if i == 0 || p.Requests == 0 {
			continue
		}
		b.Weigh.Times = append(b.Weigh.Times, p.Time)
		b.Weigh.Series[0].Values = append(b.Weigh.Series[0].Values, value(p.LogE/math.Ln10))
		b.Excess.Times = append(b.Excess.Times, p.Time)
		for j, x := range []float64{p.Lower, p.Upper, p.Excess} {
			b.Excess.Series[j].Values = append(b.Excess.Series[j].Values, value(100*x))
		}
	}
	b.Excess.close()
	b.Weigh.Lines = []line{{Name: fmt.Sprintf("goes back at E = %s (α = %s)", number(math.Pow(10, limit)), percent(math.Pow(10, -limit), 0)), At: limit, Tone: "bad"}}
}

// close narrows a band's range to what its later half needs: with few requests
// anything is possible, and the beginning would flatten the rest.
func (c *chart) close() {
	low, high := 0.0, 0.0
	for i := len(c.Times) / 2; i < len(c.Times); i++ {
		for _, s := range c.Series {
			if v := s.Values[i]; v != nil {
				low, high = min(low, *v), max(high, *v)
			}
		}
	}
	low, high = 1.5*low, 1.5*high
	if high > low {
		c.Min, c.Max = &low, &high
	}
}

// interventions are the buttons the visitor may press.
func (s *site) interventions(v *visit, r rollout.Rollout) (out []control, refused string) {
	if r.Phase == rollout.PhaseFinished || r.Phase == rollout.PhaseGoingBack {
		return nil, ""
	}
	all := []control{{"rollout.pause", "Pause", ""}, {"rollout.promote", "Take the next step now", ""}, {"rollout.abort", "Take it back", "bad"}}
	if r.Paused != nil {
		all[0] = control{"rollout.resume", "Resume", ""}
	}
	for _, c := range all {
		if s.may(v, c.Operation, r.Team, r.Environment) {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		refused = "To pause it, take a step or take it back, sign in with a token that has the role developer for team " + r.Team + "."
	}
	return out, refused
}
