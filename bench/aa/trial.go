package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/bench/stage"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

// trial is the services on their stage.
type trial struct {
	*stage.Stage
	options
	loads []*stage.Load
}

// outcome is how one rollout ended.
type outcome struct {
	rollout.Ended
	withoutEvidence bool
}

func sentBack(o outcome) bool { return o.Outcome != "promoted" }

func count(of []outcome, is func(outcome) bool) int {
	n := 0
	for _, o := range of {
		if is(o) {
			n++
		}
	}
	return n
}

func (t *trial) name(i int) string { return fmt.Sprintf("service-%02d", i+1) }

// begin delivers the first version of all services and starts the load. Their
// objective leaves budget enough that steps wait for time alone.
func (t *trial) begin(ctx context.Context) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	var b strings.Builder
	for i := range t.services {
		fmt.Fprintf(&b, `apiVersion: flyball.dev/v1
kind: Service
metadata: {name: %s}
spec:
  team: owners
  build: 'true'
  files: [version.txt]
  run: '%s serve'
  traffic: %g/s
  objectives: {availability: 90%%}
---
`, t.name(i), exe, t.rate)
	}
	fmt.Fprintf(&b, `apiVersion: flyball.dev/v1
kind: Team
metadata: {name: owners}
spec: {}
---
apiVersion: flyball.dev/v1
kind: Environment
metadata: {name: prod}
spec:
  delivery: automatic
  rollout: {steps: [10%%, 25%%, 50%%], warmup: 1s, stepDuration: %v, deadline: %v, onDeadline: on, falseRollback: 1%%}
`, t.step, 3*t.step)
	if err := t.Commit(ctx, "1", map[string]string{"version.txt": "1\n", "flyball/flyball.yaml": b.String()}); err != nil {
		return err
	}
	if _, err := t.Up(ctx); err != nil {
		return err
	}
	if _, err := t.settled(ctx); err != nil {
		return err
	}
	for i := range t.services {
		t.loads = append(t.loads, stage.Drive(t.Traffic, t.name(i)+".localhost", t.rate, uint64(i+1)))
	}
	return nil
}

// round commits a version and waits until all services have it, or not.
func (t *trial) round(ctx context.Context, version string) ([]outcome, error) {
	if err := t.Commit(ctx, version, map[string]string{"version.txt": version + "\n"}); err != nil {
		return nil, err
	}
	return t.settled(ctx)
}

// settled waits until the newest commit's rollouts of all services have ended.
func (t *trial) settled(ctx context.Context) ([]outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*t.step+3*time.Minute)
	defer cancel()
	commit, err := exec.CommandContext(ctx, "git", "-C", t.Repo, "rev-parse", "--short=7", "HEAD").Output()
	if err != nil {
		return nil, err
	}
	revision := strings.TrimSpace(string(commit)) + "-"
	var ended []rollout.Summary
	err = stage.Until(ctx, func() (bool, error) {
		var page operation.Page[rollout.Summary]
		if err := t.Get(ctx, fmt.Sprintf("/rollouts?limit=%d", 2*t.services), &page); err != nil {
			return false, err
		}
		ended = ended[:0]
		for _, r := range page.Items {
			if strings.HasPrefix(r.Revision, revision) && r.Phase == rollout.PhaseFinished {
				ended = append(ended, r)
			}
		}
		return len(ended) == t.services, nil
	})
	if err != nil {
		return nil, fmt.Errorf("%d of %d rollouts of %s ended: %w", len(ended), t.services, revision, err)
	}
	var out []outcome
	for _, r := range ended {
		var full rollout.Rollout
		if err := t.Get(ctx, "/rollouts/"+url.PathEscape(r.Rollout), &full); err != nil {
			return nil, err
		}
		out = append(out, outcome{*full.Ended, strings.Contains(full.Reason, "without evidence")})
	}
	return out, nil
}

// end stops the load.
func (t *trial) end() {
	for _, l := range t.loads {
		l.Stop()
	}
}
