package slo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// errShape says that a checkpoint is of another shape than its objective.
var errShape = errors.New("the objective has changed since the checkpoint")

// Checkpoint is the live state of one objective.
type Checkpoint struct {
	ID   string
	Data []byte
}

// Checkpoint is the live state of an objective, for Restore after a restart: a
// few kilobytes instead of the whole history.
func (e *Engine) Checkpoint(id string) (Checkpoint, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l, ok := e.live[id]
	if !ok {
		return Checkpoint{}, problem.New(problem.NotFound, "slo.checkpoint", "there is no objective %q", id)
	}
	b := []byte{codecVersion}
	b = binary.AppendUvarint(b, l.shape(e.base))
	b = binary.AppendVarint(b, l.meter.asOf)
	b = binary.AppendVarint(b, l.first)
	b = l.meter.cells.append(b)
	if l.slicer != nil {
		b = binary.AppendVarint(b, l.slicer.events.head)
		b = l.slicer.events.cells.append(b)
	}
	if p := l.meter.period; p != nil {
		for _, v := range []int64{p.from, p.to, p.sum.bad, p.sum.total, p.sum.known} {
			b = binary.AppendVarint(b, v)
		}
	}
	for _, a := range l.alerts {
		b = binary.AppendVarint(b, unixNano(a.Since))
		b = binary.AppendVarint(b, unixNano(a.Fired))
	}
	return Checkpoint{ID: id, Data: checksummed(b)}, nil
}

// Restore brings an objective that was Put back to a checkpoint, and forward
// to now; slots that came after the checkpoint are to be added again. It fails
// when the objective has changed its shape since: then Load its history.
func (e *Engine) Restore(c Checkpoint) error {
	e.mu.Lock()
	l, ok := e.live[c.ID]
	if !ok {
		e.mu.Unlock()
		return problem.New(problem.NotFound, "slo.restore", "there is no objective %q", c.ID)
	}
	fresh := e.newLive(l.objective)
	e.mu.Unlock()
	if err := fresh.restore(c.Data, e.base); err != nil {
		return problem.New(problem.Conflict, "slo.restore", "%s: %w", c.ID, err).WithNext("load the stored history instead")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.live[c.ID] != l {
		return problem.New(problem.Conflict, "slo.restore", "%s has changed meanwhile", c.ID).WithNext("load the stored history instead")
	}
	if fresh.meter.asOf > e.now.Add(MaxSkew).UnixNano() {
		return problem.New(problem.Conflict, "slo.restore", "%s: the checkpoint is of %s, later than now", c.ID, time.Unix(0, fresh.meter.asOf).UTC().Format(time.RFC3339)).
			WithNext("correct this machine's clock")
	}
	fresh.meter.advance(e.now.UnixNano())
	e.replace(fresh)
	return nil
}

func (l *live) restore(data []byte, base time.Duration) error {
	r, err := openStored(data)
	if err != nil {
		return err
	}
	if r.uvarint() != l.shape(base) {
		return errShape
	}
	m := &l.meter
	m.asOf, l.first = r.varint(), r.varint()
	m.cells.read(r)
	if l.slicer != nil {
		l.slicer.events.head = r.varint()
		l.slicer.events.cells.read(r)
	}
	if p := m.period; p != nil {
		p.from, p.to, p.sum = r.varint(), r.varint(), cell{r.varint(), r.varint(), r.varint()}
	}
	for i := range l.alerts {
		l.alerts[i] = AlertState{Since: fromUnixNano(r.varint()), Fired: fromUnixNano(r.varint())}
	}
	if r.bad || len(r.rest) > 0 {
		return errCorrupt
	}
	m.recount()
	for i, rule := range l.rules {
		if !l.alerts[i].Fired.IsZero() {
			l.firing[i] = l.objective.explainFiring(rule, l.counts)
			l.firing[i].Fired = l.alerts[i].Fired
		}
		l.busy = l.busy || l.alerts[i] != AlertState{}
	}
	return nil
}

// shape identifies what a checkpoint's numbers mean.
func (l *live) shape(base time.Duration) uint64 {
	h := fnv.New64a()
	o := l.objective
	fmt.Fprintln(h, base, o.Method, o.Window, o.SliceWindow, o.SliceTarget)
	for _, w := range l.meter.layout.windows {
		fmt.Fprintln(h, w.length)
	}
	for _, r := range l.rules {
		fmt.Fprintln(h, r.Policy.Name, r.Condition.Long, r.Condition.Short)
	}
	return h.Sum64()
}

// append writes cells.
func (c *cells) append(b []byte) []byte {
	b = appendColumn(b, c.len(), func(i int) int64 { return c.get(i).total })
	b = appendColumn(b, c.len(), func(i int) int64 { return c.get(i).bad })
	return appendColumn(b, c.len(), func(i int) int64 { return c.get(i).known })
}

// read takes over cells that append wrote.
func (c *cells) read(s *stored) {
	n := c.len()
	total, bad, known := s.column(n), s.column(n), s.column(n)
	for i := range n {
		v := cell{bad[i], total[i], known[i]}
		if v.bad < 0 || v.total < v.bad || v.known < 0 {
			s.bad = true
			return
		}
		c.set(i, v)
	}
}

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromUnixNano(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
