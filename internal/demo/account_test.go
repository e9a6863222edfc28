package demo

import (
	"testing"
	"time"
)

func TestWhoseFaultItWas(t *testing.T) {
	at := func(s int) time.Time { return time.Date(2026, 11, 2, 12, 0, s, 0, time.UTC) }
	faults := []guilt{
		{name: "errors", revision: "bad", from: at(10), to: at(20)},
		{name: "hanging", revision: "stuck", visits: map[string]bool{"cart": true}, from: at(30), to: at(40)},
		{name: "outage", dependency: true, from: at(50), to: at(60)},
	}
	for _, c := range []struct {
		name    string
		failure failure
		want    string // empty: Flyball's
	}{
		{"an error of the bad revision", failure{At: at(15), Status: 500, Revision: "bad"}, "errors"},
		{"an error of the stable revision", failure{At: at(15), Status: 500, Revision: "good"}, ""},
		{"the bad revision, not reached", failure{At: at(15), Status: 502}, ""},
		{"the bad revision, while it should not serve", failure{At: at(25), Status: 500, Revision: "bad"}, ""},
		{"a cart never shown", failure{At: at(35), Visit: "cart", Status: 504}, "hanging"},
		{"another page never shown", failure{At: at(35), Visit: "home", Status: 504}, ""},
		{"a cart never shown later", failure{At: at(45), Visit: "cart", Status: 504}, ""},
		{"no inventory", failure{At: at(55), Status: 503, Revision: "good", Cause: "inventory"}, "outage"},
		{"no instance", failure{At: at(55), Status: 503}, ""},
		{"no inventory, though it runs", failure{At: at(65), Status: 503, Revision: "good", Cause: "inventory"}, ""},
		{"no answer", failure{At: at(55), Error: "EOF"}, ""},
	} {
		got := ""
		if g := culprit(c.failure, faults); g != nil {
			got = g.name
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	r := settle(tally{total: 9, dropped: 2, failures: []failure{
		{At: at(15), Status: 500, Revision: "bad"}, {At: at(1), Error: "EOF"}, {At: at(55), Status: 503, Cause: "inventory"},
	}}, faults)
	if r.FailedByFlyball != 3 || r.FailedByChange["errors"] != 1 || r.FailedByDependency != 1 || len(r.Unexplained) != 1 {
		t.Errorf("%+v", r)
	}
}
