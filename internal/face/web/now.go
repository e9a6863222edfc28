package web

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
)

// nowBody is the first page: what needs somebody now.
type nowBody struct {
	Lead      string
	Services  int
	Watched   int            // objectives
	Burning   []slo.Standing // the first of them
	More      int            // further ones that burn
	Hurt      int            // services that burn
	Incidents []incident.Incident
	Moving    []rollout.Rollout
	Waiting   []gated // for a person
	Asked     []rollout.Rollout
	Blocked   []gated
	Freezes   []freeze
	Overrides []policy.Override
	Lately    []rollout.Rollout
	Late      []postmortem.Row        // that should be in review
	Overdue   []postmortem.ActionItem // of any postmortem
}

// freeze is a declared time in which an environment takes nothing but fixes.
type freeze struct {
	Environment string
	catalog.Freeze
}

// listed is how many of each kind the first page shows.
const listed = 20

func (s *site) now(v *visit) (page, error) {
	var b nowBody
	services, err := catalog.Services(v.ctx, v.reader)
	if err != nil {
		return page{}, err
	}
	b.Services = len(services)
	if err := b.burning(s, v); err != nil {
		return page{}, err
	}
	if b.Incidents, _, err = projection.List[incident.Incident](v.ctx, v.reader, incident.ProjectionName,
		projection.Filter{Index: "state", Value: "open", Newest: true, Limit: listed}); err != nil {
		return page{}, err
	}
	slices.SortStableFunc(b.Incidents, func(x, y incident.Incident) int { return cmp.Compare(x.Severity, y.Severity) })
	if err := b.rollouts(v); err != nil {
		return page{}, err
	}
	if b.Waiting, err = v.gated(action.Awaiting); err != nil {
		return page{}, err
	}
	if b.Blocked, err = v.gated(action.Blocked); err != nil {
		return page{}, err
	}
	if b.Freezes, err = v.freezes(); err != nil {
		return page{}, err
	}
	if b.Overrides, err = v.overrides(false); err != nil {
		return page{}, err
	}
	if s.o.Objectives != nil && !v.past {
		l, err := s.o.Objectives.List(slo.ListInput{Limit: 1})
		if err != nil {
			return page{}, err
		}
		b.Watched = l.All.Objectives
	}
	if b.Late, err = s.latePostmortems(v); err != nil {
		return page{}, err
	}
	if b.Overdue, err = s.overdueItems(v, ""); err != nil {
		return page{}, err
	}
	b.Lead = b.lead()
	return page{Template: "now", Title: "Now", Section: "now", Body: b, Every: 15,
		Live: "rollout.,incident.,alert.,budget.,action.gated,action.approved,action.rejected,gate.,resource.,postmortem."}, nil
}

func (b *nowBody) burning(s *site, v *visit) error {
	all, err := s.burning(v)
	services := map[string]bool{}
	for _, o := range all {
		services[o.Objective.Service] = true
	}
	b.Hurt, b.Burning = len(services), all[:min(listed, len(all))]
	b.More = len(all) - len(b.Burning)
	return err
}

func (b *nowBody) rollouts(v *visit) error {
	moving, _, err := projection.List[rollout.Rollout](v.ctx, v.reader, rollout.ProjectionName, projection.Filter{Index: "moving", Value: "yes", Newest: true, Limit: listed})
	if err != nil {
		return err
	}
	b.Moving = moving
	for _, r := range moving {
		if r.Asked {
			b.Asked = append(b.Asked, r)
		}
	}
	recent, _, err := projection.List[rollout.Rollout](v.ctx, v.reader, rollout.ProjectionName, projection.Filter{Index: "all", Value: "yes", Newest: true, Limit: listed})
	for _, r := range recent {
		if r.Phase == rollout.PhaseFinished && len(b.Lately) < 8 {
			b.Lately = append(b.Lately, r)
		}
	}
	return err
}

