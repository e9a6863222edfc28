package why

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Nothing is decided about a service, a change or an incident under its own
// name: decisions are about runs, releases, rollouts and places. related are the
// subjects under which decisions about it are recorded.
type related struct {
	Subject string    `json:"subject"`
	From    time.Time `json:"from,omitzero"` // decisions since; zero is no bound
	Until   time.Time `json:"until,omitzero"`
}

// relations are those of one noun, oldest first, the newest keepRelated of them.
type relations struct {
	Items []related `json:"items"`
}

const (
	projectionName = "why"
	keepRelated    = 30
	readRelated    = 8 // of which the newest are read for an answer
)

// fact is the part of other rooms' facts that says what belongs to what.
type fact struct {
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Change      string `json:"change"`
	Release     string `json:"release"`
	Run         string `json:"run"`
	Rollout     string `json:"rollout"`
	Incident    string `json:"incident"`
}

// Projections folds what belongs to what, keyed NOUN/NAME.
func Projections() []*projection.Projection {
	return []*projection.Projection{projection.Define(projection.Fold[relations]{
		Name: projectionName, Version: 1,
		Types: []string{"run.started", "artifact.built", "release.proposed", "rollout.started", "incident.opened", "incident.resolved"},
		Keys: func(e event.Event) []string {
			f, err := event.Decode[fact](e)
			if err != nil {
				return nil
			}
			var keys []string
			for _, k := range [][2]string{{"service", f.Service}, {"change", f.Change}, {"release", f.Release}, {"incident", f.Incident}} {
				if k[1] != "" {
					keys = append(keys, k[0]+"/"+k[1])
				}
			}
			return keys
		},
		Apply: relate,
	})}
}

func relate(_ string, s relations, e event.Event) (relations, error) {
	f, err := event.Decode[fact](e)
	if err != nil {
		return s, err
	}
	items := slices.Clone(s.Items)
	place := "incident/" + f.Service + "." + f.Environment
	var r related
	switch e.Type {
	case "run.started":
		r.Subject = "run/" + f.Run
	case "artifact.built":
		r.Subject = "release/" + f.Change // where its releases are decided
	case "release.proposed":
		r.Subject = "release/" + f.Release
	case "rollout.started":
		r.Subject = "rollout/" + f.Rollout
	case "incident.opened":
		r = related{Subject: place, From: e.Time}
	case "incident.resolved":
		for i := range items {
			if items[i].Subject == place && items[i].Until.IsZero() {
				items[i].Until = e.Time
			}
		}
	}
	if r.Subject != "" {
		items = slices.DeleteFunc(items, func(old related) bool { return old.Subject == r.Subject && old.From.Equal(r.From) })
		items = append(items, r)
	}
	s.Items = items[max(0, len(items)-keepRelated):]
	return s, nil
}

// subjects are the subjects under which decisions about something are
// recorded; a name alone is a service's.
func (d *Desk) subjects(ctx context.Context, asked string) ([]related, error) {
	key := asked
	if !strings.Contains(asked, "/") {
		key = "service/" + asked
	}
	s, _, err := projection.Get[relations](ctx, operation.Reader(ctx, d.Reader), projectionName, key)
	return s.Items[max(0, len(s.Items)-readRelated):], err
}
