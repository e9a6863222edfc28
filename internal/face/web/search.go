package web

import (
	"strings"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/flow/pipeline"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

type searchBody struct {
	Q     string
	Lead  string
	Found []found
	Kinds []string
}

// found is one thing that a search found.
type found struct {
	Kind  string
	Name  string
	Text  string
	State string
	Href  string
}

// searched is how many of the newest of each kind a search looks at.
const searched = 500

func (s *site) search(v *visit) (page, error) {
	b := searchBody{Q: strings.TrimSpace(v.URL.Query().Get("q"))}
	if b.Q != "" {
		if err := s.find(v, &b); err != nil {
			return page{}, err
		}
	}
	b.Lead = "Search for a service, change, commit, rollout, objective, incident, postmortem or operation."
	if b.Q != "" {
		b.Lead = sentence(plural(len(b.Found), "thing matches", "things match") + " “" + b.Q + "”")
	}
	for _, f := range b.Found {
		if n := len(b.Kinds); n == 0 || b.Kinds[n-1] != f.Kind {
			b.Kinds = append(b.Kinds, f.Kind)
		}
	}
	return page{Template: "search", Title: "Search", Body: b}, nil
}

func (s *site) find(v *visit, b *searchBody) error {
	services, err := catalog.Services(v.ctx, v.reader)
	if err != nil {
		return err
	}
	for _, c := range services {
		b.match(found{Kind: "service", Name: c.Name, Text: c.Description, Href: "/services/" + c.Name}, c.Name, c.Team, c.Description, c.Host)
	}
	if s.o.Objectives != nil && !v.past {
		l, err := s.o.Objectives.List(slo.ListInput{Search: b.Q, Limit: 20})
		if err != nil {
			return err
		}
		for _, o := range l.Standings {
			key := o.Objective.Key()
			b.Found = append(b.Found, found{Kind: "objective", Name: key, Text: share(o.Remaining) + " of the budget is left", Href: "/objectives/" + key})
		}
	}
	all := projection.Filter{Index: "all", Value: "yes", Newest: true, Limit: searched}
	incidents, _, err := projection.List[incident.Incident](v.ctx, v.reader, incident.ProjectionName, all)
	if err != nil {
		return err
	}
	for _, i := range incidents {
		b.match(found{Kind: "incident", Name: i.Place.Incident, Text: i.Title, State: i.State, Href: "/incidents/" + i.Place.Incident}, i.Place.Incident, i.Title)
	}
	if err := s.findPostmortems(v, b); err != nil {
		return err
	}
	return s.findFlow(v, b, all)
}

func (s *site) findFlow(v *visit, b *searchBody, all projection.Filter) error {
	changes, _, err := projection.List[change.Change](v.ctx, v.reader, change.ProjectionName, all)
	if err != nil {
		return err
	}
	for _, c := range changes {
		b.match(found{Kind: "change", Name: c.Pushed.Change, Text: c.Subject + " (" + c.Author + ")", Href: "/changes/" + c.Pushed.Change}, c.Pushed.Change, c.Commit, c.Subject, c.Author)
	}
	rollouts, _, err := projection.List[rollout.Rollout](v.ctx, v.reader, rollout.ProjectionName, all)
	if err != nil {
		return err
	}
	for _, r := range rollouts {
		b.match(found{Kind: "rollout", Name: r.Rollout, Text: r.Reason, State: rolloutState(r), Href: "/rollouts/" + r.Rollout}, r.Rollout, r.Revision, r.Digest)
	}
	runs, _, err := projection.List[pipeline.Run](v.ctx, v.reader, pipeline.ProjectionName, all)
	if err != nil {
		return err
	}
	for _, r := range runs {
		b.match(found{Kind: "run", Name: r.ID, State: either(string(r.Result), string(r.Phase)), Href: "/pipelines/" + r.ID}, r.ID)
	}
	for _, op := range s.listed() {
		b.match(found{Kind: "operation", Name: op.Noun + " " + op.Verb, Text: op.Summary, Href: "/operations/" + op.Name()}, op.Name(), op.Noun+" "+op.Verb, op.Summary)
	}
	return nil
}

// match keeps what any of the texts says matches, at most twenty of a kind.
func (b *searchBody) match(f found, texts ...string) {
	if !contains(b.Q, texts...) {
		return
	}
	n := 0
	for _, other := range b.Found {
		if other.Kind == f.Kind {
			n++
		}
	}
	if n < 20 {
		b.Found = append(b.Found, f)
	}
}
