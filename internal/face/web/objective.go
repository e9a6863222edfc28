package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/budget"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

type objectiveBody struct {
	slo.Snapshot
	Key        string
	Team       string
	Lead       string
	Level      string
	Declared   bool // the service is in the catalog
	Status     slo.Status
	Past       []slo.AlertChanged
	Gauges     []gauge
	Ledger     *budget.Ledger
	Corrected  bool           // something is excluded: raw and adjusted differ
	Groups     []slo.Standing // fastest burning first
	MoreGroups int
	Down       chart
	Failed     chart
	Burning    chart
	Heat       heat
	Trial      trialBody
}

func (s *site) objective(v *visit) (page, error) {
	key := v.PathValue("name")
	o, err := s.snapshot(key)
	if err != nil {
		return page{}, err
	}
	b := objectiveBody{Snapshot: o, Key: key, Level: slo.LevelOf(o.Budget.RemainingRatio)}
	teams, err := v.teams()
	if err != nil {
		return page{}, err
	}
	b.Team, b.Declared = teams[o.Objective.Service]
	if b.Status, _, err = projection.Get[slo.Status](v.ctx, v.reader, slo.ProjectionName, key); err != nil {
		return page{}, err
	}
	b.Past = newest(b.Status.Past)
	p := page{Template: "objective", Title: key, Section: "objectives", Charts: true, Every: 30, Live: "budget.,alert.,rollout.started,rollout.finished"}
	if v.past {
		b.Lead, p.Body = notKept, b
		return p, nil
	}
	if err := s.spent(v, &b); err != nil {
		return page{}, err
	}
	if len(o.Objective.GroupBy) > 0 {
		l, err := s.o.Objectives.List(slo.ListInput{Of: key, Sort: "burn", Limit: listed})
		if err != nil {
			return page{}, err
		}
		b.Groups, b.MoreGroups = l.Standings, l.Chosen.Objectives-len(l.Standings)
	}
	b.Lead, b.Gauges = b.lead(v.now), gauges(o)
	if len(o.Objective.Parts) > 0 { // pictures and proposals are of its parts
		p.Body = b
		return p, nil
	}
	if err := s.draw(v, &b); err != nil {
		return page{}, err
	}
	if b.Trial, err = s.trial(v, key, slo.PreviewInput{Objective: key}); err != nil {
		return page{}, err
	}
	p.Body = b
	return p, nil
}

// snapshot is an objective's state by key.
func (s *site) snapshot(key string) (slo.Snapshot, error) {
	if s.o.Objectives == nil {
		return slo.Snapshot{}, problem.New(problem.NotFound, "slo.show", "this server measures no objectives")
	}
	return s.o.Objectives.Snapshot(key)
}

// spent asks who spent the budget. A place that is not in the catalog has no
// ledger, and neither has a visitor who may not see one.
func (s *site) spent(v *visit, b *objectiveBody) error {
	o := b.Objective
	report, ok, err := call[budget.Report](s, v, "budget.show", func(in any) error {
		*in.(*budget.ShowInput) = budget.ShowInput{Service: o.Service, Environment: o.Environment, Objective: o.Name}
		return nil
	})
	if kind := problem.KindOf(err); kind == problem.NotFound || kind == problem.Denied {
		return nil
	}
	if err != nil || !ok || len(report.Items) == 0 {
		return err
	}
	b.Ledger = &report.Items[0]
	b.Corrected = b.Ledger.Raw != b.Ledger.Adjusted
	return nil
}

// lead answers how the objective stands, since when, and what spends it.
func (b *objectiveBody) lead(now time.Time) string {
	o := b.Objective
	what := fmt.Sprintf("%s of %s in %s", o.Name, o.Service, o.Environment)
	leftText := share(b.Budget.RemainingRatio)
	by := ""
	if b.Ledger != nil && b.Ledger.Adjusted.Bad > 0 {
		by = b.Ledger.Spenders(2)
		if i := strings.LastIndex(by, ", "); i > 0 {
			by = by[:i] + " and " + by[i+2:]
		}
	}
	f := b.Forecast
	switch since := b.since(); {
	case !b.SLIKnown:
		return sentence("nothing has been measured for " + what)
	case f.Exhausted:
		return sentence(fmt.Sprintf("the budget for %s has been spent for %s%s", what, ago(now, f.At), after(", by ", by)))
	case !since.IsZero():
		text := fmt.Sprintf("%s has been burning its budget for %s: %s is left", what, ago(now, since), leftText)
		if !f.At.IsZero() {
			text += fmt.Sprintf(", spent in %s at this rate", span(f.At.Sub(now)))
		}
		return sentence(text + after("; spent by ", by))
	case !f.At.IsZero():
		return sentence(fmt.Sprintf("%s of the budget for %s is left; at this rate it is spent in %s%s", leftText, what, span(f.At.Sub(now)), after(", by ", by)))
	}
	return sentence(fmt.Sprintf("%s of the budget for %s is left, and it will last%s", leftText, what, after("; what is gone was spent by ", by)))
}

