package demo

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// rollout is a rollout as the API shows it.
type rollout struct {
	Rollout  string `json:"rollout"`
	Revision string `json:"revision"`
	Strategy string `json:"strategy"`
	Phase    string `json:"phase"`
	Step     int    `json:"step"`
	Weight   int    `json:"weight"`
	Reason   string `json:"reason"`
	Outcome  string `json:"outcome"`
	Ended    *struct {
		Weight         int    `json:"weight"`
		Culprit        string `json:"culprit"`
		Reason         string `json:"reason"`
		CanaryRequests int64  `json:"canary_requests"`
		CanaryBad      int64  `json:"canary_bad"`
	} `json:"ended"`
}

// release is a release as the API shows it.
type release struct {
	Release  string   `json:"release"`
	Rollouts []string `json:"rollouts"`
	Action   *struct {
		Phase string `json:"phase"`
		Gate  *struct {
			Reason  string `json:"reason"`
			Clauses []struct {
				Name    string `json:"name"`
				Verdict string `json:"verdict"`
				Detail  string `json:"detail"`
				Unblock string `json:"unblock"`
			} `json:"clauses"`
		} `json:"gate"`
	} `json:"action"`
}

// deliver commits a change as its author, pushes it as ana, and gives its name.
func (t *teller) deliver(ctx context.Context, patch string) (change string, err error) {
	if _, err := t.repo.commit(ctx, patch); err != nil {
		return "", err
	}
	if err := t.repo.push(ctx); err != nil {
		return "", err
	}
	var pushed struct {
		Change string `json:"change"`
	}
	err = t.client.as(ctx, t.ana, &pushed, "push", "shop")
	return pushed.Change, err
}

// started waits until a change's rollout begins.
func (t *teller) started(ctx context.Context, change string) (rollout, error) {
	rel, err := t.released(ctx, change, func(r release) bool { return len(r.Rollouts) > 0 })
	if err != nil {
		return rollout{}, err
	}
	return t.rollout(ctx, rel.Rollouts[len(rel.Rollouts)-1], func(rollout) bool { return true })
}

// released waits until a change has been built and its release will do.
func (t *teller) released(ctx context.Context, change string, enough func(release) bool) (release, error) {
	t.progress.note("building and testing")
	var runs struct {
		Items []struct {
			ID     string `json:"id"`
			Result string `json:"result"`
			Reason string `json:"reason"`
		} `json:"items"`
	}
	err := t.client.poll(ctx, "/pipelines?change="+change, &runs, func() bool { return len(runs.Items) > 0 && runs.Items[0].Result != "" })
	if err != nil {
		return release{}, fmt.Errorf("%s was not built: %w", change, err)
	}
	if run := runs.Items[0]; run.Result != "success" {
		return release{}, fmt.Errorf("run %s: %s: %s", run.ID, run.Result, run.Reason)
	}
	t.progress.note("built, at the gate")
	var rel release
	if err = t.client.poll(ctx, "/releases/"+change+"-prod", &rel, func() bool { return enough(rel) }); err != nil {
		reason := "not proposed"
		if rel.Action != nil && rel.Action.Gate != nil {
			reason = rel.Action.Phase + ": " + rel.Action.Gate.Reason
		}
		err = fmt.Errorf("release of %s: %s: %w", change, reason, err)
	}
	return rel, err
}

// rollout reads a rollout until it will do.
func (t *teller) rollout(ctx context.Context, name string, enough func(rollout) bool) (rollout, error) {
	var r rollout
	err := t.client.poll(ctx, "/rollouts/"+name, &r, func() bool {
		t.progress.note("%s, canary %g %%: %s", r.Phase, float64(r.Weight)/100, r.Reason)
		return enough(r)
	})
	if err != nil {
		return r, fmt.Errorf("%s is %s, at %g %%: %s: %w", name, r.Phase, float64(r.Weight)/100, r.Reason, err)
	}
	return r, nil
}

// finished waits until a rollout has ended and notes how.
func (t *teller) finished(ctx context.Context, s *Step, name string) (rollout, error) {
	r, err := t.rollout(ctx, name, func(r rollout) bool { return r.Phase == "finished" })
	if err == nil && r.Ended != nil {
		s.CanaryWeight, s.CanaryRequests, s.CanaryBad, s.Detail = r.Ended.Weight, r.Ended.CanaryRequests, r.Ended.CanaryBad, r.Ended.Reason
	}
	return r, err
}

