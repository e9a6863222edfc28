package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/flyball-dev/flyball/bench/stage"
	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/adapter/sqlite"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/port/store"
)

// document is one objective that others push counts to.
const document = `---
apiVersion: openslo/v1
kind: SLO
metadata: {name: answers-%[1]d}
spec:
  service: service-%[2]d
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  indicator:
    metadata: {name: answers-%[1]d}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: push, spec: {name: answers-%[1]d}}}
        total: {metricSource: {type: push, spec: {name: answers-%[1]d}}}
  objectives: [{target: 0.999}]
`

const (
	restarts = 3
	perFile  = 100
	quiet    = 3 * time.Second // without work: what follows a start is done
)

// measureRestart runs the program with so many objectives, each with thirty
// days of minutes in its store, and starts it again: from its execution until it
// says that it is up, log opened, objectives restored and caught up, API
// answering.
func measureRestart(ctx context.Context, out *tabwriter.Writer, n int) (err error) {
	st, err := stage.New(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	files, objectives := documents(n)
	if err := st.Commit(ctx, "objectives", files); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "writing 30 days of %d objectives …\n", n)
	path := filepath.Join(st.State(), "flyball.db")
	want, err := stock(ctx, path, objectives)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "30 d of minutes of %d objectives on disk, each\t%.1f kB\t(the store's file)\n", n, float64(info.Size())/float64(n)/1000)
	first, err := st.Up(ctx)
	if err != nil {
		return err
	}
	for whole(ctx, st, n, want) != nil { // what was just applied is loaded after the start
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(quiet)
	}
	fmt.Fprintf(out, "first start with %d objectives, before its 30 d are loaded\t%.1f s\n", n, first.Seconds())
	var took, cpu []float64
	for range restarts {
		if err := settle(ctx, st); err != nil {
			return err
		}
		if err := st.Stop(); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "restarting …")
		ready, err := st.Up(ctx)
		if err != nil {
			return err
		}
		used, err := stage.CPU(st.Pid())
		if err != nil {
			return err
		}
		took, cpu = append(took, ready.Seconds()), append(cpu, used.Seconds())
		if err := whole(ctx, st, n, want); err != nil {
			return err
		}
	}
	slices.Sort(took)
	slices.Sort(cpu)
	fmt.Fprintf(out, "restart with %d objectives, from execution until ready\t%.2f s median, %.2f s worst of %d\t(CPU %.2f s median)\n",
		n, took[len(took)/2], took[len(took)-1], len(took), cpu[len(cpu)/2])
	return nil
}

// documents are the files of n objectives, a hundred to a file.
func documents(n int) (map[string]string, []*slo.Objective) {
	files := map[string]string{}
	var all []slo.File
	for from := 0; from < n; from += perFile {
		var text strings.Builder
		for i := from; i < min(from+perFile, n); i++ {
			fmt.Fprintf(&text, document, i, i/10)
		}
		name := fmt.Sprintf("flyball/objectives-%05d.yaml", from)
		files[name] = text.String()
		all = append(all, slo.File{Name: name, Data: []byte(text.String())})
	}
	return files, slo.Decode(all...).Objectives
}

// stock makes a store with thirty days of counts of every objective: those of
// one, copied. It returns how many events that are.
func stock(ctx context.Context, path string, objectives []*slo.Objective) (events int64, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, err
	}
	now := time.Now().UTC().Truncate(time.Minute)
	series, err := month(6000, now.Add(-30*24*time.Hour))
	if err != nil {
		return 0, err
	}
	one := memory.New(memory.Options{Clock: clock.Wall()})
	defer one.Close()
	const id = "original"
	counted := slo.Counted{Slots: slices.Collect(series.Slots())}
	if _, err := slo.NewSlots(one.Blobs()).Record(ctx, now, slo.Recording{Indicator: id, Counts: []slo.Counted{counted}, Until: now}); err != nil {
		return 0, err
	}
	for _, s := range counted.Slots {
		events += s.Total
	}
	var blobs []store.BlobWrite
	for _, prefix := range []string{"slots/", "recent/"} {
		names, err := one.Blobs().Series(ctx, prefix+id, "", 0)
		if err != nil {
			return 0, err
		}
		for _, name := range names {
			list, err := one.Blobs().Range(ctx, name, time.Unix(0, 0), now.Add(time.Hour))
			if err != nil {
				return 0, err
			}
			for _, b := range list {
				blobs = append(blobs, store.BlobWrite{Series: name, Start: b.Start, Data: b.Data})
			}
		}
	}
	st, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	var writes []store.BlobWrite
	for i, o := range objectives {
		for _, b := range blobs {
			b.Series = strings.Replace(b.Series, id, o.IndicatorID(), 1)
			writes = append(writes, b)
		}
		if i == len(objectives)-1 || len(writes)+len(blobs) > store.MaxWrites {
			if err := st.Blobs().Put(ctx, writes, map[string]int64{"slots/" + o.IndicatorID(): now.Unix()}); err != nil {
				return 0, err
			}
			writes = writes[:0]
		}
	}
	return events, nil
}

// settle waits until the server has nothing to do: its checkpoints are written.
func settle(ctx context.Context, st *stage.Stage) error {
	for {
		before, err := stage.CPU(st.Pid())
		if err != nil {
			return err
		}
		select {
		case <-time.After(quiet):
		case <-ctx.Done():
			return ctx.Err()
		}
		after, err := stage.CPU(st.Pid())
		if err != nil || after-before < quiet/20 {
			return err
		}
	}
}

// whole checks that every objective has all its events, but for those that left
// the window while this was measured.
func whole(ctx context.Context, st *stage.Stage, n int, want int64) error {
	for after, seen := "", 0; ; {
		var page struct {
			Items []struct {
				Objective string
				Events    float64
			}
			Next string
		}
		if err := st.Get(ctx, "/slos?limit=1000&after="+after, &page); err != nil {
			return err
		}
		for _, o := range page.Items {
			if math.Abs(o.Events/float64(want)-1) > 0.01 {
				return fmt.Errorf("%s has %.0f events after a restart, want %d", o.Objective, o.Events, want)
			}
			seen++
		}
		if after = page.Next; after == "" {
			if seen != n {
				return fmt.Errorf("%d objectives after a restart, want %d", seen, n)
			}
			return nil
		}
	}
}
