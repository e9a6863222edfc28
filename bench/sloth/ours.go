package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/flyball-dev/flyball/bench/stage"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

// cost is what objectives take on our side. But for history it is of a minute.
type cost struct {
	server, prometheus, tick time.Duration
	history, historyTook     time.Duration // of reading the past once, both processes; and how long it took
	off                      int64         // events by which an objective differs from the truth, at most
	of                       int64         // events of all objectives
}

// settled is how long nothing is read before history counts as read.
const settled = 10 * time.Second

// flyball starts Flyball on the same Prometheus with n objectives, waits until
// it has read their history, compares what it says with the truth, and takes
// the processor time of whole minutes.
func flyball(ctx context.Context, p *prometheus, n int, truths []truth, length time.Duration) (c cost, err error) {
	st, err := stage.New(ctx)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := st.Commit(ctx, "objectives", files(n, len(truths))); err != nil {
		return c, err
	}
	st.Flags = []string{"--prometheus", "http://" + p.addr}
	server, prom := meter{pid: st.Pid}, meter{pid: func() int { return p.cmd.Process.Pid }}
	if err := prom.start(); err != nil {
		return c, err
	}
	began := time.Now()
	if _, err := st.Up(ctx); err != nil {
		return c, err
	}
	if err := read(ctx, st, n, began); err != nil {
		return c, err
	}
	c.historyTook = time.Since(began)
	if c.history, err = prom.spent(); err != nil {
		return c, err
	}
	all, err := stage.CPU(st.Pid())
	if err != nil {
		return c, err
	}
	c.history += all
	if c.off, c.of, err = compare(ctx, st, truths); err != nil {
		return c, err
	}
	if err := errors.Join(server.start(), prom.start()); err != nil {
		return c, err
	}
	time.Sleep(length)
	for _, m := range []struct {
		of   *meter
		into *time.Duration
	}{{&server, &c.server}, {&prom, &c.prometheus}} {
		spent, err := m.of.spent()
		if err != nil {
			return c, err
		}
		*m.into = time.Duration(float64(spent) * float64(time.Minute) / float64(length))
	}
	c.tick, err = evaluation(n)
	return c, err
}

// meter takes a process' processor time between two moments.
type meter struct {
	pid    func() int
	before time.Duration
}

func (m *meter) start() (err error) {
	m.before, err = stage.CPU(m.pid())
	return err
}

func (m *meter) spent() (time.Duration, error) {
	now, err := stage.CPU(m.pid())
	return now - m.before, err
}

// page is a page of a list of the API.
type page[T any] struct {
	Items []T
	Next  string
}

// all is a whole list.
func all[T any](ctx context.Context, st *stage.Stage, path string) (out []T, err error) {
	for after := ""; ; {
		var p page[T]
		if err := st.Get(ctx, path+"?limit=1000&after="+after, &p); err != nil {
			return nil, err
		}
		out = append(out, p.Items...)
		if after = p.Next; after == "" {
			return out, nil
		}
	}
}

// source is how far an indicator has been read.
type source struct {
	Objectives          []string
	From, Until, Wanted time.Time
	Error               string
}

// read waits until the history of every objective is there.
func read(ctx context.Context, st *stage.Stage, n int, began time.Time) error {
	for {
		list, err := all[source](ctx, st, "/slos/sources")
		if err != nil {
			return err
		}
		done := 0
		for _, i := range list {
			if i.Error != "" {
				return errors.New(i.Error)
			}
			if !i.From.IsZero() && !i.From.After(i.Wanted.Add(time.Minute)) {
				done++
			}
		}
		if done >= n {
			return nil
		}
		fmt.Fprintf(os.Stderr, "%d of %d histories read after %s\n", done, n, time.Since(began).Round(time.Second))
		select {
		case <-time.After(settled):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// coarse is the width of the slots that a window of thirty days is made of: it
// counts the whole slot that it begins in.
const coarse = 2 * time.Hour

// compare is by how many events, total or bad, any objective differs from what
// happened in the span that its window covers, and how many events there are in
// all.
func compare(ctx context.Context, st *stage.Stage, truths []truth) (off, of int64, err error) {
	for {
		before, err := all[source](ctx, st, "/slos/sources")
		if err != nil {
			return 0, 0, err
		}
		from := time.Now().Add(-history).Truncate(coarse)
		list, err := all[objectiveRow](ctx, st, "/slos")
		if err != nil {
			return 0, 0, err
		}
		after, err := all[source](ctx, st, "/slos/sources")
		if err != nil {
			return 0, 0, err
		}
		until := map[string]time.Time{}
		for i := range before {
			if before[i].Until.Equal(after[i].Until) {
				until[before[i].Objectives[0]] = before[i].Until
			}
		}
		if len(until) < len(list) || !from.Equal(time.Now().Add(-history).Truncate(coarse)) {
			time.Sleep(settled / 2) // another minute was just being read
			continue
		}
		for _, o := range list {
			var i int
			if _, err := fmt.Sscanf(o.Objective, "slo-%04d.", &i); err != nil {
				return 0, 0, fmt.Errorf("%q is not an objective of this measurement", o.Objective)
			}
			want := truths[i%len(truths)].between(from, until[o.Objective])
			total, bad := int64(o.Events), int64(math.Round((1-o.SLI)*o.Events))
			off, of = max(off, abs(total-want.total), abs(bad-want.bad)), of+total
		}
		return off, of, nil
	}
}

type objectiveRow struct {
	Objective string
	SLI       float64 `json:"sli"`
	Events    float64
}

func abs(n int64) int64 { return max(n, -n) }

// evaluation is the processor time of a minute of ticks, one a second, of an
// engine with n objectives: everything that Sloth's rules compute, from counts
// that are there.
func evaluation(n int) (time.Duration, error) {
	now := time.Now().Truncate(time.Minute)
	engine, err := slo.NewEngine(time.Minute, now)
	if err != nil {
		return 0, err
	}
	ids := make([]string, n)
	for i := range n {
		o := &slo.Objective{Service: objective(i), Name: "requests", Target: slo.MustDecimal("0.999"), Method: slo.Occurrences, Window: slo.Days(30),
			Indicator: slo.Indicator{Kind: slo.Availability}, AlertPolicies: slo.DefaultPolicies(slo.Occurrences)}
		if _, err := engine.Put(o); err != nil {
			return 0, err
		}
		ids[i] = o.ID()
	}
	before, err := stage.CPU(os.Getpid())
	for minutes := 1; err == nil; minutes++ {
		for _, id := range ids {
			if _, err := engine.Add(id, now, 999, 1000); err != nil {
				return 0, err
			}
		}
		for range 60 {
			now = now.Add(time.Second)
			engine.Tick(now)
		}
		spent, err := stage.CPU(os.Getpid())
		if err != nil || spent-before > time.Second { // it is told in steps of 10 ms
			return (spent - before) / time.Duration(minutes), err
		}
	}
	return 0, err
}
