package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/bench/stage"
	"github.com/flyball-dev/flyball/internal/adapter/sqlite"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// original is the service whose delivery is recorded.
const original = "original"

// resources declares a number of services like the original. Their first
// version is not delivered by this program: their history is copied.
func resources(names []string) string {
	exe, err := os.Executable()
	if err != nil {
		panic(err) // the system cannot say what it runs
	}
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, `apiVersion: flyball.dev/v1
kind: Service
metadata: {name: %s}
spec:
  team: owners
  build: 'true'
  files: [version.txt]
  run: '%s serve'
  traffic: 50/s
  objectives: {availability: 99%%, latency: 99%% < 500ms}
---
`, name, exe)
	}
	return b.String() + `apiVersion: flyball.dev/v1
kind: Team
metadata: {name: owners}
spec: {}
---
apiVersion: flyball.dev/v1
kind: Environment
metadata: {name: prod}
spec:
  delivery: automatic
  rollout: {steps: [10%, 50%], stepDuration: 10s}
`
}

// record delivers two versions of a service, the second by canary under load,
// and gives the events of the second.
func record(ctx context.Context, s *stage.Stage) ([]event.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := s.Commit(ctx, "first", map[string]string{"version.txt": "1\n", "flyball/flyball.yaml": resources([]string{original})}); err != nil {
		return nil, err
	}
	if _, err := s.Up(ctx); err != nil {
		return nil, err
	}
	if err := promoted(ctx, s, 1); err != nil {
		return nil, err
	}
	load := stage.Drive(s.Traffic, original+".localhost", 50, 1)
	defer load.Stop()
	from, err := head(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := s.Commit(ctx, "second", map[string]string{"version.txt": "2\n"}); err != nil {
		return nil, err
	}
	if err := promoted(ctx, s, 2); err != nil {
		return nil, err
	}
	if err := s.Stop(); err != nil {
		return nil, err
	}
	st, err := sqlite.Open(ctx, filepath.Join(s.State(), "flyball.db"), sqlite.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer st.Close()
	return st.Log().Read(ctx, event.Query{After: from, Limit: 4096})
}

func head(ctx context.Context, s *stage.Stage) (int64, error) {
	st, err := sqlite.Open(ctx, filepath.Join(s.State(), "flyball.db"), sqlite.Options{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	defer st.Close()
	h, err := st.Log().Head(ctx)
	return h.Position, err
}

// promoted waits until so many rollouts have ended, and the last of them well.
func promoted(ctx context.Context, s *stage.Stage, n int) error {
	return stage.Until(ctx, func() (bool, error) {
		var page struct{ Items []rollout.Summary }
		if err := s.Get(ctx, "/rollouts", &page); err != nil || len(page.Items) < n {
			return false, err
		}
		newest := page.Items[0]
		if newest.Phase != rollout.PhaseFinished {
			return false, nil
		}
		if newest.Outcome != "promoted" {
			return false, fmt.Errorf("rollout %s: %s: %s", newest.Rollout, newest.Outcome, newest.Reason)
		}
		return true, nil
	})
}
