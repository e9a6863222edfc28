package slo

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whoever looks only at the objectives that changed sees what somebody sees who
// looks at all of them.
func TestChanged(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		e, err := NewEngine(time.Minute, now)
		if err != nil {
			r.Fatal(err)
		}
		objective := func(i int, target string) *Objective {
			return &Objective{Service: fmt.Sprintf("s%d", i/2), Environment: "prod", Name: fmt.Sprintf("o%d", i), Target: MustDecimal(target), Method: Occurrences, Weight: One,
				Window: Days(1), Indicator: Indicator{Kind: Availability}, AlertPolicies: DefaultPolicies(Occurrences)}
		}
		var ids []string
		for i := range 4 {
			o := objective(i, "0.99")
			if _, err := e.Put(o); err != nil {
				r.Fatal(err)
			}
			ids = append(ids, o.ID())
		}
		whole := &Objective{Service: "s0", Environment: "prod", Name: "whole", Method: Occurrences, Window: Days(1), Target: MustDecimal("0.99"), AlertPolicies: DefaultPolicies(Occurrences)}
		for _, id := range ids[:2] {
			whole.Parts = append(whole.Parts, Part{ID: id, Key: id, Weight: One, Target: MustDecimal("0.99")})
		}
		if _, err := e.Put(whole); err != nil {
			r.Fatal(err)
		}
		seen := map[string]string{}
		for range rapid.IntRange(5, 60).Draw(r, "steps") {
			now = now.Add(rapid.SampledFrom([]time.Duration{time.Minute, time.Minute, time.Minute, 5 * time.Minute, time.Hour, 7 * time.Hour}).Draw(r, "pass"))
			e.Tick(now)
			for range rapid.IntRange(0, 3).Draw(r, "counts") {
				at := now.Add(-rapid.SampledFrom([]time.Duration{0, time.Minute, 2 * time.Hour, 20 * time.Hour}).Draw(r, "late"))
				good := rapid.SampledFrom([]int64{0, 50, 1000}).Draw(r, "good")
				if _, err := e.Add(rapid.SampledFrom(ids).Draw(r, "id"), at, good, 1000); err != nil {
					r.Fatal(err)
				}
			}
			if rapid.IntRange(0, 9).Draw(r, "declare") == 0 {
				if _, err := e.Put(objective(3, rapid.SampledFrom([]string{"0.9", "0.999"}).Draw(r, "target"))); err != nil {
					r.Fatal(err)
				}
			}
			e.Tick(now)
			last := ""
			for _, c := range e.changed() {
				if c.id <= last {
					r.Fatalf("%s after %s", c.id, last)
				}
				last, seen[c.id] = c.id, c.text
			}
			for id := range e.Objectives() {
				if want := e.live[id].condition().text; seen[id] != want {
					r.Fatalf("%s at %s is %q, but %q was said", id, now, want, seen[id])
				}
			}
		}
		if len(e.changed()) != 0 {
			r.Fatal("something changed although nothing happened")
		}
	})
}
