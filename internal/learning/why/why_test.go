package why

import (
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	kernelclock "github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// story is one change that was built and taken back, the incident that opened,
// and a later one that somebody declared.
var story = []event.Draft{
	{ID: "push", Type: "change.pushed", Subject: "change/cart-3f2a91c", Data: map[string]any{"change": "cart-3f2a91c", "commits": []map[string]string{{"subject": "Cache totals", "author": "Ana"}}}},
	{ID: "run", Type: "run.started", Subject: "run/cart-3f2a91c-r1", Cause: "push", Data: fact{Run: "cart-3f2a91c-r1", Change: "cart-3f2a91c", Service: "cart"}},
	decided("tested", "run/cart-3f2a91c-r1", "run", "succeeded", "every job succeeded"),
	{ID: "built", Type: "artifact.built", Subject: "artifact/1", Cause: "run", Data: fact{Change: "cart-3f2a91c", Service: "cart"}},
	decided("proposed", "release/cart-3f2a91c", "built", "propose", "it is meant for prod"),
	{ID: "release", Type: "release.proposed", Subject: "release/cart-3f2a91c-prod", Cause: "proposed", Data: fact{Release: "cart-3f2a91c-prod", Change: "cart-3f2a91c", Service: "cart", Environment: "prod"}},
	{ID: "started", Type: "rollout.started", Subject: "rollout/cart-3f2a91c-prod-1", Cause: "release",
		Data: fact{Rollout: "cart-3f2a91c-prod-1", Release: "cart-3f2a91c-prod", Change: "cart-3f2a91c", Service: "cart", Environment: "prod"}},
	decided("back", "rollout/cart-3f2a91c-prod-1", "started", "back", "E = 214 ≥ 100"),
	decided("opened", "incident/cart.prod", "back", "open", "a rollback opens an incident"),
	{ID: "incident", Type: "incident.opened", Subject: "incident/inc-1", Cause: "opened", Data: fact{Incident: "inc-1", Service: "cart", Environment: "prod"}},
	{ID: "resolved", Type: "incident.resolved", Subject: "incident/inc-1", Data: fact{Incident: "inc-1", Service: "cart", Environment: "prod"}},
	decided("again", "incident/cart.prod", "", "open", "another one"),
}

func decided(id, subject, cause, verdict, reason string) event.Draft {
	controller, key, _ := strings.Cut(subject, "/")
	return event.Draft{ID: id, Type: control.EventDecided, Subject: subject, Cause: cause,
		Data: control.Decision{Controller: controller, Key: key, Verdict: verdict, Reason: reason}}
}

// TestAboutAnything: whatever one knows the name of, the answer is the newest
// decision about it, with the chain of causes back to the commit.
func TestAboutAnything(t *testing.T) {
	c := kernelclock.NewVirtual(time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC))
	store := memory.New(memory.Options{Clock: c})
	t.Cleanup(func() { store.Close() })
	runner := projection.NewRunner(store.Log(), store.States(), Projections()...)
	for _, d := range story {
		d.Actor, d.Time = "system", c.Now()
		if _, err := store.Log().Append(t.Context(), event.Batch{Stream: d.Subject, Expect: event.AnyVersion, Drafts: []event.Draft{d}}); err != nil {
			t.Fatal(err)
		}
		if d.ID != "opened" { // what it led to is recorded with it
			c.Advance(time.Minute)
		}
	}
	if err := runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	desk := &Desk{Log: store.Log(), Reader: store.States()}
	for _, tt := range []struct{ asked, about, reason, begins string }{
		{"rollout/cart-3f2a91c-prod-1", "rollout/cart-3f2a91c-prod-1", "E = 214 ≥ 100", "change.pushed"},
		{"release/cart-3f2a91c-prod", "rollout/cart-3f2a91c-prod-1", "E = 214 ≥ 100", "change.pushed"},
		{"change/cart-3f2a91c", "rollout/cart-3f2a91c-prod-1", "E = 214 ≥ 100", "change.pushed"},
		{"incident/inc-1", "incident/cart.prod", "a rollback opens an incident", "change.pushed"},
		{"cart", "incident/cart.prod", "a rollback opens an incident", "change.pushed"},
		{"service/cart", "incident/cart.prod", "a rollback opens an incident", "change.pushed"},
	} {
		t.Run(tt.asked, func(t *testing.T) {
			out, err := desk.Explain(t.Context(), Input{Subject: tt.asked})
			if err != nil {
				t.Fatal(err)
			}
			head := out.headline()
			if head == nil || head.Subject != tt.about || head.Reason != tt.reason {
				t.Fatalf("the answer is about %+v", head)
			}
			if n := len(out.Chain); n == 0 || out.Chain[0].Event != head.Event || out.Chain[n-1].Type != tt.begins {
				t.Errorf("the chain is %+v", out.Chain)
			}
			if text := out.Tell(); !strings.Contains(text, tt.reason) || !strings.Contains(text, `"Cache totals" (Ana)`) {
				t.Errorf("it says\n%s", text)
			}
		})
	}
	if _, err := desk.Explain(t.Context(), Input{Subject: "change/nowhere"}); problem.KindOf(err) != problem.NotFound {
		t.Errorf("of nothing: %v", err)
	}
}
