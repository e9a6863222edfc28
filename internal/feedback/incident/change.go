package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Change is something that was done to a service and may hurt it.
type Change struct {
	Kind        string     `json:"kind"` // rollout, resource, override or event
	Name        string     `json:"name"` // of the rollout or resource
	Service     string     `json:"service"`
	Environment string     `json:"environment,omitempty"` // empty: all of them
	Change      string     `json:"change,omitempty"`
	Revision    string     `json:"revision,omitempty"`
	From        string     `json:"from,omitempty"` // revision that served before
	Text        string     `json:"text,omitempty"`
	By          string     `json:"by,omitempty"`
	At          time.Time  `json:"at"`
	Steps       []Exposure `json:"steps,omitempty"` // of a rollout: when it got more traffic
	EndedAt     time.Time  `json:"ended_at,omitzero"`
	Outcome     string     `json:"outcome,omitempty"` // promoted, rolled_back or aborted
	Bad         int64      `json:"bad,omitempty"`     // requests that failed on it, when it went back
	Requests    int64      `json:"requests,omitempty"`
	EValue      float64    `json:"e_value,omitempty"` // evidence that it was worse, when it went back
}

// Exposure is a share of the traffic from a moment on.
type Exposure struct {
	At     time.Time `json:"at"`
	Weight int       `json:"weight"` // basis points
}

// The kinds of changes.
const (
	ChangeRollout  = "rollout"
	ChangeResource = "resource"
	ChangeOverride = "override"
	ChangeEvent    = "event" // reported by somebody's own tools
)

// changed is the part of other rooms' facts that changes are folded from.
type changed struct {
	foreign
	Weight         int     `json:"weight"`
	CanaryRequests int64   `json:"canary_requests"`
	CanaryBad      int64   `json:"canary_bad"`
	EValue         float64 `json:"e_value"`
	From           string  `json:"from"`
	Rule           string  `json:"rule"`
	Summary        string  `json:"summary"`
	Source         string  `json:"source"`
	Kind           string  `json:"kind"`
	Metadata       struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Service string `json:"service"`
	} `json:"spec"`
}

const (
	rolloutStepped  = "rollout.stepped"
	rolloutAborted  = "rollout.aborted"
	resourceApplied = "resource.applied"
	gateOverridden  = "gate.overridden"
	changeReported  = "change.reported" // service, environment, summary, source: from somebody's own tools
)

// changeName is the projection of what was done to services lately, by service.
const changeName = "incident.change"

const (
	keptChanges = 40
	maxSteps    = 20
)

// changes folds what was done to services.
func changes() *projection.Projection {
	return projection.Define(projection.Fold[[]Change]{
		Name: changeName, Version: 1,
		Types: []string{rolloutStarted, rolloutStepped, rolloutPromoted, rolloutRolledBack, rolloutAborted, resourceApplied, gateOverridden, changeReported},
		Keys: func(e event.Event) []string {
			if c, ok := readChange(e); ok {
				return []string{c.Service}
			}
			return nil
		},
		Apply: func(_ string, known []Change, e event.Event) ([]Change, error) {
			c, _ := readChange(e)
			return follow(known, e, c), nil
		},
	})
}

// readChange reads a fact; ok is false when it is about no service.
func readChange(e event.Event) (c changed, ok bool) {
	c, err := event.Decode[changed](e)
	if err != nil {
		// Specifications of other kinds use the same words for other things.
		return c, false
	}
	if e.Type == resourceApplied {
		c.Service = c.Spec.Service
		if c.Kind == "Service" {
			c.Service = c.Metadata.Name
		}
	}
	return c, c.Service != ""
}

func follow(known []Change, e event.Event, c changed) []Change {
	out := slices.Clone(known)
	add := func(x Change) {
		x.Service, x.Environment, x.At, x.By = c.Service, c.Environment, e.Time, e.Actor
		out = append(out, x)
		out = out[max(0, len(out)-keptChanges):]
	}
	switch e.Type {
	case rolloutStarted:
		add(Change{Kind: ChangeRollout, Name: c.Rollout, Change: c.Change, Revision: c.Revision, From: c.From})
	case resourceApplied:
		add(Change{Kind: ChangeResource, Name: strings.ToLower(c.Kind) + "/" + c.Metadata.Name, Text: fmt.Sprintf("%s %s was applied", c.Kind, c.Metadata.Name)})
	case gateOverridden:
		add(Change{Kind: ChangeOverride, Name: c.Rule, Text: fmt.Sprintf("%s was overridden: %s", c.Rule, c.Reason)})
	case changeReported:
		add(Change{Kind: ChangeEvent, Name: c.Source, Text: c.Summary})
	default:
		at := slices.IndexFunc(out, func(x Change) bool { return x.Kind == ChangeRollout && x.Name == c.Rollout })
		if at >= 0 {
			out[at] = out[at].moved(e, c)
		}
	}
	return out
}

// moved is a rollout after it got more traffic, or came to its end.
func (x Change) moved(e event.Event, c changed) Change {
	exposed := func(weight int) {
		if len(x.Steps) < maxSteps {
			x.Steps = append(slices.Clip(x.Steps), Exposure{At: e.Time, Weight: weight})
		}
	}
	switch e.Type {
	case rolloutStepped:
		exposed(c.Weight)
		return x
	case rolloutPromoted:
		if n := len(x.Steps); n == 0 || x.Steps[n-1].Weight < whole {
			exposed(whole)
		}
		x.Outcome = "promoted"
	case rolloutRolledBack:
		x.Outcome, x.Text = "rolled_back", c.Reason
	case rolloutAborted:
		x.Outcome, x.Text = "aborted", c.Reason
	}
	x.EndedAt, x.Bad, x.Requests, x.EValue = e.Time, c.CanaryBad, c.CanaryRequests, c.EValue
	return x
}

const whole = 10_000 // basis points
