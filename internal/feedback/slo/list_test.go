package slo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// manyObjectives is an engine with n objectives, ten a service, a few of which
// burn, on an hour of traffic.
func manyObjectives(t testing.TB, n int) *Engine {
	t.Helper()
	e := newEngine(t, time.Minute, march)
	r := rand.New(rand.NewPCG(1, 2))
	bad := make([]int64, n)
	for i := range n {
		o := availability("0.999")
		o.Service, o.Environment, o.Name = fmt.Sprintf("service-%04d", i/10), "prod", fmt.Sprintf("objective-%d", i%10)
		if _, err := e.Put(o); err != nil {
			t.Fatal(err)
		}
		if r.IntN(20) == 0 {
			bad[i] = 1 + r.Int64N(60)
		}
	}
	for minute := range 60 {
		now, i := march.Add(time.Duration(minute)*time.Minute), 0
		for id := range e.Objectives() {
			if _, err := e.Add(id, now, 1000-bad[i], 1000); err != nil {
				t.Fatal(err)
			}
			i++
		}
		e.Tick(now.Add(time.Minute))
	}
	return e
}

func everything(*Objective) bool { return true }

// A Standing says what the Snapshot says.
func TestStandingEqualsSnapshot(t *testing.T) {
	e := manyObjectives(t, 300)
	fired := 0
	for _, s := range e.Standings(everything, true) {
		snapshot, err := e.Snapshot(s.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := s, *snapshot.standing(); got != want {
			t.Fatalf("%s: the standing is %+v, the snapshot says %+v", s.ID, got, want)
		}
		if f := e.Forecast(s.ID); f.At != s.Exhausts {
			t.Fatalf("%s: forecast %s, standing %s", s.ID, f.At, s.Exhausts)
		}
		if s.Firing != "" {
			fired++
		}
	}
	if fired == 0 {
		t.Error("nothing fires: the comparison says little")
	}
}

// teamed gives objectives owners by service.
func teamed(all []Standing) []Standing {
	for i := range all {
		all[i].Team = fmt.Sprintf("team-%d", int(all[i].Objective.Service[len(all[i].Objective.Service)-1]-'0')%4)
	}
	return all
}

// Pages give every objective once, in order, whatever the order and grouping,
// and sub-totals that add up.
func TestListPages(t *testing.T) {
	all := teamed(manyObjectives(t, 400).Standings(everything, true))
	for _, order := range []string{"", "key", "burn", "budget", "exhaustion"} {
		for _, by := range []string{"", "team", "service"} {
			var rows []Standing
			totals := map[string]Subtotal{}
			in := ListInput{Sort: order, Group: by, Limit: 37}
			for {
				l, err := Select(slices.Clone(all), in)
				if err != nil {
					t.Fatal(err)
				}
				rows = append(rows, l.Standings...)
				for _, g := range l.Groups {
					totals[g.Name] = g
				}
				if in.After = l.Next; l.Next == "" {
					break
				}
			}
			seen, grouped := map[string]bool{}, map[string]bool{}
			for i, r := range rows {
				seen[r.ID] = true
				sameGroup := i > 0 && rows[i-1].GroupOf(by) == r.GroupOf(by)
				if sameGroup && valueOf(&rows[i-1], order) > valueOf(&r, order) {
					t.Fatalf("%s by %s: %s stands after %s", order, by, r.ID, rows[i-1].ID)
				}
				if !sameGroup && grouped[r.GroupOf(by)] {
					t.Fatalf("%s by %s: group %s comes twice", order, by, r.GroupOf(by))
				}
				grouped[r.GroupOf(by)] = true
			}
			if len(seen) != len(all) || len(rows) != len(all) {
				t.Errorf("%s by %s: %d rows, %d different, of %d", order, by, len(rows), len(seen), len(all))
			}
			n := 0
			for _, g := range totals {
				n += g.Objectives
			}
			if by != "" && n != len(all) {
				t.Errorf("%s by %s: the sub-totals say %d objectives, there are %d", order, by, n, len(all))
			}
		}
	}
}

// The page after a cursor does not depend on whether the objective at it is
// still there.
func TestListCursorOutlivesItsObjective(t *testing.T) {
	all := manyObjectives(t, 100).Standings(everything, false)
	first, err := Select(slices.Clone(all), ListInput{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	gone := first.Standings[9].ID
	rest := slices.DeleteFunc(slices.Clone(all), func(s Standing) bool { return s.ID == gone })
	second, err := Select(rest, ListInput{Limit: 10, After: first.Next})
	if err != nil || second.Standings[0].ID != all[10].ID {
		t.Errorf("after %s, which is gone, comes %v, %v; want %s", gone, second.Standings[:1], err, all[10].ID)
	}
	if _, err := Select(all, ListInput{After: "not a cursor"}); err == nil || !strings.Contains(err.Error(), "is not a cursor of this list") {
		t.Errorf("a cursor that is none gives %v", err)
	}
}

func TestListFilters(t *testing.T) {
	all := teamed(manyObjectives(t, 400).Standings(everything, false))
	naive := func(keep func(*Standing) bool) (n int) {
		for i := range all {
			if keep(&all[i]) {
				n++
			}
		}
		return n
	}
	for name, c := range map[string]struct {
		in   ListInput
		keep func(*Standing) bool
	}{
		"service": {ListInput{Service: "service-0003"}, func(s *Standing) bool { return s.Objective.Service == "service-0003" }},
		"team":    {ListInput{Team: "team-2"}, func(s *Standing) bool { return s.Team == "team-2" }},
		"search":  {ListInput{Search: " SERVICE-0012.prod "}, func(s *Standing) bool { return strings.Contains(s.Objective.Key(), "service-0012.prod") }},
		"page":    {ListInput{Firing: "page"}, func(s *Standing) bool { return s.Firing == "page" }},
		"any":     {ListInput{Firing: "any"}, func(s *Standing) bool { return s.Firing != "" }},
		"level":   {ListInput{Level: LevelPlentiful}, func(s *Standing) bool { return s.Remaining > 0.5 }},
		"hurting": {ListInput{Hurting: true}, func(s *Standing) bool { return s.Hurts() }},
		"nowhere": {ListInput{Environment: "stage"}, func(*Standing) bool { return false }},
	} {
		l, err := Select(slices.Clone(all), c.in)
		if want := naive(c.keep); err != nil || l.Chosen.Objectives != want || len(l.Standings) != min(want, 100) || l.All.Objectives != 400 {
			t.Errorf("%s: %d chosen, %d on the page, want %d (%v)", name, l.Chosen.Objectives, len(l.Standings), want, err)
		}
	}
	l, err := Select(slices.Clone(all), ListInput{Group: "team", PerGroup: 3, Sort: "burn"})
	if err != nil || len(l.Standings) != 12 || len(l.Groups) != 4 || l.Groups[0].Fastest != l.All.Fastest {
		t.Errorf("three of each of four teams: %d rows, groups %+v, %v", len(l.Standings), l.Groups, err)
	}
}

// TestListOfTenThousand prints what a first page costs with 10,000 objectives.
// The bound is generous: machines differ.
func TestListOfTenThousand(t *testing.T) {
	w := NewWatcher(manyObjectives(t, 10_000), Setup{})
	for _, in := range []ListInput{{Sort: "burn"}, {Sort: "exhaustion"}, {Search: "0999"}, {Group: "service", PerGroup: 3, Sort: "burn"}} {
		began := time.Now()
		l, err := w.List(in)
		took := time.Since(began)
		if err != nil || l.All.Objectives != 10_000 {
			t.Fatalf("%+v: %d objectives, %v", in, l.All.Objectives, err)
		}
		t.Logf("%d objectives, sort %q, group %q, search %q: %.1f ms", l.All.Objectives, in.Sort, in.Group, in.Search, float64(took.Microseconds())/1000)
		if took > 5*time.Second {
			t.Errorf("a page took %s", took)
		}
	}
}
