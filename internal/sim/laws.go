package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/app"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// judge checks the history of a world that has come to rest.
func (w *world) judge() {
	events := w.keeper.events()
	w.result.Events = len(events)
	w.lawOfLog(events)
	w.lawOfDecisions(events)
	w.lawOfStates()
	w.lawOfEffects(events)
	w.lawOfRollouts(events)
	w.lawOfRest()
	w.lawOfCounts(events)
	w.lawOfBudgets()
	w.lawOfIncidents(events)
	w.lawOfPages()
	w.result.Pages = len(w.pager.accepted)
	w.result.Digest = digest(events)
}

// digest identifies a history.
func digest(events []event.Event) string {
	h := sha256.New()
	for _, e := range events {
		fmt.Fprintln(h, e.ID, e.Type, e.Subject, e.Actor, e.Cause, e.Time.UnixNano(), string(e.Data))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func (w *world) lawOfLog(events []event.Event) {
	for _, e := range w.keeper.lost(events) {
		w.violated(ruleKept, "%s (%s) was acknowledged at position %d and is not there", e.ID, e.Type, e.Position)
	}
	if _, err := w.keeper.entry.Verify(context.Background(), nil); err != nil {
		w.violated(ruleChain, "%v", err)
	}
}

// lawOfDecisions recomputes every decision and every gate.
func (w *world) lawOfDecisions(events []event.Event) {
	replayers := app.Replayers()
	for _, e := range events {
		switch e.Type {
		case control.EventDecided:
			var d control.Decision
			decode(e, &d)
			w.result.Decisions++
			_, same, err := replayers[d.Controller].Replay(d)
			if err != nil || !same {
				w.violated(ruleReplay, "%s (%s, %s) does not come out again: %v", e.ID, d.Verdict, d.Reason, err)
			}
			if want := fmt.Sprintf("%s/%s@%d", d.Controller, d.Key, e.Version); e.ID != want {
				w.violated(ruleVersion, "%s was decided on another version than %s", e.ID, want)
			}
		case action.EventGated:
			w.regate(e)
		}
	}
}

func (w *world) regate(e event.Event) {
	var g action.Gated
	decode(e, &g)
	if len(g.Inputs) == 0 {
		return
	}
	w.result.Gates++
	var in control.GateInput
	if err := event.Unmarshal(g.Inputs, &in); err != nil {
		w.violated(ruleReplay, "the inputs of gate %s cannot be read: %v", e.ID, err)
		return
	}
	again, _ := release.Gate(in, g.Now)
	if again.Phase != g.Phase || !slices.Equal(again.Clauses, g.Clauses) {
		w.violated(ruleReplay, "the gate of %s said %s, and says %s", g.ID, g.Phase, again.Phase)
	}
}

// lawOfStates folds everything anew, in one go, and compares.
func (w *world) lawOfStates() {
	ctx := context.Background()
	fresh := memory.New(memory.Options{Clock: w.clock})
	if err := projection.Rebuild(ctx, w.keeper.entry.Log(), fresh.States(), event.Query{}, app.Projections()...); err != nil {
		w.violated(ruleFold, "folding anew: %v", err)
		return
	}
	for _, p := range app.Projections() {
		live, anew := rows(ctx, w.keeper.entry.States(), p.Name), rows(ctx, fresh.States(), p.Name)
		if len(live) != len(anew) {
			w.violated(ruleFold, "%s has %d states live and %d anew", p.Name, len(live), len(anew))
		}
		for i := range min(len(live), len(anew)) {
			if live[i].Key != anew[i].Key || !bytes.Equal(live[i].State, anew[i].State) {
				w.violated(ruleFold, "%s %s differs: %s", p.Name, live[i].Key, difference(live[i].State, anew[i].State))
				break
			}
		}
	}
}

func rows(ctx context.Context, s projection.Store, name string) []projection.Row {
	var out []projection.Row
	f := projection.Filter{Limit: projection.MaxPage}
	for {
		page, err := s.List(ctx, name, f)
		if err != nil {
			panic("sim: states cannot be listed: " + err.Error())
		}
		out = append(out, page.Rows...)
		if page.Next == "" {
			return out
		}
		f.After = page.Next
	}
}

// difference is the place where two texts part.
func difference(a, b []byte) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	from := max(0, i-40)
	return fmt.Sprintf("live …%s, anew …%s", a[from:min(len(a), i+60)], b[from:min(len(b), i+60)])
}

// lawOfEffects counts what may happen but once.
func (w *world) lawOfEffects(events []event.Event) {
	once := map[string]int{}
	for _, e := range events {
		switch e.Type {
		case rollout.EventStarted, action.EventSucceeded, action.EventFailed:
			once[e.Type+" for "+e.Cause]++
		case "pipeline.started", "artifact.built", "change.pushed":
			once[e.Type+" of "+e.Stream]++
		case action.EventProposed:
			var p action.Proposal
			decode(e, &p)
			once["proposal "+p.ID]++
		}
	}
	for what, n := range once {
		if n > 1 {
			w.violated(ruleOnce, "%d × %s", n, what)
		}
	}
	for id, s := range w.shop.steps {
		if s.runs > 1 {
			w.violated(ruleOnce, "step %s was started %d times", id, s.runs)
		}
	}
}

// told is what a rollout's facts say of it.
type told struct {
	rollout.Started
	requested, deadline bool
	judged              time.Time // until
	ended               bool
}

func (w *world) lawOfRollouts(events []event.Event) {
	all, moving, quarantine := map[string]*told{}, map[place]string{}, map[arm]bool{}
	for _, e := range events {
		var d rollout.Ended
		if e.Type == rollout.EventRolledBack || e.Type == release.EventQuarantineLifted {
			decode(e, &d)
			quarantine[arm{place{d.Service, d.Environment}, d.Revision}] = e.Type == rollout.EventRolledBack
		}
		name, ours := strings.CutPrefix(e.Stream, "rollout/")
		if !ours {
			continue
		}
		t := all[name]
		switch e.Type {
		case rollout.EventStarted:
			t = &told{}
			decode(e, &t.Started)
			all[name] = t
			at := place{t.Service, t.Environment}
			if m := moving[at]; m != "" && m != name {
				w.violated(ruleTurn, "%s starts while %s moves in %s", name, m, at)
			}
			if quarantine[arm{at, t.Revision}] {
				w.violated(ruleQuarantine, "%s starts %s, which went back in %s", name, t.Revision, at)
			}
			moving[at] = name
			w.result.Rollouts++
		case rollout.EventPromoteRequested:
			t.requested = true
		case control.EventDecided:
			var c control.Decision
			decode(e, &c)
			t.deadline = t.deadline || c.Rule == "deadline" && c.Verdict == "on"
		case rollout.EventPromoted:
			w.lawOfPromotion(t)
		case rollout.EventFinished:
			decode(e, &d)
			w.result.Outcomes[d.Outcome]++
			if t.ended {
				w.violated(ruleOnce, "%s finished twice", name)
			}
			t.ended = true
			delete(moving, place{t.Service, t.Environment})
		}
	}
}

// lawOfPromotion checks that what was promoted is no worse than what it took
// the place of, in what is judged. One that was never ready cannot serve.
func (w *world) lawOfPromotion(t *told) {
	now, before := w.shop.conduct[t.Commit], w.shop.conduct[t.FromCommit]
	if now.neverReady || now.crashLoop {
		w.violated(ruleBad, "%s is promoted and was never ready", t.Rollout)
	}
	if t.Strategy != rollout.StrategyCanary || t.requested || t.deadline {
		return
	}
	worse := now.errors + now.hang - before.errors - before.hang
	if w.company.latency(t.Service) {
		worse = max(worse, now.slow+now.hang-before.slow-before.hang)
	}
	if worse >= 0.25 {
		w.violated(ruleBad, "%s is promoted, a change with %s that spoils %.0f %% more", t.Rollout, now.kind, 100*worse)
	}
}

// lawOfRest looks at what is left when nothing moves any more.
func (w *world) lawOfRest() {
	p := w.people
	if !p.nothingMoves(false) {
		for _, r := range p.moving() {
			w.violated(ruleEnds, "%s still moves: %s, %s", r.Rollout, r.Phase, r.Reason)
		}
		for _, a := range list[action.Action](p, action.ProjectionName, "open", "yes") {
			if a.Phase != action.Blocked {
				w.violated(ruleEnds, "action %s (%s) is still %s after %d attempts: %s", a.ID, a.Type, a.Phase, a.Attempts, a.Error)
			}
		}
		w.violated(ruleEnds, "the company does not come to rest: server %v, agent down %v, %d counts and %d acts left", w.server != nil, w.plane.down(), len(w.plane.pending), len(p.acts))
		return
	}
	for _, at := range w.plane.places() {
		here := read[release.Place](p, release.PlaceName, release.PlaceKey(at.service, at.environment))
		stable := ""
		if here.Stable != nil {
			stable = here.Stable.Revision
		}
		for _, s := range w.plane.routes[at].effective() {
			if s.Weight > 0 && s.Revision != stable {
				w.violated(ruleStable, "%s has %d basis points in %s, where %s is stable", s.Revision, s.Weight, at, stable)
			}
		}
		for ref := range w.plane.revisions {
			if ref.Service == at.service && ref.Environment == at.environment && ref.Revision != stable {
				w.violated(ruleStable, "%s still runs, and %s is stable", ref, stable)
			}
		}
	}
}

// lawOfCounts compares each reading a rollout was judged by with the truth.
func (w *world) lawOfCounts(events []event.Event) {
	rollouts := map[string]*told{}
	for _, e := range events {
		switch e.Type {
		case rollout.EventStarted:
			t := &told{}
			decode(e, &t.Started)
			rollouts[t.Rollout] = t
		case rollout.EventJudged:
			var d rollout.Judged
			decode(e, &d)
			t := rollouts[d.Rollout]
			if !t.judged.IsZero() && !d.Arms.From.Equal(t.judged) {
				w.violated(ruleCounts, "%s is judged from %s on, after having been judged until %s", d.Rollout, d.Arms.From, t.judged)
			}
			t.judged = d.Arms.Until
			w.compare(t, d.Arms)
		}
	}
}

func (w *world) compare(t *told, a rollout.Arms) {
	at := place{t.Service, t.Environment}
	threshold := slices.Contains(a.ThresholdsNS, int64(300*time.Millisecond))
	for _, side := range []struct {
		name, revision string
		of             func(rollout.ArmsBin) rollout.Counts
	}{
		{"baseline", t.From, func(b rollout.ArmsBin) rollout.Counts { return b.Baseline }},
		{"canary", t.Revision, func(b rollout.ArmsBin) rollout.Counts { return b.Canary }},
	} {
		var seen, truth tally
		for _, b := range a.Bins {
			c := side.of(b)
			seen = seen.plus(tally{requests: c.Requests, errors: c.Errors})
			if threshold && len(c.Slow) > 0 {
				seen.slow += c.Slow[0]
			}
		}
		for second, n := range w.plane.truth[arm{at, side.revision}] {
			if second >= a.From.Unix() && second < a.Until.Unix() {
				truth = truth.plus(n)
			}
		}
		if !threshold {
			truth.slow = 0
		}
		if seen != truth {
			w.violated(ruleCounts, "%s from %s until %s: %s judged by %+v, true is %+v", t.Rollout, a.From.Format("15:04:05"), a.Until.Format("15:04:05"), side.name, seen, truth)
		}
	}
}

// lawOfBudgets compares what objectives have counted with what happened.
func (w *world) lawOfBudgets() {
	if w.server == nil {
		return // told by lawOfRest
	}
	for _, s := range w.server.app.Objectives() {
		o := s.Objective
		var truth tally
		for a, seconds := range w.plane.truth {
			if a.place != (place{o.Service, o.Environment}) {
				continue
			}
			for _, n := range seconds {
				truth = truth.plus(n)
			}
		}
		bad := truth.errors
		if o.Name == "latency" {
			bad = truth.slow
		}
		if int64(s.Total) != truth.requests || int64(s.Total-s.Good) != bad {
			w.violated(ruleBudget, "%s counted %.0f bad of %.0f, true is %d of %d", o.Key(), s.Total-s.Good, s.Total, bad, truth.requests)
		}
	}
}

// cause reports whether a fact opens an incident, or belongs to the one that is open.
func cause(e event.Event) bool {
	switch e.Type {
	case rollout.EventRolledBack:
		return true
	case "alert.fired":
		var d struct {
			Severity string `json:"severity"`
		}
		decode(e, &d)
		return d.Severity == "page"
	case "budget.changed":
		var d struct {
			Level string `json:"level"`
		}
		decode(e, &d)
		return d.Level == "exhausted"
	}
	return false
}

func (w *world) lawOfIncidents(events []event.Event) {
	open, found := map[string]string{}, map[string]int{}
	for _, e := range events {
		var d incident.Linked
		if strings.HasPrefix(e.Type, "incident.") {
			decode(e, &d)
		}
		at := incident.Key(d.Service, d.Environment)
		switch e.Type {
		case incident.EventOpened:
			if open[at] != "" {
				w.violated(ruleIncident, "%s is opened while %s is open", d.Incident, open[at])
			}
			open[at] = d.Incident
			w.result.Incidents++
			found[d.Event]++
		case incident.EventLinked:
			found[d.Event]++
		case incident.EventResolved:
			delete(open, at)
		}
	}
	for _, e := range events {
		if cause(e) && found[e.ID] != 1 {
			w.violated(ruleIncident, "%s (%s) belongs to %d incidents", e.ID, e.Type, found[e.ID])
		}
	}
}

func (w *world) lawOfPages() {
	actions := map[string]bool{}
	for _, a := range list[action.Action](w.people, action.ProjectionName, "type", incident.ActionPage) {
		actions[a.ID] = true
		if a.Phase == action.Succeeded && w.pager.accepted[a.ID] == 0 {
			w.violated(rulePages, "%s succeeded and never arrived", a.ID)
		}
	}
	for id := range w.pager.accepted {
		if !actions[id] {
			w.violated(rulePages, "the pager got %s, which is no page that was decided", id)
		}
	}
}
