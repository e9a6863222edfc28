package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/feedback/budget"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/port/measure"
)

// plane is a data plane that has counted some bins.
type plane struct {
	bins  []measure.Bin
	acked int64
}

func (p *plane) Bins(_ context.Context, after int64, limit int) (measure.Page, error) {
	from := int(max(after, p.acked))
	to := min(len(p.bins), from+limit)
	return measure.Page{Bins: p.bins[from:to], More: to < len(p.bins)}, nil
}

func (p *plane) Ack(_ context.Context, seq int64) error { p.acked = seq; return nil }

func (p *plane) count(at time.Time, revision string, requests, bad int64) {
	p.bins = append(p.bins, measure.Bin{Seq: int64(len(p.bins) + 1), Service: "checkout", Environment: "prod", Revision: revision,
		Time: at, Width: time.Minute, Requests: requests, Errors: bad})
}

// From the bins of the data plane and the facts of rollouts to the answer over
// HTTP, the status and the reading of the gate: who spent the budget.
func TestWhoSpentTheBudget(t *testing.T) {
	ctx := t.Context()
	c := clock.NewVirtual(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	bins := &plane{}
	a, err := New(Config{Clock: c, Logger: slog.New(slog.DiscardHandler)}, Ports{Store: memory.New(memory.Options{Clock: c}), Measures: bins})
	if err != nil {
		t.Fatal(err)
	}
	a.stepped = true
	if _, err := a.Apply(ctx, "user:ana", "flyball", "c0ffee", map[string][]byte{"flyball/a.yaml": []byte(good)}); err != nil {
		t.Fatal(err)
	}
	const stable, canary = "aaaaaaa-000000", "bbbbbbb-000000"
	fact := func(typ string, data any) {
		name := "rollout/r"
		if e, ok := data.(rollout.Ended); ok {
			name = "rollout/" + e.Rollout
		}
		if _, err := a.log.Append(ctx, event.Batch{Stream: name, Expect: event.AnyVersion, Drafts: []event.Draft{{Type: typ, Subject: name, Time: c.Now(), Actor: "system", Data: data}}}); err != nil {
			t.Fatal(err)
		}
	}
	serve := func(minutes int, requests, bad, canaryRequests, canaryBad int64) {
		for range minutes {
			bins.count(c.Now(), stable, requests, bad)
			if canaryRequests > 0 {
				bins.count(c.Now(), canary, canaryRequests, canaryBad)
			}
			c.Advance(time.Minute)
		}
	}
	fact(rollout.EventPromoted, rollout.Ended{Rollout: "r0", Release: "checkout-aaaaaaa-prod", Change: "checkout-aaaaaaa", Service: "checkout", Team: "payments", Environment: "prod", Revision: stable, Outcome: "promoted"})
	serve(600, 600, 1, 0, 0)
	fact(rollout.EventStarted, rollout.Started{Rollout: "r", Change: "checkout-bbbbbbb", Service: "checkout", Team: "payments", Environment: "prod", Revision: canary, From: stable, Strategy: rollout.StrategyCanary})
	serve(90, 300, 1, 300, 300)
	back := rollout.Ended{Rollout: "r", Change: "checkout-bbbbbbb", Service: "checkout", Team: "payments", Environment: "prod", Revision: canary, Outcome: "rolled_back"}
	fact(rollout.EventRolledBack, back)
	fact(rollout.EventFinished, back)
	serve(60, 600, 1, 0, 0)
	if err := a.sync(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.watcher.Declare(ctx, c.Now()); err != nil {
		t.Fatal(err)
	}
	if err := a.collect(ctx); err != nil {
		t.Fatal(err)
	}

	face, err := a.Face("test")
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string, into any) {
		t.Helper()
		r := httptest.NewRequest("GET", "http://127.0.0.1:7600"+path, nil)
		r.RemoteAddr = "127.0.0.1:1234"
		w := httptest.NewRecorder()
		face.Handler.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
	var report budget.Report
	get("/api/v1/budgets/checkout?objective=availability", &report)
	if len(report.Items) != 1 {
		t.Fatalf("%d ledgers", len(report.Items))
	}
	l := report.Items[0]
	first := l.Shares[0]
	if l.Raw.Bad != 27750 || first.Kind != budget.KindChange || first.Name != "checkout-bbbbbbb" || first.Method != budget.Measured || first.Bad < 26900 || first.Bad > 27000 {
		t.Errorf("of %d bad events, the first share is %+v", l.Raw.Bad, first)
	}
	snapshot, err := a.watcher.Snapshot("checkout.prod.availability")
	if err != nil {
		t.Fatal(err)
	}
	if spent := snapshot.Budget.Spent.Float64(); int64(spent) != l.Raw.Bad {
		t.Errorf("the ledger sums to %d, the objective has spent %v", l.Raw.Bad, spent)
	}
	if l.Adjusted.Remaining > 0 {
		t.Fatalf("%v of the budget is left; the test needs it spent", l.Adjusted.Remaining)
	}
	var checked struct {
		Reason  string `json:"reason"`
		SpentBy string `json:"spent_by"`
	}
	get("/api/v1/policies/checkout/check?environment=prod", &checked)
	if want := "bbbbbbb (97 %), background (3.0 %)"; checked.SpentBy != want || !strings.Contains(checked.Reason, "is spent by "+want) {
		t.Errorf("the gate says %+v, want %q", checked, want)
	}
	status, err := a.Status(ctx, "checkout")
	if err != nil {
		t.Fatal(err)
	}
	if got := status.Places[0].State; got != "frozen: budget spent by bbbbbbb (97 %), background (3.0 %)" {
		t.Errorf("status says %q", got)
	}
}
