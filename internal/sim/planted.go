package sim

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/measure"
	"github.com/flyball-dev/flyball/internal/port/notify"
	"github.com/flyball-dev/flyball/internal/port/store"
	"github.com/flyball-dev/flyball/internal/port/traffic"
)

// Bug is a mistake that is put between the real parts, to see that it is
// caught. Each field, when given, goes around one port of every server.
type Bug struct {
	Name     string // what is wrong
	Caught   string // the invariant that is to find it
	Store    func(store.Store) store.Store
	Reader   func(projection.Reader) projection.Reader
	Router   func(traffic.Router) traffic.Router
	Measures func(measure.Source) measure.Source
	Notifier func(notify.Notifier) notify.Notifier
	Loses    int // appends that are acknowledged before they are durable
}

// The bugs of the modelled outside, which has no port to go around.
const (
	bugAgentEpoch = "the agent takes writes under an older epoch"
	bugLease      = "a canary's lease never lapses"
	bugSteps      = "a step's identifier is forgotten, and it is started again"
	bugRemove     = "what is removed goes on running"
)

// Bugs is the table of planted bugs.
func Bugs() []*Bug {
	return []*Bug{
		{Name: "the store acknowledges an append before it is durable", Caught: ruleKept, Loses: 1},
		{Name: "the store takes appends under an older epoch", Caught: ruleEpoch, Store: logs(appending(unfenced))},
		{Name: bugAgentEpoch, Caught: ruleEpoch},
		{Name: "the store does not check the stream's version", Caught: ruleVersion, Store: logs(appending(unversioned))},
		{Name: "the store keeps an event again that it has", Caught: ruleOnce, Store: logs(func(l event.Log) event.Log { return forgetful{l} })},
		{Name: bugSteps, Caught: ruleOnce},
		{Name: "a decision is recorded with readings it was not made from", Caught: ruleReplay, Store: logs(appending(misquoted))},
		{Name: "a projection's cursor moves past an event it did not fold", Caught: ruleFold, Store: skipping},
		{Name: "after a restart nobody looks at what was moving", Caught: ruleEnds, Reader: hidingMoving},
		{Name: "failures are not counted", Caught: ruleBad, Measures: bins(spotless)},
		{Name: "a canary's share is rounded up to whole tenths", Caught: ruleCeiling, Router: rounding},
		{Name: bugLease, Caught: ruleLease},
		{Name: bugRemove, Caught: ruleStable},
		{Name: "the gate does not see the quarantine", Caught: ruleQuarantine, Reader: hiding("place", "quarantine")},
		{Name: "the gate does not see that another rollout moves", Caught: ruleTurn, Reader: hiding("place", "moving")},
		{Name: "counts are said to be complete one second too far", Caught: ruleCounts, Measures: bins(early)},
		{Name: "the counts a rollout is judged by are read twice", Caught: ruleCounts, Store: blobs(func(b store.Blobs) store.Blobs { return echoing{b} })},
		{Name: "counts are acknowledged before they are stored", Caught: ruleBudget, Measures: hasty},
		{Name: "counts are stored without how far they were read", Caught: ruleBudget, Store: blobs(func(b store.Blobs) store.Blobs { return cursorless{b} })},
		{Name: "one bin in fifty is delivered twice", Caught: ruleBudget, Measures: bins(stuttering)},
		{Name: "the controller of incidents does not see the open one", Caught: ruleIncident, Reader: hiding("incident.desk", "open")},
		{Name: "a page gets a new identifier with every attempt", Caught: rulePages, Notifier: renaming},
		{Name: "a page is said to be delivered and is not", Caught: rulePages, Notifier: silent},
		{Name: "a payload is cut off when it is read", Caught: ruleServes, Store: logs(func(l event.Log) event.Log { return cutting{l} })},
	}
}

func (b *Bug) is(name string) bool { return b.Name == name }

// around puts a bug's wrapper around a part, if it has one.
func around[T any](wrap func(T) T, part T) T {
	if wrap == nil {
		return part
	}
	return wrap(part)
}

// wrapped is a store of which some parts are others.
type wrapped struct {
	store.Store
	log    func(event.Log) event.Log
	states func(projection.Store) projection.Store
	blobs  func(store.Blobs) store.Blobs
}

func (w wrapped) Log() event.Log           { return around(w.log, w.Store.Log()) }
func (w wrapped) States() projection.Store { return around(w.states, w.Store.States()) }
func (w wrapped) Blobs() store.Blobs       { return around(w.blobs, w.Store.Blobs()) }

func logs(wrap func(event.Log) event.Log) func(store.Store) store.Store {
	return func(s store.Store) store.Store { return wrapped{Store: s, log: wrap} }
}

func blobs(wrap func(store.Blobs) store.Blobs) func(store.Store) store.Store {
	return func(s store.Store) store.Store { return wrapped{Store: s, blobs: wrap} }
}

// appender changes batches on their way.
type appender struct {
	event.Log
	change func(*event.Batch)
}

func appending(change func(*event.Batch)) func(event.Log) event.Log {
	return func(l event.Log) event.Log { return appender{l, change} }
}

func (a appender) Append(ctx context.Context, b event.Batch) ([]event.Event, error) {
	a.change(&b)
	return a.Log.Append(ctx, b)
}

func unfenced(b *event.Batch)    { b.Lease = event.Lease{} }
func unversioned(b *event.Batch) { b.Expect = event.AnyVersion }

// misquoted records every reading as incomplete.
func misquoted(b *event.Batch) {
	for i, d := range b.Drafts {
		if decision, ok := d.Data.(control.Decision); ok {
			decision.View = bytes.ReplaceAll(decision.View, []byte(`"complete":true`), []byte(`"complete":false`))
			b.Drafts[i].Data = decision
		}
	}
}

