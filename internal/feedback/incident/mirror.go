package incident

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// The types of message that end, at another incident tool, what a page began.
const (
	MirrorAcknowledged = "incident.acknowledged"
	MirrorResolved     = "incident.resolved"
)

// Mirrored says that other incident tools are told where an incident stands.
type Mirrored struct {
	Place
	As       string   `json:"as"` // acknowledged or resolved
	Channels []string `json:"channels"`
}

// Mirror is one incident, and the channels of its team that are incident tools
// of their own.
type Mirror struct {
	Incident Incident          `json:"incident"`
	Channels []catalog.Webhook `json:"channels,omitempty"`
	Done     string            `json:"done,omitempty"` // what they were told last
}

// mirrorName is where what other tools were told last is folded, by incident.
const mirrorName = "incident.mirror"

func mirrors() *projection.Projection {
	return projection.Define(projection.Fold[string]{
		Name: mirrorName, Version: 1, Types: []string{EventMirrored},
		Keys: func(e event.Event) []string {
			m, err := event.Decode[Mirrored](e)
			if err != nil || m.Incident == "" {
				return nil
			}
			return []string{m.Incident}
		},
		Apply: func(_, _ string, e event.Event) (string, error) {
			m, err := event.Decode[Mirrored](e)
			return m.As, err
		},
	})
}

// MirrorController tells other incident tools, such as PagerDuty, when an
// incident they were paged for is acknowledged or resolved here. It is keyed by
// the incident's name.
func MirrorController() control.Controller[Mirror] {
	return control.Controller[Mirror]{
		Name: "mirror",
		Wakes: func(e event.Event) []string {
			if e.Type != EventAcknowledged && e.Type != EventResolved {
				return nil
			}
			p, err := event.Decode[Place](e)
			if err != nil || p.Incident == "" {
				return nil
			}
			return []string{p.Incident}
		},
		Active: func(ctx context.Context, r projection.Reader) (keys []string, err error) {
			// What changed while no server ran is among the newest.
			list, _, err := projection.List[Incident](ctx, r, ProjectionName, projection.Filter{Index: "all", Value: "yes", Limit: 100, Newest: true})
			for _, i := range list {
				keys = append(keys, i.Place.Incident)
			}
			return keys, err
		},
		Load:   loadMirror,
		Decide: DecideMirror,
	}
}

func loadMirror(ctx context.Context, r projection.Reader, key string) (m Mirror, err error) {
	i, ok, err := Get(ctx, r, key)
	if err != nil || !ok || i.Paged == 0 || i.Elsewhere {
		return m, err
	}
	m.Incident = i
	if m.Done, _, err = projection.Get[string](ctx, r, mirrorName, key); err != nil {
		return m, err
	}
	team, err := catalog.GetTeam(ctx, r, i.Team)
	if problem.KindOf(err) == problem.NotFound {
		return m, nil
	}
	for _, w := range team.Page {
		if w.Channel == "" || err != nil {
			continue
		}
		var spec channel.Spec
		spec, _, err = catalog.Get[channel.Spec](ctx, r, channel.Kind, w.Channel)
		if problem.KindOf(err) == problem.NotFound {
			err = nil
		} else if err == nil && spec.Kind() == notify.KindPagerDuty {
			m.Channels = append(m.Channels, w)
		}
	}
	return m, err
}

// DecideMirror tells what is not told yet. What came from there is not sent
// back.
func DecideMirror(v control.View[Mirror], now time.Time) (plan control.Plan) {
	i := v.State.Incident
	as, kind, by, cause := "", "", "", ""
	switch {
	case !i.ResolvedAt.IsZero():
		as, kind, by, cause = StateResolved, MirrorResolved, i.ResolvedBy, i.Resolution
	case !i.AcknowledgedAt.IsZero():
		as, kind, by = StateAcknowledged, MirrorAcknowledged, i.AcknowledgedBy
	}
	if as == "" || as == v.State.Done || len(v.State.Channels) == 0 || strings.HasPrefix(by, ActorPagerDuty) {
		return plan
	}
	m := Mirrored{Place: i.Place, As: as}
	for _, c := range v.State.Channels {
		if slices.Contains(m.Channels, c.Channel) {
			continue
		}
		m.Channels = append(m.Channels, c.Channel)
		p := Page{Type: kind, Channel: c.Channel, To: c.To, At: now}
		p.Data = PageData{Place: i.Place, Severity: i.Severity, Title: i.Title, BeganAt: i.BeganAt, OpenedAt: i.OpenedAt, Links: []Link{}}
		plan.Actions = append(plan.Actions, action.Proposal{
			ID: plainID(fmt.Sprintf("mirror-%s-%s-", i.Place.Incident, as), c.Channel), Type: ActionPage, Subject: "incident/" + i.Place.Incident,
			Reason: fmt.Sprintf("%s was %s by %s", i.Place.Incident, as, by), Params: action.Params(p),
		})
	}
	plan.Facts = []event.Draft{{Type: EventMirrored, Subject: "incident/" + i.Place.Incident, Data: m}}
	plan.Verdict, plan.Rule, plan.Cause = "tell", as, i.Event
	plan.Reason = fmt.Sprintf("%s was %s by %s here, and %s knows it as open", i.Place.Incident, as, by, strings.Join(m.Channels, ", "))
	plan.Evidence = map[string]any{"incident": i.Place.Incident, "as": as, "resolution": cause}
	return plan
}

// ActorPagerDuty begins the name of whoever acts at PagerDuty.
const ActorPagerDuty = "pagerduty:"

// OpenIn reads the incident that is open for a service in an environment.
func OpenIn(ctx context.Context, r projection.Reader, service, environment string) (Incident, bool, error) {
	d, ok, err := projection.Get[Desk](ctx, r, deskName, Key(service, environment))
	if err != nil || !ok || d.Open == nil {
		return Incident{}, false, err
	}
	return *d.Open, true, nil
}
