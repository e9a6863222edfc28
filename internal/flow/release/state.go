package release

import (
	"context"
	"fmt"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Release is the folded state of one release.
type Release struct {
	Proposed
	ProposedAt time.Time `json:"proposed_at"`
	Rollouts   []string  `json:"rollouts,omitempty"` // oldest first
	Outcome    string    `json:"outcome,omitempty"`  // of the last rollout that finished
	Event      string    `json:"event"`              // ID of release.proposed
}

// Delivery is what a change has become: the artifact built from it and the
// environments it was proposed for and promoted in.
type Delivery struct {
	Built    *Built          `json:"built,omitempty"`
	Event    string          `json:"event,omitempty"` // ID of artifact.built
	Proposed map[string]bool `json:"proposed,omitempty"`
	Promoted map[string]bool `json:"promoted,omitempty"`
}

// Place is one service in one environment: what runs, what is moving, and what
// may not run again.
type Place struct {
	Service     string            `json:"service"`
	Environment string            `json:"environment"`
	Stable      *Running          `json:"stable,omitempty"`     // what serves
	Previous    []Running         `json:"previous,omitempty"`   // what served before, newest first, at most 10
	Moving      string            `json:"moving,omitempty"`     // rollout in progress
	Quarantine  map[string]string `json:"quarantine,omitempty"` // revision → why it went back
}

// Running is a revision that serves or served.
type Running struct {
	Revision string    `json:"revision"`
	Commit   string    `json:"commit"`
	Digest   string    `json:"digest"`
	Change   string    `json:"change"`
	Rollout  string    `json:"rollout"`
	Since    time.Time `json:"since"`
}

// The projections: releases by name, deliveries by change, places by
// SERVICE.ENVIRONMENT.
const (
	ProjectionName   = "release"
	deliveryName     = "delivery"
	PlaceName        = "place"
	maxPrevious      = 10
	placeQuarantines = 200
)

// PlaceKey names a service in an environment.
func PlaceKey(service, environment string) string { return service + "." + environment }

// subject is the part of any rollout or release event that says where it belongs.
type subject struct {
	Release     string `json:"release"`
	Rollout     string `json:"rollout"`
	Change      string `json:"change"`
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Revision    string `json:"revision"`
	Commit      string `json:"commit"`
	Digest      string `json:"digest"`
	Reason      string `json:"reason"`
	Outcome     string `json:"outcome"`
}

var folded = []string{EventProposed, EventQuarantineLifted, "artifact.built", "rollout.started", "rollout.promoted", "rollout.rolled_back", "rollout.aborted", "rollout.finished"}

// Projections folds releases, deliveries and places.
func Projections() []*projection.Projection {
	return []*projection.Projection{
		projection.Define(projection.Fold[Release]{
			Name: ProjectionName, Version: 1, Types: folded,
			Keys:  keyed(func(s subject) string { return s.Release }),
			Apply: applyRelease,
			Indexes: func(_ string, r Release) []projection.Index {
				at := fmt.Sprintf("%020d", r.ProposedAt.UnixMicro())
				return []projection.Index{{Name: "change", Value: r.Change, Sort: at}, {Name: "all", Value: "yes", Sort: at},
					{Name: "place", Value: PlaceKey(r.Service, r.Environment), Sort: at}}
			},
		}),
		projection.Define(projection.Fold[Delivery]{
			Name: deliveryName, Version: 1, Types: folded,
			Keys: keyed(func(s subject) string { return s.Change }), Apply: applyDelivery,
		}),
		projection.Define(projection.Fold[Place]{
			Name: PlaceName, Version: 1, Types: folded,
			Keys: keyed(func(s subject) string {
				if s.Service == "" || s.Environment == "" {
					return ""
				}
				return PlaceKey(s.Service, s.Environment)
			}),
			Apply: applyPlace,
			Indexes: func(_ string, p Place) []projection.Index {
				return []projection.Index{{Name: "service", Value: p.Service, Sort: p.Environment}, {Name: "all", Value: "yes", Sort: PlaceKey(p.Service, p.Environment)}}
			},
		}),
	}
}

func keyed(key func(subject) string) func(event.Event) []string {
	return func(e event.Event) []string {
		s, err := event.Decode[subject](e)
		if k := key(s); err == nil && k != "" {
			return []string{k}
		}
		return nil
	}
}

func applyRelease(_ string, r Release, e event.Event) (Release, error) {
	s, err := event.Decode[subject](e)
	if err != nil {
		return r, err
	}
	switch e.Type {
	case EventProposed:
		r.Proposed, err = event.Decode[Proposed](e)
		r.ProposedAt, r.Event = e.Time, e.ID
	case "rollout.started":
		r.Rollouts = append(r.Rollouts[:len(r.Rollouts):len(r.Rollouts)], s.Rollout)
		r.Outcome = ""
	case "rollout.finished":
		r.Outcome = s.Outcome
	}
	return r, err
}

func applyDelivery(_ string, d Delivery, e event.Event) (Delivery, error) {
	s, err := event.Decode[subject](e)
	if err != nil {
		return d, err
	}
	switch e.Type {
	case "artifact.built":
		b, err := event.Decode[Built](e)
		d.Built, d.Event = &b, e.ID
		return d, err
	case EventProposed:
		d.Proposed = with(d.Proposed, s.Environment, true)
	case "rollout.promoted":
		d.Promoted = with(d.Promoted, s.Environment, true)
	}
	return d, nil
}

func applyPlace(_ string, p Place, e event.Event) (Place, error) {
	s, err := event.Decode[subject](e)
	if err != nil {
		return p, err
	}
	p.Service, p.Environment = s.Service, s.Environment
	switch e.Type {
	case "rollout.started":
		p.Moving = s.Rollout
	case "rollout.promoted":
		if p.Stable != nil && p.Stable.Revision != s.Revision {
			p.Previous = append([]Running{*p.Stable}, p.Previous[:min(len(p.Previous), maxPrevious-1)]...)
		}
		p.Stable = &Running{Revision: s.Revision, Commit: s.Commit, Digest: s.Digest, Change: s.Change, Rollout: s.Rollout, Since: e.Time}
	case "rollout.rolled_back":
		if len(p.Quarantine) < placeQuarantines {
			p.Quarantine = with(p.Quarantine, s.Revision, s.Reason)
		}
	case EventQuarantineLifted:
		p.Quarantine = with(p.Quarantine, s.Revision, "")
		delete(p.Quarantine, s.Revision)
	case "rollout.finished":
		if p.Moving == s.Rollout {
			p.Moving = ""
		}
	}
	return p, nil
}

// with is a copy of m with one entry set: folds do not change what they were given.
func with[V any](m map[string]V, k string, v V) map[string]V {
	out := make(map[string]V, len(m)+1)
	for key, value := range m {
		out[key] = value
	}
	out[k] = v
	return out
}

// GetPlace reads what runs where.
func GetPlace(ctx context.Context, r projection.Reader, service, environment string) (Place, error) {
	p, _, err := projection.Get[Place](ctx, r, PlaceName, PlaceKey(service, environment))
	p.Service, p.Environment = service, environment
	return p, err
}