// shares is what the canary of a rollout had, in basis points, in order.
func (t *teller) shares(ctx context.Context, name string) ([]int, error) {
	var events struct {
		Items []struct {
			Data struct {
				Weight int `json:"weight"`
			} `json:"data"`
		} `json:"items"`
	}
	err := t.client.get(ctx, "/events?limit=500&types=rollout.stepped&subject=rollout/"+name, &events)
	var out []int
	for _, e := range events.Items {
		out = append(out, e.Data.Weight)
	}
	return out, err
}

// whole is all of the traffic, in basis points.
const whole = 10_000

// promoted tells how a rollout that was promoted got there.
func (t *teller) promoted(ctx context.Context, r rollout) (string, error) {
	if r.Outcome != "promoted" {
		return fmt.Sprintf("%s: %s", r.Outcome, r.Reason), nil
	}
	shares, err := t.shares(ctx, r.Rollout)
	if err != nil {
		return "", err
	}
	before := 0
	for _, w := range shares {
		if w < before {
			return fmt.Sprintf("its share fell: %d", shares), nil
		}
		before = w
	}
	switch {
	case len(shares) == 1 && before == whole && r.Strategy == "rolling":
		return "promoted at once", nil
	case len(shares) >= 3 && before == whole:
		return "promoted step by step", nil
	}
	return fmt.Sprintf("promoted with shares %d", shares), nil
}

func (t *teller) baseline(ctx context.Context, s *Step) (string, error) {
	head, err := git(ctx, t.repo.clone, "rev-parse", "HEAD")
	if err != nil {
		return "", err
	}
	r, err := t.started(ctx, "shop-"+head[:7])
	if err != nil {
		return "", err
	}
	if r, err = t.finished(ctx, s, r.Rollout); err != nil {
		return "", err
	}
	t.load()
	return t.promoted(ctx, r)
}

func (t *teller) goodChange(ctx context.Context, s *Step) (string, error) {
	change, err := t.deliver(ctx, "1-delivery")
	if err != nil {
		return "", err
	}
	return t.follow(ctx, s, change)
}

// follow sees a good change through.
func (t *teller) follow(ctx context.Context, s *Step, change string) (string, error) {
	r, err := t.started(ctx, change)
	if err != nil {
		return "", err
	}
	if r, err = t.finished(ctx, s, r.Rollout); err != nil {
		return "", err
	}
	return t.promoted(ctx, r)
}

func (t *teller) badErrors(ctx context.Context, s *Step) (string, error) {
	return t.bad(ctx, s, "2-suggestion", "errors", nil)
}

func (t *teller) badSlow(ctx context.Context, s *Step) (string, error) {
	return t.bad(ctx, s, "3-fresh-stock", "slow", nil)
}

func (t *teller) badHanging(ctx context.Context, s *Step) (string, error) {
	return t.bad(ctx, s, "4-remember-totals", "", map[string]bool{"cart": true})
}

// bad delivers a change that must be taken back by a metric whose name begins
// like this, sees that an incident opened and that the team was paged, and has
// ana take the change out of the code and close the incident.
func (t *teller) bad(ctx context.Context, s *Step, patch, culprit string, never map[string]bool) (string, error) {
	from := t.Clock.Now()
	change, err := t.deliver(ctx, patch)
	if err != nil {
		return "", err
	}
	r, err := t.started(ctx, change)
	if err != nil {
		return "", err
	}
	t.faults = append(t.faults, guilt{name: s.Name, revision: r.Revision, visits: never, from: from})
	fault := &t.faults[len(t.faults)-1]
	if r, err = t.finished(ctx, s, r.Rollout); err != nil {
		return "", err
	}
	fault.to = t.Clock.Now().Add(time.Second)
	if r.Outcome != "rolled_back" || r.Ended == nil {
		return r.Outcome + ": " + r.Reason, nil
	}
	if !strings.HasPrefix(r.Ended.Culprit, culprit) {
		return fmt.Sprintf("taken back for %s: %s", r.Ended.Culprit, r.Reason), nil
	}
	if err := t.repo.revert(ctx, "Ana <ana@shop.example>"); err != nil {
		return "", err
	}
	name, err := t.openIncident(ctx, 3)
	if err != nil {
		return "", err
	}
	return "taken back", t.close(ctx, name, r.Revision+" was taken back and "+change+" reverted")
}
