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
	worst                    float64       // difference from the truth, relative
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
	if c.worst, err = compare(ctx, st, truths); err != nil {
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

type sources struct {
	Items []struct {
		From, Until, Wanted time.Time
		Error               string
	}
	Next string
}

// read waits until the history of every objective is there.
func read(ctx context.Context, st *stage.Stage, n int, began time.Time) error {
	for {
		done, after := 0, ""
		for {
			var page sources
			if err := st.Get(ctx, "/slos/sources?limit=1000&after="+after, &page); err != nil {
				return err
			}
			for _, i := range page.Items {
				if i.Error != "" {
					return errors.New(i.Error)
				}
				if !i.From.IsZero() && !i.From.After(i.Wanted.Add(time.Minute)) {
					done++
				}
			}
			if after = page.Next; after == "" {
				break
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

// compare is how far the error ratios of 30 days are from what happened, at
// most, relative to it. The truth ends when the data were made; the window has
// moved on since, by minutes of a month.
func compare(ctx context.Context, st *stage.Stage, truths []truth) (worst float64, err error) {
	var page struct {
		Items []struct {
			Objective string
			SLI       float64 `json:"sli"`
		}
	}
	if err := st.Get(ctx, "/slos?limit=1000", &page); err != nil {
		return 0, err
	}
	if len(page.Items) == 0 {
		return 0, errors.New("no objective is listed")
	}
	for _, o := range page.Items {
		var i int
		if _, err := fmt.Sscanf(o.Objective, "slo-%04d.", &i); err != nil {
			return 0, fmt.Errorf("%q is not an objective of this measurement", o.Objective)
		}
		t := truths[i%len(truths)].ratio()
		worst = max(worst, math.Abs(1-o.SLI-t)/t)
	}
	return worst, nil
}

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
	const minutes = 30
	began := time.Now()
	for range minutes {
		for _, id := range ids {
			if _, err := engine.Add(id, now, 999, 1000); err != nil {
				return 0, err
			}
		}
		for range 60 {
			now = now.Add(time.Second)
			engine.Tick(now)
		}
	}
	return time.Since(began) / minutes, nil
}
