package incident

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Upstream is an open incident of something the service depends on, about
// which people were paged.
type Upstream struct {
	Service     string    `json:"service"`
	Incident    string    `json:"incident"`
	MitigatedAt time.Time `json:"mitigated_at,omitzero"`
}

// Held says that a page waits: what the service depends on hurts, and whoever
// can mend that was paged already.
type Held struct {
	Place
	By     Upstream `json:"by"`
	Reason string   `json:"reason"`
}

const (
	// holdCheck is how often a page that is held is looked at again.
	holdCheck = 15 * time.Second
	// aftermath is how long what follows from a dependency's trouble may outlast
	// it: an alert's short window has to empty first.
	aftermath = 5 * time.Minute
)

// maxUpstream bounds how far dependencies are followed.
const maxUpstream = 50

// upstream finds the open incidents of what a service depends on, directly or
// through others, nearest first.
func upstream(ctx context.Context, r projection.Reader, service catalog.Service, environment string) ([]Upstream, error) {
	var out []Upstream
	seen, queue := map[string]bool{service.Name: true}, slices.Clone(service.DependsOn)
	for len(queue) > 0 && len(seen) < maxUpstream {
		name := queue[0]
		queue = queue[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		desk, ok, err := projection.Get[Desk](ctx, r, deskName, Key(name, environment))
		if err != nil {
			return nil, err
		}
		if ok && desk.Open != nil && desk.Open.Paged > 0 {
			out = append(out, Upstream{Service: name, Incident: desk.Open.Incident, MitigatedAt: desk.Open.MitigatedAt})
		}
		next, err := catalog.GetService(ctx, r, name)
		if err != nil && problem.KindOf(err) != problem.NotFound {
			return nil, err
		}
		queue = append(queue, next.DependsOn...)
	}
	return out, nil
}

// held reports whether the first page waits for another incident. Symptoms
// alone can have their cause elsewhere: what a person declared, and a revision
// of one's own that went back, is told at once.
func (d *desk) held() bool {
	i := d.Open
	if d.blamed() == nil || i.Paged != 0 || i.Asked != "" || i.Severity >= severityNoUser {
		return false
	}
	symptoms := 0
	for _, l := range i.Links {
		switch {
		case l.Role != RoleTrigger:
		case l.Kind == KindAlert || l.Kind == KindBudget:
			symptoms++
		default:
			return false
		}
	}
	return symptoms > 0
}

// blamed is the incident that the page waits for: the nearest that hurts, or
// did a moment ago.
func (d *desk) blamed() *Upstream {
	for n, u := range d.Upstream {
		if u.MitigatedAt.IsZero() || d.now.Sub(u.MitigatedAt) < aftermath {
			return &d.Upstream[n]
		}
	}
	return nil
}

// hold records once that the page waits, and looks again soon.
func (d *desk) hold() {
	d.wake(d.now.Add(holdCheck))
	i, by := *d.Open, *d.blamed()
	if i.HeldBy == by.Incident {
		return
	}
	h := Held{Place: i.Place, By: by, Reason: fmt.Sprintf("%s depends on %s, and people were paged for %s", i.Service, by.Service, by.Incident)}
	i.HeldBy = by.Incident
	d.Open = &i
	d.fact(EventHeld, h)
	d.because("hold", "dependency", i.Event, "%s: nobody is paged yet: %s", i.Incident, h.Reason)
}
