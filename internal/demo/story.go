package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// chapter is one step with what it does. It returns what came of it; what is
// expected was got exactly when the two are the same.
type chapter struct {
	name     string
	expected string
	run      func(ctx context.Context, s *Step) (got string, err error)
}

// stepLimit is the longest a step may take on a machine that is busy with other
// things; most take a tenth of it.
const stepLimit = 5 * time.Minute

// teller tells the story.
type teller struct {
	*stage
	began    time.Time
	load     func() // lets the visitors in
	incident string // of the outage
	fix      string // change that ends it
	progress *progress
}

func (t *teller) chapters() []chapter {
	return []chapter{
		{"baseline", "promoted at once", t.baseline},
		{"good change", "promoted step by step", t.goodChange},
		{"bad change: errors", "taken back", t.badErrors},
		{"bad change: slow", "taken back", t.badSlow},
		{"bad change: hanging", "taken back", t.badHanging},
		{"server killed during a canary", "promoted; no request failed, no count lost", t.serverKilled},
		{"dependency stopped", "budget exhausted, incident opened, page delivered", t.dependencyStopped},
		{"change while the budget is exhausted", "blocked by the error budget", t.blocked},
		{"developer overrides the freeze", "denied", t.denied},
		{"operator overrides; fix", "promoted step by step", t.overridden},
		{"dependency stopped again", "no request failed", t.stoppedAgain},
		{"incident", "acknowledged and resolved", t.resolved},
	}
}

// tell runs the steps in order. Each builds on the one before, so the first
// that goes wrong is the last.
func (t *teller) tell(ctx context.Context) Report {
	r := Report{OK: true, URL: t.client.url, Dir: t.dir}
	t.progress = newProgress(t.stage)
	defer t.progress.close()
	for _, c := range t.chapters() {
		step := t.run(ctx, c)
		if ctx.Err() != nil {
			break // interrupted
		}
		r.Steps = append(r.Steps, step)
		t.progress.told(step)
		if !step.OK {
			r.OK, r.Error = false, fmt.Sprintf("%s: expected %q, got %q", step.Name, step.Expected, step.Got)
			break
		}
	}
	if err := t.conclude(ctx, &r); err != nil && r.OK {
		r.OK, r.Error = false, err.Error()
	}
	r.Seconds = seconds(t.Clock.Now().Sub(t.began))
	return r
}

func (t *teller) run(ctx context.Context, c chapter) Step {
	t.progress.begin(c.name)
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	step, from := Step{Name: c.name, Expected: c.expected}, t.Clock.Now()
	got, err := c.run(ctx, &step)
	step.Got = got
	if err != nil {
		step.Got = err.Error()
	}
	if down := t.server.ended(); down != nil {
		step.Got = down.Error()
	}
	step.OK = step.Got == step.Expected
	step.Seconds = seconds(t.Clock.Now().Sub(from))
	return step
}

// conclude gathers the numbers. The visitors pause for it, so that both sides
// have counted the same requests.
func (t *teller) conclude(ctx context.Context, r *Report) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := t.visitors.pause(ctx)
	if err == nil && r.OK {
		_, err = t.counted(ctx)
	}
	r.Requests = settle(t.visitors.tally(), t.faults)
	if n := r.Requests.FailedByFlyball; n > 0 {
		err = errors.Join(err, fmt.Errorf("%d requests failed through no fault of a change or the dependency", n))
	}
	if t.incident != "" {
		err = errors.Join(err, t.client.get(ctx, "/incidents/"+t.incident, &r.Incident))
	}
	var budgets struct {
		Items json.RawMessage `json:"items"`
	}
	err = errors.Join(err, t.client.get(ctx, "/slos?service=shop", &budgets), t.client.get(ctx, "/dora", &r.DORA))
	r.Budget = budgets.Items
	t.visitors.resume()
	return err
}

// budget is one objective as the API lists it.
type budget struct {
	Objective string  `json:"objective"`
	Events    float64 `json:"events"`
	Remaining float64 `json:"remaining"`
	Level     string  `json:"level"`
	Firing    string  `json:"firing"`
}

// availability reads the shop's availability until it will do.
func (t *teller) availability(ctx context.Context, enough func(budget) bool) (budget, error) {
	var list struct {
		Items []budget `json:"items"`
	}
	var found budget
	err := t.client.poll(ctx, "/slos?service=shop", &list, func() bool {
		for _, b := range list.Items {
			if b.Objective == "shop.prod.availability" {
				found = b
				t.progress.note("budget %.0f %% left", 100*b.Remaining)
				return enough(b)
			}
		}
		return false
	})
	return found, err
}

// counted waits until the objective has counted every request the visitors
// made, and fails when it has not soon, or counts more. They must have paused.
func (t *teller) counted(ctx context.Context) (int64, error) {
	made := t.visitors.tally().total
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	b, err := t.availability(ctx, func(b budget) bool { return b.Events >= float64(made) })
	if err != nil || b.Events != float64(made) {
		return made, fmt.Errorf("visitors made %d requests, the objective counts %.0f", made, b.Events)
	}
	return made, nil
}
