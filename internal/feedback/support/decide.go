package support

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// State is what the controller decides from.
type State struct {
	Standing
	Agreement *Agreement `json:"agreement,omitempty"`
}

// Controller moves on-call between teams. It is keyed SERVICE.ENVIRONMENT.
func Controller() control.Controller[State] {
	return control.Controller[State]{
		Name: "support",
		Wakes: func(e event.Event) []string {
			if event.Matches([]string{budgetChanged, incidentPaged, EventHandedBack, EventReturned}, e.Type) {
				return keysOf(e)
			}
			return nil
		},
		Active: active,
		Load:   load,
		Decide: Decide,
	}
}

// active looks at every place that an agreement covers: time alone may end a
// breach.
func active(ctx context.Context, r projection.Reader) (keys []string, err error) {
	specs, _, err := catalog.List[Spec](ctx, r, Kind)
	if err != nil {
		return nil, err
	}
	environments, err := catalog.Environments(ctx, r)
	for _, s := range specs {
		in := s.Environments
		if n := len(environments); len(in) == 0 && n > 0 {
			in = []string{environments[n-1].Name}
		}
		for _, service := range s.Services {
			for _, e := range in {
				keys = append(keys, Key(service, e))
			}
		}
	}
	back, err2 := r.List(ctx, ProjectionName, projection.Filter{Index: "back", Value: "yes", Limit: projection.MaxPage})
	if err == nil {
		err = err2
	}
	for _, row := range back.Rows {
		keys = append(keys, row.Key)
	}
	slices.Sort(keys)
	return slices.Compact(keys), err
}

func load(ctx context.Context, r projection.Reader, key string) (State, error) {
	standing, ok, err := projection.Get[Standing](ctx, r, ProjectionName, key)
	s := State{Standing: standing}
	if err != nil || !ok {
		return s, err
	}
	service, err := catalog.GetService(ctx, r, s.Service)
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return s, err
	}
	if service.Team != "" {
		s.Team = service.Team
	}
	s.Agreement, err = For(ctx, r, s.Service, s.Environment)
	return s, err
}

// Decide hands on-call back when the agreement is broken, and returns it when
// it has been kept for long enough.
func Decide(v control.View[State], now time.Time) control.Plan {
	s := v.State
	if s.Agreement == nil {
		if !s.HandedBack {
			return control.Plan{}
		}
		return s.move(EventReturned, "the agreement is gone", s.Team, s.Team)
	}
	a := *s.Agreement
	breach, kept := a.breach(s.Standing, now)
	switch {
	case breach != "" && !s.HandedBack:
		return s.move(EventHandedBack, breach, a.Team, s.Team)
	case breach != "":
		return control.Plan{Wake: kept}
	case s.HandedBack && !now.Before(kept.Add(a.Stable)):
		return s.move(EventReturned, fmt.Sprintf("the agreement has been kept since %s", kept.UTC().Format("2006-01-02 15:04 MST")), s.Team, a.Team)
	case s.HandedBack:
		return control.Plan{Wake: kept.Add(a.Stable)}
	}
	return control.Plan{}
}

func (s State) move(typ, why, from, to string) control.Plan {
	m := Moved{Service: s.Service, Environment: s.Environment, Team: s.Team, From: from, To: to}
	if s.Agreement != nil {
		m.Agreement = s.Agreement.Name
	}
	verdict := "return"
	if typ == EventHandedBack {
		verdict = "hand back"
	}
	m.Reason = fmt.Sprintf("on-call for %s in %s goes from %s to %s: %s", s.Service, s.Environment, from, to, why)
	return control.Plan{
		Verdict: verdict, Rule: m.Agreement, Reason: m.Reason,
		Facts: []event.Draft{{Type: typ, Subject: "support/" + Key(s.Service, s.Environment), Data: m}},
	}
}

// breach says how the agreement is broken, and when time alone ends that (zero:
// it does not). Without a breach kept is since when there is none.
func (a Agreement) breach(s Standing, now time.Time) (why string, kept time.Time) {
	var whys []string
	ends := true
	if a.Budget {
		for _, name := range sorted(s.Budgets) {
			l := s.Budgets[name]
			if l.Exhausted {
				whys, ends = append(whys, "the budget of "+name+" is spent"), false
			} else if l.Since.After(kept) {
				kept = l.Since
			}
		}
	}
	if n := a.PagesPerWeek; n > 0 && len(s.Pages) > n {
		// More than n within a week, up to when the first of n + 1 is a week old.
		var until time.Time
		for i := n; i < len(s.Pages); i++ {
			if end := s.Pages[i-n].Add(week); s.Pages[i].Before(end) {
				until = end
			}
		}
		if now.Before(until) {
			whys = append(whys, fmt.Sprintf("%d pages in seven days, more than %d", lately(s.Pages, now), n))
		}
		if until.After(kept) {
			kept = until
		}
	}
	if len(whys) > 0 && !ends {
		return strings.Join(whys, "; "), time.Time{}
	}
	if kept.Before(s.Since) && len(whys) == 0 && s.HandedBack {
		kept = s.Since
	}
	return strings.Join(whys, "; "), kept
}

func sorted(budgets map[string]Level) []string {
	var names []string
	for name := range budgets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// lately is how many pages there were in the week before now.
func lately(pages []time.Time, now time.Time) (n int) {
	for _, t := range pages {
		if now.Sub(t) < week && !t.After(now) {
			n++
		}
	}
	return n
}
