package dora

import (
	"fmt"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Push is a change as it was pushed.
type Push struct {
	Change    string    `json:"change"`
	Service   string    `json:"service"`
	Commit    string    `json:"commit"`
	Previous  string    `json:"previous,omitempty"` // commit pushed before it, in its history
	PushedAt  time.Time `json:"pushed_at"`
	Commits   []Commit  `json:"commits"`
	Truncated bool      `json:"truncated,omitempty"` // more commits than are named
	Mark      string    `json:"mark,omitempty"`
}

// Commit is one commit of a push. Authored is the author's date, which a
// rebase keeps.
type Commit struct {
	SHA      string    `json:"sha"`
	Authored time.Time `json:"authored"`
}

// Deployment is one rollout to one environment.
type Deployment struct {
	Rollout        string    `json:"rollout"`
	Change         string    `json:"change"`
	Service        string    `json:"service"`
	Team           string    `json:"team,omitempty"`
	Environment    string    `json:"environment"`
	Commit         string    `json:"commit"`
	Revision       string    `json:"revision"`
	Kind           string    `json:"kind"` // deploy, redeploy, rollback or baseline
	StartedAt      time.Time `json:"started_at"`
	At             time.Time `json:"at"`      // when it served everybody, or was taken back
	Outcome        string    `json:"outcome"` // promoted, rolled_back, aborted or failed; empty while it moves
	Weight         int       `json:"weight"`  // largest share of users it was given, basis points
	Reason         string    `json:"reason,omitempty"`
	CanaryRequests int64     `json:"canary_requests,omitempty"`
	CanaryBad      int64     `json:"canary_bad,omitempty"`
}

// Incident is an incident as far as delivery is concerned.
type Incident struct {
	Incident    string    `json:"incident"`
	Service     string    `json:"service"`
	Environment string    `json:"environment"`
	Severity    int       `json:"severity"`
	BeganAt     time.Time `json:"began_at"`
	OverAt      time.Time `json:"over_at,omitzero"` // when users were no longer hurt, zero while they are
	Resolved    bool      `json:"resolved,omitempty"`
	Suspects    []string  `json:"suspects,omitempty"` // rollouts that came shortly before
	TakenBack   []string  `json:"taken_back,omitempty"`
	Culprits    []Culprit `json:"culprits,omitempty"`
}

// Culprit is a rollout that a person named as the cause.
type Culprit struct {
	Rollout string `json:"rollout"`
	By      string `json:"by"`
}

// The projections: records by change, rollout and incident, indexed by
// "service" or by "place" (SERVICE.ENVIRONMENT) in order of time.
const (
	pushName       = "dora.push"
	deploymentName = "dora.deployment"
	incidentName   = "dora.incident"
)

// Projections folds the records.
func Projections() []*projection.Projection {
	return []*projection.Projection{
		projection.Define(projection.Fold[Push]{
			Name: pushName, Version: 1, Types: []string{changePushed, changeMarked},
			Keys:  keyed(func(d pushed) string { return d.Change }),
			Apply: func(_ string, p Push, e event.Event) (Push, error) { return p.apply(e) },
			Indexes: func(_ string, p Push) []projection.Index {
				if p.Service == "" {
					return nil
				}
				return []projection.Index{{Name: "service", Value: p.Service, Sort: sortable(p.PushedAt)}}
			},
		}),
		projection.Define(projection.Fold[Deployment]{
			Name: deploymentName, Version: 1,
			Types: []string{rolloutStarted, rolloutPromoted, rolloutRolledBack, rolloutAborted, rolloutFinished, "rollout.stepped"},
			Keys:  keyed(func(d moved) string { return d.Rollout }),
			Apply: func(_ string, d Deployment, e event.Event) (Deployment, error) { return d.apply(e) },
			Indexes: func(_ string, d Deployment) []projection.Index {
				if d.Outcome == "" || d.Service == "" {
					return nil
				}
				return []projection.Index{{Name: "place", Value: place(d.Service, d.Environment), Sort: sortable(d.At)}}
			},
		}),
		projection.Define(projection.Fold[Incident]{
			Name: incidentName, Version: 1, Types: []string{incidentOpened, incidentLinked, incidentMitigated, incidentResolved},
			Keys:  keyed(func(d troubled) string { return d.Incident }),
			Apply: func(_ string, i Incident, e event.Event) (Incident, error) { return i.apply(e) },
			Indexes: func(_ string, i Incident) []projection.Index {
				if i.Service == "" {
					return nil
				}
				return []projection.Index{{Name: "place", Value: place(i.Service, i.Environment), Sort: sortable(i.BeganAt)}}
			},
		}),
	}
}

func place(service, environment string) string { return service + "." + environment }

func sortable(t time.Time) string { return fmt.Sprintf("%020d", t.UnixMicro()) }

func keyed[T any](name func(T) string) func(event.Event) []string {
	return func(e event.Event) []string {
		d, err := event.Decode[T](e)
		if err != nil || name(d) == "" {
			return nil
		}
		return []string{name(d)}
	}
}

// apply folds a push. A commit pushed again, after a force-push back and
// forth, keeps its first push.
func (p Push) apply(e event.Event) (Push, error) {
	d, err := event.Decode[pushed](e)
	switch {
	case err != nil:
	case e.Type == changeMarked:
		p.Change, p.Mark = d.Change, d.As
	case p.PushedAt.IsZero() || e.Time.Before(p.PushedAt):
		p = Push{Change: d.Change, Service: d.Service, Commit: d.Commit, Previous: d.Previous, PushedAt: e.Time, Commits: d.Commits, Truncated: d.Truncated, Mark: p.Mark}
	}
	return p, err
}

func (d Deployment) apply(e event.Event) (Deployment, error) {
	m, err := event.Decode[moved](e)
	if err != nil {
		return d, err
	}
	set := func(to *string, v string) {
		if v != "" {
			*to = v
		}
	}
	set(&d.Rollout, m.Rollout)
	set(&d.Change, m.Change)
	set(&d.Service, m.Service)
	set(&d.Team, m.Team)
	set(&d.Environment, m.Environment)
	set(&d.Commit, m.Commit)
	set(&d.Revision, m.Revision)
	set(&d.Kind, m.Kind)
	set(&d.Reason, m.Reason)
	d.Weight = max(d.Weight, m.Weight)
	d.CanaryRequests, d.CanaryBad = max(d.CanaryRequests, m.CanaryRequests), max(d.CanaryBad, m.CanaryBad)
	end := func(outcome string) {
		if d.Outcome == "" {
			d.Outcome, d.At = outcome, e.Time
		}
	}
	switch e.Type {
	case rolloutStarted:
		d.StartedAt = e.Time
	case rolloutPromoted:
		d.Weight = 10_000
		end(outcomePromoted)
	case rolloutRolledBack:
		end("rolled_back")
	case rolloutAborted:
		end("aborted")
	case rolloutFinished:
		end(m.Outcome)
	}
	return d, nil
}

func (i Incident) apply(e event.Event) (Incident, error) {
	d, err := event.Decode[troubled](e)
	if err != nil {
		return i, err
	}
	i.Incident = d.Incident
	switch e.Type {
	case incidentOpened:
		i.Service, i.Environment, i.Severity, i.BeganAt = d.Service, d.Environment, d.Severity, e.Time
		if began, err := time.Parse(time.RFC3339, d.Began); err == nil && !began.IsZero() {
			i.BeganAt = began
		}
	case incidentMitigated:
		i.OverAt = e.Time
		return i, nil
	case incidentResolved:
		i.Resolved = true
		if i.OverAt.IsZero() {
			i.OverAt = e.Time
		}
		return i, nil
	}
	if d.Severity > 0 {
		i.Severity = min(i.Severity, d.Severity)
	}
	switch {
	case d.Role == roleTrigger:
		i.OverAt = time.Time{} // it hurts, or hurts again
		if d.Kind == linkRollback && d.Rollout != "" {
			i.TakenBack = append(slices.Clip(i.TakenBack), d.Rollout)
		}
	case d.Role == roleCulprit && d.Rollout != "":
		i.Culprits = append(slices.Clip(i.Culprits), Culprit{Rollout: d.Rollout, By: e.Actor})
	case d.Role == roleSuspect && d.Rollout != "":
		i.Suspects = append(slices.Clip(i.Suspects), d.Rollout)
	}
	return i, nil
}