// lead is the page's question answered in one sentence.
func (b nowBody) lead() string {
	if b.Services == 0 && b.Watched == 0 {
		return "Nothing is declared yet."
	}
	var parts []string
	if n := len(b.Incidents); n > 0 {
		parts = append(parts, plural(n, "incident is open", "incidents are open"))
	}
	switch n := b.Hurt; {
	case n == 0:
		parts = append(parts, "no service is burning budget")
	default:
		parts = append(parts, plural(n, "service is burning budget", "services are burning budget"))
	}
	if b.Services == 0 { // others deliver
		parts = append(parts, plural(b.Watched, "objective is watched", "objectives are watched"))
		return sentence(strings.Join(parts, ", "))
	}
	if n := len(b.Moving); n > 0 {
		parts = append(parts, plural(n, "rollout is moving", "rollouts are moving"))
	} else {
		parts = append(parts, "nothing is moving")
	}
	switch n := len(b.Blocked); {
	case len(b.Freezes) > 0:
		parts = append(parts, fmt.Sprintf("%s is frozen", b.Freezes[0].Environment))
	case n > 0:
		parts = append(parts, plural(n, "release is blocked", "releases are blocked"))
	default:
		parts = append(parts, "nothing is frozen")
	}
	if n := len(b.Waiting) + len(b.Asked); n > 0 {
		parts = append(parts, plural(n, "decision waits for a person", "decisions wait for a person"))
	}
	return sentence(strings.Join(parts, ", "))
}

// snapshots are the objectives' states, none when the visitor looks back: what
// was measured then is not kept.
func (s *site) snapshots(v *visit, service, environment string) []slo.Snapshot {
	if s.o.Objectives == nil || v.past {
		return nil
	}
	return s.o.Objectives.Snapshots(service, environment)
}

// burning is the objectives that fire, spend faster than they may or have
// nothing left, by the time they have left.
func (s *site) burning(v *visit) ([]slo.Standing, error) {
	if s.o.Objectives == nil || v.past {
		return nil, nil
	}
	l, err := s.o.Objectives.List(slo.ListInput{Hurting: true, Sort: "exhaustion", Limit: 1000})
	return l.Standings, err
}

// hurts reports whether somebody should look at an objective.
func hurts(s slo.Snapshot) bool {
	return s.Firing("page") != nil || s.Firing("ticket") != nil || s.BurnOver(time.Hour) > 1 || s.SLIKnown && s.Budget.RemainingRatio <= 0
}

func (v *visit) actions(index, value string) ([]action.Action, error) {
	list, _, err := projection.List[action.Action](v.ctx, v.reader, action.ProjectionName, projection.Filter{Index: index, Value: value, Newest: true, Limit: listed})
	return list, err
}

// gated is an action that has not got past its gate, with what it is about.
type gated struct {
	action.Action
	Of release.Proposed
}

func (v *visit) gated(phase action.Phase) ([]gated, error) {
	list, err := v.actions("phase", string(phase))
	var out []gated
	for _, a := range list {
		g := gated{Action: a}
		// Another type's parameters leave this empty, and the reason speaks.
		_ = json.Unmarshal(a.Params, &g.Of)
		out = append(out, g)
	}
	return out, err
}

// freezes lists the declared freezes that hold now.
func (v *visit) freezes() ([]freeze, error) {
	environments, err := catalog.Environments(v.ctx, v.reader)
	var out []freeze
	for _, e := range environments {
		for _, f := range e.Freezes {
			if !v.now.Before(f.From) && v.now.Before(f.To) {
				out = append(out, freeze{e.Name, f})
			}
		}
	}
	return out, err
}

// overrides lists overrides, newest first; those that are over only if asked.
func (v *visit) overrides(all bool) ([]policy.Override, error) {
	places, _, err := projection.List[policy.Overrides](v.ctx, v.reader, policy.ProjectionName, projection.Filter{Index: "all", Value: "yes", Newest: true, Limit: 200})
	var out []policy.Override
	for _, p := range places {
		for _, o := range p.Items {
			if all || o.Active(v.now) {
				out = append(out, o)
			}
		}
	}
	slices.SortStableFunc(out, func(x, y policy.Override) int { return y.At.Compare(x.At) })
	return out, err
}
