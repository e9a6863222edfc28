package incident

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/feedback/support"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// Stage is a log, its states and a clock on which recorded facts are played
// again. Nothing that happens there reaches anybody.
type Stage struct {
	Log    event.Log
	Reader projection.Reader
	Clock  *clock.Virtual
	// CatchUp folds what is recorded on the stage.
	CatchUp func(ctx context.Context) error
}

// Replayed lists the types of facts, and prefixes of types, that a rehearsal is
// made from.
var Replayed = []string{
	resource.EventApplied, resource.EventDeleted, rolloutStarted, rolloutPromoted, rolloutRolledBack,
	"alert.", budgetChanged, "integration.", "oncall.", "maintenance.", "incident.",
}

// rehearsal is one run through recorded facts.
type rehearsal struct {
	Stage
	runner   *control.Runner
	proposed map[string]bool // resources that stand in for recorded ones, by subject
	routes   bool            // routes are among them: alerts find their way anew
}

// Rehearse plays recorded facts on a stage: what happened, and what people did,
// with the resources proposed instead of those recorded. Whom it pages is
// decided anew, by the controllers that decide live. facts are of the types
// Replayed, in order of position.
func Rehearse(ctx context.Context, s Stage, facts []event.Event, proposed []resource.Applied, until time.Time) ([]Paging, error) {
	env := &control.Env{
		Log: s.Log, Reader: s.Reader, Sync: s.CatchUp, Now: s.Clock.Now,
		Lease:   func() event.Lease { return event.Lease{} },
		Sources: map[string]control.Source{oncall.SourceName: oncall.Source(s.Reader)},
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	r := &rehearsal{Stage: s, proposed: map[string]bool{}, runner: control.NewRunner(env, s.Clock, quiet, control.Bind(support.Controller()), control.Bind(Controller()))}
	if err := r.runner.Start(ctx); err != nil {
		return nil, err
	}
	for _, p := range proposed {
		subject := resource.Key(p.Kind, p.Metadata.Name)
		r.proposed[subject] = true
		r.routes = r.routes || p.Kind == alert.KindRoute
		if err := r.record(ctx, "resources", event.Draft{Type: resource.EventApplied, Subject: subject, Actor: "rehearsal", Data: p}); err != nil {
			return nil, err
		}
	}
	for _, e := range facts {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := r.advance(ctx, e.Recorded); err != nil {
			return nil, err
		}
		if err := r.replay(ctx, e); err != nil {
			return nil, err
		}
	}
	if err := r.advance(ctx, until); err != nil {
		return nil, err
	}
	return Pagings(ctx, s.Log)
}

// replay records a fact on the stage, unless it is one that is decided there.
func (r *rehearsal) replay(ctx context.Context, e event.Event) error {
	d := event.Draft{ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject, Time: e.Time, Actor: e.Actor, Cause: e.Cause, Data: e.Data}
	switch {
	case e.Erased, r.proposed[e.Subject]:
		return nil
	case r.routes && (e.Type == alertFired || e.Type == alertResolved):
		f, err := event.Decode[alert.Fired](e)
		if err != nil {
			return err
		}
		if f.Integration == "" {
			break // an objective's: no route leads it
		}
		if d.Data, err = alert.Again(ctx, r.Reader, f, e.Time); err != nil {
			return err
		}
	case strings.HasPrefix(e.Type, "incident."):
		if strings.HasPrefix(e.Actor, "controller:") {
			return nil
		}
		fits, err := r.fit(ctx, &d, e)
		if err != nil || !fits {
			return err
		}
	}
	return r.record(ctx, e.Stream, d)
}

// fit puts what somebody did about an incident to the one that is open on the
// stage; it has another name there when it began at another second.
func (r *rehearsal) fit(ctx context.Context, d *event.Draft, e event.Event) (bool, error) {
	p, err := event.Decode[Place](e)
	if err != nil {
		return false, err
	}
	desk, _, err := projection.Get[Desk](ctx, r.Reader, deskName, Key(p.Service, p.Environment))
	if err != nil || e.Type == EventOpened {
		return desk.Open == nil, err
	}
	if desk.Open == nil {
		return false, nil
	}
	var data map[string]json.RawMessage
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return false, err
	}
	data["incident"], err = json.Marshal(desk.Open.Place.Incident)
	d.Data, d.Subject = data, "incident/"+desk.Open.Place.Incident
	return true, err
}

func (r *rehearsal) record(ctx context.Context, stream string, d event.Draft) error {
	if _, err := r.Log.Append(ctx, event.Batch{Stream: stream, Expect: event.AnyVersion, Drafts: []event.Draft{d}}); err != nil {
		return err
	}
	return r.settle(ctx)
}

// advance goes on to a moment, and stops wherever a controller wants to wake.
func (r *rehearsal) advance(ctx context.Context, to time.Time) error {
	for {
		did, until := r.runner.Step(ctx)
		if did {
			if err := r.settle(ctx); err != nil {
				return err
			}
			continue
		}
		next := r.Clock.Now().Add(until)
		if next.After(to) {
			break
		}
		r.Clock.AdvanceTo(next)
	}
	if to.After(r.Clock.Now()) {
		r.Clock.AdvanceTo(to)
	}
	return nil
}

// settle lets the controllers do everything that is due.
func (r *rehearsal) settle(ctx context.Context) error {
	for {
		if err := r.runner.Poll(ctx); err != nil {
			return err
		}
		if did, _ := r.runner.Step(ctx); !did {
			return r.CatchUp(ctx)
		}
	}
}
