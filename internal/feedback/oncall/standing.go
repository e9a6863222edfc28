package oncall

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// SourceName is the name of the source that answers with a Standing.
const SourceName = "oncall"

// Ask names the policy whose Standing is wanted, or one person or team.
type Ask struct {
	Policy string `json:"policy,omitempty"`
	Person string `json:"person,omitempty"`
	Team   string `json:"team,omitempty"`
}

// Source answers whom a policy would page at a moment.
func Source(r projection.Reader) control.Source {
	return func(ctx context.Context, q control.Request, now time.Time) (control.Reading, error) {
		ask, ok := q.Args.(Ask)
		if !ok {
			return control.Reading{}, problem.New(problem.Internal, "oncall.source", "arguments are a %T", q.Args)
		}
		s, err := stand(ctx, r, ask, now)
		if err != nil {
			return control.Reading{}, err
		}
		data, err := json.Marshal(s)
		return control.Reading{From: now, To: now, Complete: true, Data: data}, err
	}
}

func stand(ctx context.Context, r projection.Reader, ask Ask, now time.Time) (Standing, error) {
	if ask.Policy != "" {
		return Stand(ctx, r, ask.Policy, now)
	}
	return Direct(ctx, r, Target{Person: ask.Person, Team: ask.Team}, now)
}

// Direct is the Standing of one step that pages one target.
func Direct(ctx context.Context, r projection.Reader, to Target, now time.Time) (Standing, error) {
	round := Round{Step: 1, Attempt: 1, Wait: directWait}
	var err error
	round.Notify, round.Empty, err = resolver{ctx, r, now}.all([]Target{to})
	return Standing{Rounds: []Round{round}, LastResort: []Recipient{}}, err
}

// directWait is how long a page without policy waits for an answer before it is
// said that nobody gave one.
const directWait = 5 * time.Minute

// resolver finds people. Whatever is not declared any more is nobody: pages go
// on to whoever comes next.
type resolver struct {
	ctx context.Context
	r   projection.Reader
	now time.Time
}

// Stand resolves a policy to the people it would page at a moment.
func Stand(ctx context.Context, r projection.Reader, policy string, now time.Time) (Standing, error) {
	f := resolver{ctx, r, now}
	out := Standing{Policy: policy, Rounds: []Round{}, LastResort: []Recipient{}}
	step := 0
	for name, n := policy, 0; name != "" && n <= maxThen; n++ {
		spec, ok, err := get[EscalationSpec](ctx, r, KindEscalation, name)
		if err != nil || !ok {
			return out, err
		}
		for attempt := range spec.Repeat + 1 {
			for i, s := range spec.Steps {
				round := Round{Step: step + i + 1, Attempt: attempt + 1, Wait: s.Wait, RoundRobin: s.RoundRobin}
				if round.Notify, round.Empty, err = f.all(s.Notify); err != nil {
					return out, err
				}
				out.Rounds = append(out.Rounds, round)
			}
		}
		step += len(spec.Steps)
		if len(spec.LastResort) > 0 {
			if out.LastResort, _, err = f.all(spec.LastResort); err != nil {
				return out, err
			}
		}
		name = spec.Then
	}
	return out, nil
}

func get[S any](ctx context.Context, r projection.Reader, kind, name string) (spec S, ok bool, err error) {
	spec, _, err = catalog.Get[S](ctx, r, kind, name)
	if problem.KindOf(err) == problem.NotFound {
		return spec, false, nil
	}
	return spec, err == nil, err
}

// all resolves targets, each recipient once, and says who is missing.
func (f resolver) all(targets []Target) (out []Recipient, missing string, err error) {
	out = []Recipient{}
	seen := map[string]bool{}
	var gaps []string
	for _, t := range targets {
		found, err := f.target(t)
		if err != nil {
			return nil, "", err
		}
		if len(found) == 0 {
			gaps = append(gaps, "nobody for "+t.String())
		}
		for _, p := range found {
			if len(p.Contacts) == 0 {
				gaps = append(gaps, p.Name+" has no contact")
			} else if !seen[p.Name] {
				seen[p.Name] = true
				out = append(out, p)
			}
		}
	}
	return out, strings.Join(gaps, ", "), nil
}

