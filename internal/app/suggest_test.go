package app

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/adapter/prometheus/embedded"
	"github.com/flyball-dev/flyball/internal/feedback/feed"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

const elsewhere = `apiVersion: openslo/v1
kind: DataSource
metadata: {name: main}
spec: {type: Prometheus, connectionDetails: {url: http://127.0.0.1:1}}
`

// Objectives suggested from the server's own metrics store are ready to apply,
// and are counted there, also beside another source.
func TestSuggestFromTheServersStore(t *testing.T) {
	for name, besides := range map[string]string{"alone": "", "beside another source": elsewhere} {
		t.Run(name, func(t *testing.T) {
			ctx, dir := t.Context(), t.TempDir()
			if _, _, err := embedded.Import(ctx, dir, blocks(stranger)); err != nil {
				t.Fatal(err)
			}
			store := embedded.New(embedded.Options{Dir: dir, Retention: 1e5 * time.Hour, MaxBytes: 1 << 40, Logger: slog.New(slog.DiscardHandler)})
			t.Cleanup(func() { store.Close() })
			c := clock.NewVirtual(promUntil.Add(time.Minute))
			a, err := New(Config{Clock: c, Logger: slog.New(slog.DiscardHandler)}, Ports{Store: memory.New(memory.Options{Clock: c}), Metrics: store})
			if err != nil {
				t.Fatal(err)
			}
			a.stepped = true
			apply := func(text string) {
				t.Helper()
				if _, err := a.Apply(ctx, "user:ana", "flyball", "c0ffee", map[string][]byte{"flyball/a.yaml": []byte(text)}); err != nil {
					t.Fatal(err)
				}
			}
			source := ""
			if besides != "" {
				apply(besides)
				source = feed.BuiltIn
			}
			ana := operation.Caller{Name: "ana", Grants: []operation.Grant{{Role: operation.Viewer}}}
			out, err := byName(a.Operations, "slo.suggest").Call(ctx, ana, &feed.SuggestInput{Source: source, Days: 1})
			if err != nil {
				t.Fatal(err)
			}
			list := out.(slo.Suggestions)
			var names []string
			for _, s := range list.Items {
				names = append(names, s.Objective)
			}
			slices.Sort(names)
			if want := []string{"api/api-latency", "blackbox/blackbox-probes", "pay/pay-availability", "shop/shop-availability", "web/web-availability"}; !slices.Equal(names, want) {
				t.Fatalf("suggested %v, want %v", names, want)
			}
			apply(besides + "---\n" + list.Tell())
			if err := a.sync(ctx); err != nil {
				t.Fatal(err)
			}
			if err := a.watcher.Declare(ctx, c.Now()); err != nil {
				t.Fatal(err)
			}
			if err := a.feeder.Tend(ctx); err != nil {
				t.Fatal(err)
			}
			s, err := a.watcher.Snapshot("shop.prod.shop-availability")
			if err != nil {
				t.Fatal(err)
			}
			// 720 ticks of 330 good ones; six bad in every hundredth, three in every second.
			if s.Good != 720*330 || s.Total != 720*330+7*6+360*3 {
				t.Errorf("%v good of %v", s.Good, s.Total)
			}
			_, err = byName(a.Operations, "slo.suggest").Call(ctx, ana, &feed.SuggestInput{Source: "nowhere"})
			if problem.KindOf(err) != problem.NotFound || problem.NextOf(err) == "" {
				t.Errorf("an unknown source: %v", err)
			}
		})
	}
}
