package demo

import (
	"context"
	"fmt"
	"time"
)

// away is how long the server stays dead.
const away = 3 * time.Second

// serverKilled kills the server while a canary serves a good part of the
// visitors, and starts it again.
func (t *teller) serverKilled(ctx context.Context, s *Step) (string, error) {
	change, err := t.deliver(ctx, "5-search-words")
	if err != nil {
		return "", err
	}
	r, err := t.started(ctx, change)
	if err != nil {
		return "", err
	}
	r, err = t.rollout(ctx, r.Rollout, func(r rollout) bool { return r.Phase == "judging" && r.Step >= 2 || r.Phase == "finished" })
	if err != nil {
		return "", err
	}
	if r.Phase == "finished" {
		return "it ended before the server could be killed: " + r.Outcome, nil
	}
	t.server.kill()
	killed, at := t.Clock.Now(), r.Weight
	t.progress.note("the server is dead, the canary has %g %%", float64(at)/100)
	if err := t.pass(ctx, away); err != nil {
		return "", err
	}
	if err := t.startServer(ctx); err != nil {
		return "", err
	}
	dead := t.Clock.Now().Sub(killed)
	if r, err = t.finished(ctx, s, r.Rollout); err != nil {
		return "", err
	}
	if r.Outcome != "promoted" {
		return r.Outcome + ": " + r.Reason, nil
	}
	defer t.visitors.resume()
	if err := t.visitors.pause(ctx); err != nil {
		return "", err
	}
	n, err := t.counted(ctx)
	if err != nil {
		return "", err
	}
	if lost := settle(t.visitors.tally(), t.faults); lost.FailedByFlyball > 0 {
		return fmt.Sprintf("promoted; %s; first: %+v", lost.Tell(), lost.Unexplained[0]), nil
	}
	s.Detail = fmt.Sprintf("killed at %g %%, away for %.1f s; %d requests made, %d counted", float64(at)/100, dead.Seconds(), n, n)
	return "promoted; no request failed, no count lost", nil
}