func (f resolver) target(t Target) ([]Recipient, error) {
	switch {
	case t.Person != "":
		p, err := f.person(t.Person, "")
		return []Recipient{p}, err
	case t.Webhook != "":
		return []Recipient{{Name: webhookName(t.Webhook), Contacts: []channel.Contact{{URL: t.Webhook, SecretEnv: t.SecretEnv}}}}, nil
	case t.Channel != "":
		k := channel.Contact{Channel: t.Channel, To: t.To}
		return []Recipient{{Name: k.String(), Contacts: []channel.Contact{k}}}, nil
	case t.Team != "":
		return f.team(t.Team)
	}
	on, err := Now(f.ctx, f.r, t.Schedule, f.now)
	if err != nil {
		return nil, err
	}
	var out []Recipient
	for _, s := range on {
		p, err := f.person(s.Person, "schedule "+t.Schedule)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// webhookName names an address without what may be secret in it.
func webhookName(address string) string {
	host := "?"
	if u, err := url.Parse(address); err == nil {
		host = u.Host
	}
	return fmt.Sprintf("webhook at %s (%.3x)", host, sha256.Sum256([]byte(address)))
}

func (f resolver) team(name string) (out []Recipient, err error) {
	team, err := catalog.GetTeam(f.ctx, f.r, name)
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return nil, err
	}
	for i, w := range team.Page {
		out = append(out, Recipient{Name: fmt.Sprintf("webhook %d of team %s", i+1, name), Contacts: []channel.Contact{{URL: w.URL, SecretEnv: w.SecretEnv, Channel: w.Channel, To: w.To}}})
	}
	if len(out) > 0 {
		return out, nil
	}
	for _, m := range team.Members {
		p, err := f.person(catalog.ParseMember(m).Name, "team "+name)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (f resolver) person(name, via string) (Recipient, error) {
	spec, _, err := get[PersonSpec](f.ctx, f.r, KindPerson, name)
	out := Recipient{
		Name: name, Person: true, Via: via, Contacts: spec.Contacts,
		High: stages(spec.Rules.High, spec.Contacts), Low: stages(spec.Rules.Low, spec.Contacts),
	}
	if err == nil && spec.QuietHours != nil {
		out.QuietUntil, err = spec.QuietHours.until(spec.TimeZone, f.now)
	}
	return out, err
}

// until is when quiet hours that hold now end; zero when none hold.
func (h Hours) until(zone Zone, now time.Time) (time.Time, error) {
	loc, err := zone.Location()
	if err != nil {
		return time.Time{}, problem.New(problem.Invalid, "oncall.quiet", "%w", err)
	}
	o := offsetsOf(loc, now.Unix(), now.Unix())
	wall := o.local(now.Unix())
	for _, w := range windows([]Restriction{{From: h.From, To: h.To}}, wall, wall+1) {
		if w.from <= wall && wall < w.until {
			// The first instant: quiet hours end early rather than late.
			first, _ := o.instants(w.until)
			return time.Unix(first, 0).UTC(), nil
		}
	}
	return time.Time{}, nil
}

// Now says who of a schedule is on call at a moment, overrides included.
// Nobody, when there is no such schedule.
func Now(ctx context.Context, r projection.Reader, schedule string, now time.Time) ([]Shift, error) {
	spec, ok, err := get[ScheduleSpec](ctx, r, KindSchedule, schedule)
	if err != nil || !ok {
		return nil, err
	}
	book, _, err := projection.Get[Book](ctx, r, ProjectionName, schedule)
	if err != nil {
		return nil, err
	}
	return spec.Shifts(now, now.Add(time.Second), book.Stints()...)
}
