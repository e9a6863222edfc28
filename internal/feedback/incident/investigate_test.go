package incident_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// From the facts of other rooms to suspects: the alert comes minutes after what
// it is about, which the counts of the objective tell.
func TestInvestigation(t *testing.T) {
	r := newRoom(t)
	r.apply(catalog.KindService, "checkout", catalog.ServiceSpec{Team: "payments", Run: "x", DependsOn: []string{"stock"}})
	r.apply(catalog.KindService, "stock", catalog.ServiceSpec{Team: "payments", Run: "x"})
	rollout := func(typ, name, rest string) {
		service, _, _ := strings.Cut(name, "-")
		data := fmt.Sprintf(`{"rollout":%q,"service":%q,"environment":"prod","revision":"3f2a91c-9be01d","change":"%s-3f2a91c"%s}`, name, service, service, rest)
		r.record("rollout/"+name, event.Draft{Type: typ, Actor: "controller:rollout", Data: json.RawMessage(data)})
	}
	r.clock.Advance(time.Hour)
	rollout("rollout.started", "checkout-1", "")
	rollout("rollout.stepped", "checkout-1", `,"weight":500`)
	rollout("rollout.started", "stock-1", "")
	rollout("rollout.stepped", "stock-1", `,"weight":2500`)
	r.clock.Advance(20*time.Minute + 20*time.Second)
	rollout("rollout.stepped", "checkout-1", `,"weight":2500`)
	began := r.clock.Now().Add(40 * time.Second)
	series := slo.NewSeries(time.Minute, 0)
	for at := start; at.Before(began.Add(9 * time.Minute)); at = at.Add(time.Minute) {
		bad := int64(0)
		if !at.Before(began) {
			bad = 40
		}
		if err := series.Add(at, 1000-bad, 1000); err != nil {
			t.Fatal(err)
		}
	}
	r.Past = func(_ context.Context, key string, from, now time.Time) (*slo.Series, error) {
		if key != "checkout.prod.availability" {
			t.Errorf("asked for %s", key)
		}
		return series.Between(from, now), nil
	}
	r.clock.Advance(9 * time.Minute)
	r.record("objective/x", event.Draft{Type: "alert.fired", Actor: "controller:objective", Data: json.RawMessage(
		`{"alert":"a1","objective":"checkout.prod.availability","service":"checkout","environment":"prod","severity":"page","explanation":"burning"}`)})
	r.settle()
	rollout("rollout.started", "checkout-2", "")
	rollout("rollout.stepped", "checkout-2", `,"weight":2500`)
	if err := r.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	name := "inc-checkout-" + r.clock.Now().Format("20060102t150405")
	out, err := r.call("incident.show", developer, `{"incident":"`+name+`"}`)
	if err != nil {
		t.Fatal(err)
	}
	show := out.(incident.ShowOutput)
	if o := show.Onset; !o.At.Equal(began) || o.Width != time.Minute || o.From != 0 || o.To < 0.039 {
		t.Errorf("the onset is %+v, want %s", o, began)
	}
	if n := len(show.Suspects); n != 2 || show.Suspects[0].Name != "checkout-1" || show.Suspects[0].Why[0] != "trouble began within 60 s after it took 25 %" ||
		show.Suspects[1].Why[0] != "checkout depends on stock" {
		t.Errorf("%d suspects: %+v", n, show.Suspects)
	}
	if text := show.Tell(); !strings.Contains(text, "suspect (70 of 100) checkout-1: trouble began within 60 s after it took 25 %; the same service") {
		t.Errorf("told:\n%s", text)
	}
}