// forgetful gives a known event another identifier, so that it is kept again.
type forgetful struct{ event.Log }

func (f forgetful) Append(ctx context.Context, b event.Batch) ([]event.Event, error) {
	for i := range b.Drafts {
		for n := 0; b.Drafts[i].ID != ""; n++ {
			known, err := f.Read(ctx, event.Query{ID: b.Drafts[i].ID})
			if err != nil {
				return nil, err
			}
			if len(known) == 0 {
				break
			}
			b.Drafts[i].ID = fmt.Sprintf("%s~%d", b.Drafts[i].ID, n)
		}
	}
	return f.Log.Append(ctx, b)
}

// cutting spoils the payload of rollouts that are judged.
type cutting struct{ event.Log }

func (c cutting) Read(ctx context.Context, q event.Query) ([]event.Event, error) {
	out, err := c.Log.Read(ctx, q)
	for i, e := range out {
		if e.Type == "rollout.judged" {
			out[i].Data = e.Data[:len(e.Data)/2]
		}
	}
	return out, err
}

// skipping drops what was folded at every thirteenth position.
func skipping(s store.Store) store.Store {
	return wrapped{Store: s, states: func(s projection.Store) projection.Store { return skipper{s} }}
}

type skipper struct{ projection.Store }

func (s skipper) Save(ctx context.Context, name string, m projection.Move, rows []projection.Row) error {
	if m.To%13 == 0 {
		rows = nil
	}
	return s.Store.Save(ctx, name, m, rows)
}

// hiding hides one field of a projection's states from those that read.
func hiding(name, field string) func(projection.Reader) projection.Reader {
	return func(r projection.Reader) projection.Reader { return blinkered{r, name, field} }
}

type blinkered struct {
	projection.Reader
	name, field string
}

func (b blinkered) Load(ctx context.Context, name string, keys []string) (map[string][]byte, error) {
	out, err := b.Reader.Load(ctx, name, keys)
	if name == b.name {
		for k, state := range out {
			out[k] = bytes.Replace(state, []byte(`"`+b.field+`":`), []byte(`"hidden":`), 1)
		}
	}
	return out, err
}

// hidingMoving shows no rollout in lists of those that move.
func hidingMoving(r projection.Reader) projection.Reader { return listless{r} }

type listless struct{ projection.Reader }

func (l listless) List(ctx context.Context, name string, f projection.Filter) (projection.Page, error) {
	if name == "rollout" && f.Index == "moving" {
		return projection.Page{}, nil
	}
	return l.Reader.List(ctx, name, f)
}

func rounding(r traffic.Router) traffic.Router { return rounder{r} }

type rounder struct{ traffic.Router }

func (r rounder) Shift(ctx context.Context, s traffic.Split) error {
	if len(s.Shares) == 2 {
		const tenth = traffic.Whole / 10
		up := (s.Shares[1].Weight + tenth - 1) / tenth * tenth
		s.Shares = []traffic.Share{{Revision: s.Shares[0].Revision, Weight: traffic.Whole - up}, {Revision: s.Shares[1].Revision, Weight: up}}
	}
	return r.Router.Shift(ctx, s)
}

// bins changes the pages a source gives.
func bins(change func(*measure.Page)) func(measure.Source) measure.Source {
	return func(s measure.Source) measure.Source { return altered{s, change} }
}

type altered struct {
	measure.Source
	change func(*measure.Page)
}

func (p altered) Bins(ctx context.Context, after int64, limit int) (measure.Page, error) {
	page, err := p.Source.Bins(ctx, after, limit)
	p.change(&page)
	return page, err
}

func spotless(p *measure.Page) {
	for i := range p.Bins {
		p.Bins[i].Errors, p.Bins[i].Slow = 0, nil
	}
}

func early(p *measure.Page) {
	for i := range p.Watermarks {
		p.Watermarks[i].Until = p.Watermarks[i].Until.Add(time.Second)
	}
}

func stuttering(p *measure.Page) {
	for _, b := range p.Bins {
		if b.Seq%50 == 0 {
			p.Bins = append(p.Bins, b)
		}
	}
}

// hasty acknowledges what it has only just read.
func hasty(s measure.Source) measure.Source { return hastily{s} }

type hastily struct{ measure.Source }

func (h hastily) Bins(ctx context.Context, after int64, limit int) (measure.Page, error) {
	page, err := h.Source.Bins(ctx, after, limit)
	if n := len(page.Bins); err == nil && n > 0 {
		err = h.Source.Ack(ctx, page.Bins[n-1].Seq)
	}
	return page, err
}

// echoing gives every chunk of bins twice.
type echoing struct{ store.Blobs }

func (e echoing) Range(ctx context.Context, series string, from, to time.Time) ([]store.Blob, error) {
	out, err := e.Blobs.Range(ctx, series, from, to)
	if strings.HasPrefix(series, "bins/") {
		out = append(out, out...)
	}
	return out, err
}

// cursorless does not keep cursors.
type cursorless struct{ store.Blobs }

func (c cursorless) Put(ctx context.Context, writes []store.BlobWrite, _ map[string]int64) error {
	return c.Blobs.Put(ctx, writes, nil)
}

func renaming(n notify.Notifier) notify.Notifier { return &renamer{Notifier: n} }

type renamer struct {
	notify.Notifier
	attempts int
}

func (r *renamer) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	r.attempts++
	m.ID = fmt.Sprintf("%s-%d", m.ID, r.attempts)
	return r.Notifier.Send(ctx, m)
}

func silent(notify.Notifier) notify.Notifier { return mute{} }

type mute struct{}

func (mute) Send(context.Context, notify.Message) (notify.Receipt, error) {
	return notify.Receipt{Status: 204}, nil
}
