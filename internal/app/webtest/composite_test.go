package webtest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/app"
	"github.com/flyball-dev/flyball/internal/catalog"
)

const journey = `apiVersion: flyball.dev/v1
kind: Team
metadata: {name: sellers}
spec:
  page: [{url: https://pager.example/sellers}]
---
apiVersion: flyball.dev/v1
kind: Environment
metadata: {name: prod}
spec: {}
---
apiVersion: flyball.dev/v1
kind: Service
metadata: {name: shop}
spec: {team: sellers, run: bin/shop}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: buy}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives:
    - displayName: answered
      target: 0.999
      compositeWeight: 3
      indicator: &answered
        metadata: {name: answered}
        spec:
          ratioMetric:
            counter: true
            good: {metricSource: {type: flyball, spec: {query: good}}}
            total: {metricSource: {type: flyball, spec: {query: requests}}}
    - displayName: fast
      target: 0.99
      indicator:
        metadata: {name: fast}
        spec:
          ratioMetric:
            counter: true
            good: {metricSource: {type: flyball, spec: {query: faster than 300ms}}}
            total: {metricSource: {type: flyball, spec: {query: requests}}}
`

// TestCompositePage: a composite has a page like any objective, with its parts.
func TestCompositePage(t *testing.T) {
	h := newHouse(t, ending)
	ctx := context.Background()
	applier := &catalog.Applier{Log: h.store.Log(), Reader: h.store.States(), Sync: h.sync, Registry: app.Kinds()}
	_, err := applier.Apply(ctx, "user:ana", "flyball", commit("journey"), map[string][]byte{"flyball/journey.yaml": []byte(journey)})
	h.do(err)
	h.do(h.watcher.Declare(ctx, h.clock.Now()))
	for range 5 {
		at := h.clock.Now()
		h.clock.AdvanceTo(at.Add(time.Minute))
		h.do(h.watcher.Count("shop", "prod", at, 1000, 2, map[int64]int64{int64(300 * time.Millisecond): 20}))
		h.watcher.Tick(h.clock.Now())
	}
	h.open()
	t.Cleanup(h.close)
	c := h.client(false)
	for path, wants := range map[string][]string{
		"/objectives":                    {"shop.prod.buy\"", "shop.prod.buy-fast"},
		"/objectives/shop.prod.buy":      {"minutes of total failure", "shop.prod.buy-answered", "shop.prod.buy-fast", "Spent of this budget", "99.8"},
		"/objectives/shop.prod.buy-fast": {"what-if"},
	} {
		status, body := h.get(c, path)
		if status != 200 {
			t.Errorf("%s: status %d\n%.1000s", path, status, body)
		}
		for _, want := range wants {
			if !strings.Contains(body, want) {
				t.Errorf("%s lacks %s", path, want)
			}
		}
	}
}
