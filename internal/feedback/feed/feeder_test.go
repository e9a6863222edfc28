package feed

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/adapter/prometheus/prometheustest"
	"github.com/flyball-dev/flyball/internal/adapter/prometheus/query"
	"github.com/flyball-dev/flyball/internal/adapter/prometheus/remote"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/port/metric"
	"github.com/flyball-dev/flyball/internal/port/metric/metrictest"
)

const slothFile = `version: prometheus/v1
service: shop
slos:
  - name: requests
    objective: 99
    sli:
      events:
        error_query: sum(rate(requests_total{code="500"}[{{.window}}]))
        total_query: sum(rate(requests_total[{{.window}}]))
    alerting: {name: ShopErrors}
`

// A Sloth file on a Prometheus that never heard of Flyball: the whole window is
// there, exactly; a server that is started again goes on; what comes late fills
// its gap.
func TestHistoryOfASlothFile(t *testing.T) {
	ctx := t.Context()
	const minutes = 30 * 24 * 60
	now := start.Add(minutes*time.Minute + 45*time.Second)
	series := func(code string, from, until, each int) metrictest.Series {
		s := metrictest.Series{Labels: metric.Labels{metric.NameLabel: "requests_total", "job": "shop", "instance": "a", "code": code}}
		for k := from; k <= until; k++ {
			s.Points = append(s.Points, metric.Point{At: start.Add(time.Duration(k) * time.Minute).UnixMilli(), Value: float64(k * each)})
		}
		return s
	}
	server := prometheustest.Start(t, "", []metrictest.Series{series("200", 0, minutes, 10), series("500", 0, minutes, 1)})
	virtual := clock.NewVirtual(now)
	kept := memory.New(memory.Options{Clock: virtual})
	t.Cleanup(func() { kept.Close() })
	data, err := json.Marshal(resource.Applied{APIVersion: "prometheus/v1", Kind: "Sloth", Metadata: resource.Metadata{Name: "shop"},
		Spec: json.RawMessage(`{"line":1}`), File: "shop.yaml", Line: 1, Text: slothFile})
	if err != nil {
		t.Fatal(err)
	}
	_, err = kept.Log().Append(ctx, event.Batch{Stream: "resources", Expect: event.AnyVersion, Drafts: []event.Draft{{
		Type: resource.EventApplied, Subject: "sloth/shop", Actor: "user:ana", Data: json.RawMessage(data)}}})
	if err != nil {
		t.Fatal(err)
	}
	runner := projection.NewRunner(kept.Log(), kept.States(), slo.Projection(), slo.AdjustmentProjection(), catalog.Projection())
	begin := func() (*slo.Watcher, *Feeder) {
		engine, err := slo.NewEngine(time.Minute, virtual.Now())
		if err != nil {
			t.Fatal(err)
		}
		w := slo.NewWatcher(engine, slo.Setup{Reader: kept.States(), Slots: slo.NewSlots(kept.Blobs()), Log: kept.Log(), Sync: runner.CatchUp, Clock: virtual, Wake: func(string) {}})
		if err := runner.CatchUp(ctx); err != nil {
			t.Fatal(err)
		}
		if err := w.Declare(ctx, virtual.Now()); err != nil {
			t.Fatal(err)
		}
		return w, &Feeder{Watcher: w, Reader: kept.States(), Blobs: kept.Blobs(), Clock: virtual, Own: Connection{Name: Default, URL: server.URL},
			Open: func(c Connection) (metric.Counter, error) {
				client, err := remote.New(remote.Config{URL: c.URL, Clock: virtual})
				return query.NewCounter(client), err
			}}
	}
	tend := func(w *slo.Watcher, f *Feeder) slo.Snapshot {
		t.Helper()
		w.Tick(virtual.Now())
		if err := f.Tend(ctx); err != nil {
			t.Fatal(err)
		}
		w.Tick(virtual.Now())
		s, err := w.Snapshot("shop.prod.requests")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	w, f := begin()
	if s := tend(w, f); s.Total != 11*minutes || s.Good != 10*minutes || s.Known != minutes {
		t.Fatalf("%g of %g in %d of %d slots, want %d of %d: %+v", s.Good, s.Total, s.Known, s.Span, 10*minutes, 11*minutes, f.list(ListInput{}))
	}
	rows := f.list(ListInput{Service: "shop"})
	if len(rows.Items) != 1 || !rows.Items[0].Exact || rows.Items[0].Source != Default || rows.Items[0].Error != "" || rows.Items[0].Samples < 2*minutes {
		t.Errorf("%+v", rows)
	}
	read := rows.Items[0].Samples

	// Scrapes stop for two minutes; meanwhile the server is started again.
	virtual.Advance(2 * time.Minute)
	w, f = begin()
	s := tend(w, f)
	if missing := s.Burns[0].Missing; missing != 3 {
		t.Errorf("%d of the last minutes are gaps, want those two and the one that is not over", missing)
	}
	if again := f.list(ListInput{}).Items[0].Samples; again > 200 || again >= read {
		t.Errorf("a restart read %d samples, after %d before", again, read)
	}
	// They come late, and fill what was a gap.
	server.Write(t, []metrictest.Series{series("200", minutes+1, minutes+3, 10), series("500", minutes+1, minutes+3, 1)})
	virtual.Advance(time.Minute)
	if s := tend(w, f); s.Burns[0].Missing != 1 || s.Burns[0].Total != 55 {
		t.Errorf("after late samples %+v", s.Burns[0])
	}
}