// after is some words after others, nothing without them.
func after(words, text string) string {
	if text == "" {
		return ""
	}
	return words + text
}

// since is when the alert that has fired longest began; zero when all is quiet.
func (b *objectiveBody) since() (out time.Time) {
	for _, a := range b.Alerts {
		if a.Firing != nil && (out.IsZero() || a.Firing.Fired.Before(out)) {
			out = a.Firing.Fired
		}
	}
	return out
}

// Span is the objective’s window in words: 7 d, or a calendar's.
func (b objectiveBody) Span() string {
	if c := b.Objective.Window.Calendar; c != nil {
		unit := string(c.Unit)
		if c.Count > 1 {
			unit = fmt.Sprintf("%d %ss", c.Count, unit)
		}
		return "this " + unit
	}
	return span(b.Objective.Window.Rolling)
}

// Group is the name of one of the objective's groups.
func (b objectiveBody) Group(s slo.Standing) string {
	_, name, _ := strings.Cut(strings.TrimSuffix(s.Objective.Name, "}"), "{")
	return name
}

// Units is what is counted, in words.
func (b objectiveBody) Units() string {
	if b.Objective.Method == slo.Timeslices || b.Objective.Method == slo.RatioTimeslices {
		return "slices"
	}
	return "events"
}

// Whole is a ledger's count in whole units.
func (b objectiveBody) Whole(n int64) int64 { return n / max(1, b.Ledger.Scale) }

// Spenders are the shares of the budget that anything was charged to.
func (b objectiveBody) Spenders() []budget.Share {
	if b.Ledger == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(b.Ledger.Shares), func(s budget.Share) bool { return s.Bad == 0 && s.Raw == 0 })
}

// gauges are the burn rates of each window against the lowest threshold that
// an alert has for it.
func gauges(o slo.Snapshot) []gauge {
	lowest := map[time.Duration]float64{}
	for _, p := range o.Objective.AlertPolicies {
		for _, c := range p.Conditions {
			for _, w := range []time.Duration{c.Long, c.Short} {
				if f := c.Factor.Float64(); w > 0 && (lowest[w] == 0 || f < lowest[w]) {
					lowest[w] = f
				}
			}
		}
	}
	var out []gauge
	for i, b := range o.Burns {
		if slices.ContainsFunc(o.Burns[:i], func(c slo.Burn) bool { return c.Window == b.Window }) {
			continue // the objective's own window is one of those always shown
		}
		g := gauge{Window: b.Name, Rate: b.Rate, Known: b.Known, Threshold: lowest[b.Window], Bad: b.Bad, Total: b.Total, Missing: b.Missing}
		g.Over = g.Known && g.Threshold > 0 && g.Rate > g.Threshold
		out = append(out, g)
	}
	return out
}

// trialBody is another target or window, tried on the past.
type trialBody struct {
	Key     string
	Target  string  // proposed, in per cent without the sign
	Nines   float64 // decimal logarithm of the share that may be bad, negated
	Window  string
	Windows []string
	Asked   bool // it is another than the present one
	Lead    string
	Result  slo.Preview
	Curve   chart
}

// preview is a proposed objective on a page of its own, for who has no script;
// a script puts its result into the objective's page.
func (s *site) preview(v *visit) (page, error) {
	key := v.PathValue("name")
	if v.past {
		return page{}, problem.New(problem.Invalid, "slo.preview", "history is replayed up to now, not up to a moment in the past").WithNext("leave at out of the address")
	}
	if _, err := s.snapshot(key); err != nil {
		return page{}, err
	}
	q := v.URL.Query()
	in := slo.PreviewInput{Objective: key, Target: strings.TrimSpace(q.Get("target")), Window: q.Get("window")}
	if in.Target != "" && !strings.HasSuffix(in.Target, "%") {
		in.Target += "%"
	}
	b, err := s.trial(v, key, in)
	if err != nil {
		return page{}, err
	}
	return page{Template: "preview", Title: "Preview of " + key, Section: "objectives", Body: b, Charts: true}, nil
}
