package slo

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// previewWatcher watches one objective that has sixty-five days of minutes
// behind it: a quiet failure ratio, an hour of trouble ten days ago, and a gap.
func previewWatcher(t testing.TB, end time.Time) *Watcher {
	t.Helper()
	e := newEngine(t, time.Minute, end)
	o := availability("0.999")
	o.Environment = "prod"
	if _, err := e.Put(o); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	first := end.AddDate(0, 0, -65)
	type minute struct{ n, bad int64 }
	var all []minute
	for at := first; at.Before(end); at = at.Add(time.Minute) {
		m := minute{1000 + r.Int64N(200), r.Int64N(2)}
		if ago := end.Sub(at); ago > 240*time.Hour && ago <= 241*time.Hour {
			m.bad = 200
		}
		all = append(all, m)
	}
	w := NewWatcher(e, Setup{Minutes: func(_ context.Context, _, _ string, from, until time.Time, add func(time.Time, int64, int64, map[int64]int64)) error {
		for i, m := range all {
			if at := first.Add(time.Duration(i) * time.Minute); !at.Before(from) && at.Before(until) && i%10_000 > 30 {
				add(at, m.n, m.bad, nil)
			}
		}
		return nil
	}})
	w.declared[o.ID()], w.byKey[o.Key()] = &declared{objective: o, team: "shop"}, o.ID()
	return w
}

// What a preview says of the present objective is what a replay of the same
// history says, alerts and all; a stricter target never has more left, nor
// fewer alerts.
func TestPreviewIsReplay(t *testing.T) {
	end := march.AddDate(0, 3, 0)
	w := previewWatcher(t, end)
	events, err := w.History(t.Context(), "shop.prod.availability", end.AddDate(0, 0, -60), end)
	if err != nil {
		t.Fatal(err)
	}
	strict := *w.declared["shop/prod/availability"].objective
	strict.Target, strict.Window = dec("0.9995"), Days(7)
	want, err := Replay(&strict, events, end)
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Preview(t.Context(), PreviewInput{Objective: "shop.prod.availability", Target: "99.95 %", Window: "7d"})
	if err != nil {
		t.Fatal(err)
	}
	got := p.Proposed
	if got.Remaining != want.Budget.RemainingRatio || got.Spent != want.Budget.Spent.Float64() || got.SLI != *want.SLI || got.Curve[len(got.Curve)-1].Remaining != got.Remaining {
		t.Errorf("the preview says %+v, the replay %+v", got, want)
	}
	var fired []ReplayedFiring
	for _, a := range want.Alerts {
		if !a.Fired.Before(p.From) {
			fired = append(fired, a)
		}
	}
	if len(fired) == 0 || len(fired) != len(got.Alerts) {
		t.Fatalf("the preview has %d alerts, the replay %d: %+v\n%+v", len(got.Alerts), len(fired), got.Alerts, fired)
	}
	for _, a := range fired {
		found := false
		for _, b := range got.Alerts {
			found = found || b.Fired.Equal(a.Fired) && b.Reason == a.Reason && b.Policy == a.Policy
		}
		if !found {
			t.Errorf("the replay fires %+v, the preview does not", a)
		}
	}
	previous := Trial{Remaining: 2}
	for _, target := range []string{"99%", "99.5%", "99.9%", "99.95%", "99.99%"} {
		p, err := w.Preview(t.Context(), PreviewInput{Objective: "shop.prod.availability", Target: target})
		if err != nil {
			t.Fatal(err)
		}
		if now := p.Proposed; now.Remaining > previous.Remaining || now.Overspent < previous.Overspent {
			t.Errorf("at %s more is left than at a laxer target: %+v, %+v", target, now, previous)
		}
		previous = p.Proposed
	}
}

func TestPreviewRefuses(t *testing.T) {
	w := previewWatcher(t, march)
	for _, c := range []struct {
		in   PreviewInput
		says string
	}{
		{PreviewInput{Objective: "shop.prod.latency"}, "there is no objective"},
		{PreviewInput{Objective: "shop.prod.availability", Target: "100%"}, "is not strictly between"},
		{PreviewInput{Objective: "shop.prod.availability", Target: "most"}, "is not a decimal number"},
		{PreviewInput{Objective: "shop.prod.availability", Window: "91d"}, "is not 1d to 90d"},
		{PreviewInput{Objective: "shop.prod.availability", Window: "-3d"}, "is not 1d to 90d"},
		{PreviewInput{Objective: "shop.prod.availability", Window: "9999999999999999999999d"}, "is not 1d to 90d"},
	} {
		if _, err := w.Preview(t.Context(), c.in); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.in, err, c.says)
		}
	}
}

// TestPreviewTime prints what another target costs. The bound is generous.
func TestPreviewTime(t *testing.T) {
	w := previewWatcher(t, march.AddDate(0, 3, 0))
	for _, target := range []string{"99.5%", "99.95%", "99.99%"} {
		began := time.Now()
		p, err := w.Preview(t.Context(), PreviewInput{Objective: "shop.prod.availability", Target: target, Window: "28d"})
		took := time.Since(began)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("30 d of minutes, twice, at %s: %.1f ms (%d alerts)", target, float64(took.Microseconds())/1000, len(p.Proposed.Alerts))
		if took > 5*time.Second {
			t.Errorf("a preview took %s", took)
		}
	}
}

func FuzzPreviewInput(f *testing.F) {
	for _, s := range []string{"99.9%", "0.999", "99.9 %", "1e-3", "28d", "4w", "30", "", "%", "-1"} {
		f.Add(s, s)
	}
	o := availability("0.999")
	f.Fuzz(func(t *testing.T, target, window string) {
		p, err := propose(o, PreviewInput{Target: target, Window: window})
		if err == nil && (p.Target <= 0 || p.Target >= One || p.Window.Rolling <= 0 || p.Window.Rolling > maxPreviewWindow) {
			t.Errorf("%q over %q is %s over %s", target, window, p.Target, p.Window)
		}
	})
}
