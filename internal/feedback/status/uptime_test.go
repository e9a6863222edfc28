package status_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/feedback/status"
)

// The bars equal a recount of every slot, one by one, in any zone and across
// clock changes.
func TestUptimeEqualsARecount(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia", "America/St_Johns"}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		year := rapid.SampledFrom([]int{2011, 2026}).Draw(t, "year") // Apia left out a day in 2011
		through := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 400*24).Draw(t, "hour")) * time.Hour)
		s := slo.NewSeries(time.Minute, 0)
		for range rapid.IntRange(0, 60).Draw(t, "slots") {
			at := through.Add(-time.Duration(rapid.IntRange(-60, 95*24*60).Draw(t, "ago")) * time.Minute)
			total := int64(rapid.IntRange(0, 50).Draw(t, "total"))
			if err := s.Add(at, int64(rapid.IntRange(0, int(total)).Draw(t, "good")), total); err != nil {
				t.Fatal(err)
			}
		}
		u := status.UptimeOf(s, through, zone, 0.99, 0.1)
		good, total, known := map[string]int64{}, map[string]int64{}, map[string]int{}
		for x := range s.Slots() {
			if x.Time.Before(through) {
				day := x.Time.In(zone).Format(time.DateOnly)
				good[day], total[day], known[day] = good[day]+x.Good, total[day]+x.Total, known[day]+1
			}
		}
		if len(u.Days) != status.UptimeDays || u.Days[len(u.Days)-1].Date != through.Add(-1).In(zone).Format(time.DateOnly) {
			t.Fatalf("%d days, the last is %s", len(u.Days), u.Days[len(u.Days)-1].Date)
		}
		var g, n int64
		for i, d := range u.Days {
			if i > 0 && u.Days[i-1].Date >= d.Date {
				if zone.String() == "Pacific/Apia" {
					continue // 2011-12-30 was not: the day that is named so is empty
				}
				t.Fatalf("%s comes after %s", d.Date, u.Days[i-1].Date)
			}
			if d.Good != good[d.Date] || d.Total != total[d.Date] || d.Known != known[d.Date] {
				t.Fatalf("%s has %d of %d in %d minutes, recounted %d of %d in %d", d.Date, d.Good, d.Total, d.Known, good[d.Date], total[d.Date], known[d.Date])
			}
			if (d.Mark == status.NoData) != (d.Total == 0) {
				t.Fatalf("%s is marked %s with %d events", d.Date, d.Mark, d.Total)
			}
			if d.Mark == status.Met && float64(d.Good) < 0.99*float64(d.Total)-1e-9 || d.Mark == status.Outage && float64(d.Total-d.Good) < 0.1*float64(d.Total)-1e-9 {
				t.Fatalf("%d of %d is marked %s", d.Good, d.Total, d.Mark)
			}
			g, n = g+d.Good, n+d.Total
		}
		if g != u.Good || n != u.Total {
			t.Fatalf("the days are %d of %d, together %d of %d", g, n, u.Good, u.Total)
		}
	})
}

// Three months are counted once an hour, however often the page is read.
func TestBarsAreCountedOnceAnHour(t *testing.T) {
	r := newRoom(t)
	r.declare(page)
	r.counts.set("checkout", "availability", slo.Availability, 0, 100, "")
	s := slo.NewSeries(time.Minute, 0)
	if err := s.Add(start.Add(-time.Hour), 9, 10); err != nil {
		t.Fatal(err)
	}
	r.counts.past["checkout.prod.availability"] = s
	r.counts.asked = 0
	for range 5 {
		r.view()
	}
	shown, _ := r.view().Component("pay")
	if r.counts.asked != 1 || shown.Uptime == nil || shown.Uptime.Good != 9 || shown.Uptime.Total != 10 {
		t.Errorf("counted %d times: %+v", r.counts.asked, shown.Uptime)
	}
	r.clock.Advance(time.Hour)
	if r.view(); r.counts.asked != 2 {
		t.Errorf("an hour later it was counted %d times", r.counts.asked)
	}
}

// Which state follows from what is measured.
func TestDerive(t *testing.T) {
	th := status.Thresholds{Alert: "page", Partial: 10, Major: 50, Over: 5 * time.Minute, Events: 20}
	for name, c := range map[string]struct {
		kind       slo.IndicatorKind
		bad, total int64
		firing     string
		want       status.State
		known      bool
	}{
		"well":                          {slo.Availability, 0, 100, "", status.Operational, true},
		"some bad":                      {slo.Availability, 9, 100, "", status.Operational, true},
		"many bad":                      {slo.Availability, 10, 100, "", status.Partial, true},
		"most bad":                      {slo.Availability, 50, 100, "page", status.Major, true},
		"too few to say":                {slo.Availability, 19, 19, "", status.Operational, false},
		"nothing":                       {slo.Availability, 0, 0, "", status.Operational, false},
		"an alert, and few":             {slo.Availability, 1, 3, "page", status.Degraded, true},
		"an alert":                      {slo.Availability, 2, 100, "page", status.Degraded, true},
		"a ticket is no page":           {slo.Availability, 2, 100, "ticket", status.Operational, true},
		"slow is degraded at most":      {slo.Latency, 100, 100, "page", status.Degraded, true},
		"slow, though no alert fires":   {slo.Latency, 10, 100, "", status.Degraded, true},
		"a little slow":                 {slo.Latency, 9, 100, "", status.Operational, true},
		"over a threshold":              {slo.Threshold, 60, 100, "", status.Degraded, true},
		"a ratio is like availability":  {slo.Ratio, 60, 100, "", status.Major, true},
		"no data, though an alert says": {slo.Availability, 0, 0, "page", status.Degraded, true},
	} {
		m := status.Measure{Component: "c", Objective: "s.prod.o", Kind: c.kind, Bad: c.bad, Total: c.total, Firing: c.firing}
		got := status.Derive("c", th, []status.Measure{{Component: "other", Kind: slo.Ratio, Bad: 99, Total: 99}, m})
		if got.State != c.want || got.Known != c.known {
			t.Errorf("%s: %s, known %t: %s", name, got.State, got.Known, got.Reason)
		}
	}
	worst := status.Derive("c", th, []status.Measure{{Component: "c", Kind: slo.Ratio, Total: 99}, {Component: "c", Objective: "b", Kind: slo.Ratio, Bad: 99, Total: 99}, {Component: "c", Kind: slo.Ratio, Total: 99}})
	if worst.State != status.Major || worst.Objective != "b" {
		t.Errorf("the worst of several: %+v", worst)
	}
}
