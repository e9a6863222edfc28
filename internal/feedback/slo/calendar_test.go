package slo

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// Periods begin and end by the clocks of their zone, across changes of the
// clocks and the turn of the year.
func TestParsePeriod(t *testing.T) {
	now := time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ name, zone, from, to, before, after string }{
		{"2026", "UTC", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2025", "2027"},
		{"2026-Q4", "Europe/Vienna", "2026-09-30T22:00:00Z", "2026-12-31T23:00:00Z", "2026-Q3", "2027-Q1"},
		{"2026-10", "Europe/Vienna", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z", "2026-09", "2026-11"},
		{"2026-03", "America/New_York", "2026-03-01T05:00:00Z", "2026-04-01T04:00:00Z", "2026-02", "2026-04"},
		{"2024-02", "", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z", "2024-01", "2024-03"},
		{"2026-W01", "UTC", "2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z", "2025-W52", "2026-W02"},
		{"2026-W53", "UTC", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z", "2026-W52", "2027-W01"},
		{"2026-W44", "Europe/Vienna", "2026-10-25T23:00:00Z", "2026-11-01T23:00:00Z", "2026-W43", "2026-W45"},
		{"2026-W43", "Europe/Vienna", "2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z", "2026-W42", "2026-W44"},
		{"", "Asia/Tokyo", "2027-05-31T15:00:00Z", "2027-06-30T15:00:00Z", "2027-05", "2027-07"},
	} {
		p, err := ParsePeriod(c.name, c.zone, now)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := p.From.UTC().Format(time.RFC3339) + " " + p.To.UTC().Format(time.RFC3339); got != c.from+" "+c.to {
			t.Errorf("%s in %q is %s, want %s %s", c.name, c.zone, got, c.from, c.to)
		}
		if p.Neighbour(-1) != c.before || p.Neighbour(1) != c.after {
			t.Errorf("%s: before it is %s, after it %s; want %s and %s", c.name, p.Neighbour(-1), p.Neighbour(1), c.before, c.after)
		}
	}
	for _, c := range []struct{ name, zone, says string }{
		{"2026-13", "", "is not a calendar period"}, {"2026-00", "", "is not a calendar period"}, {"2025-W53", "", "is not a calendar period"}, {"2026-W00", "", "is not a calendar period"},
		{"October", "", "is not a calendar period"}, {"2026-Q5", "", "is not a calendar period"}, {"2027-Q3", "", "has not begun yet"}, {"2026", "Mars/Olympus", "is not in the IANA time zone database"}, {"2026", "Local", "is not in the IANA"},
	} {
		if _, err := ParsePeriod(c.name, c.zone, now); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q in %q: %v, want %q", c.name, c.zone, err, c.says)
		}
	}
}

// A report equals a recount of the minutes, day by day, over a month in which
// the clocks change.
func TestReportEqualsRecount(t *testing.T) {
	vienna := zone(t, "Europe/Vienna")
	from, to := time.Date(2026, 10, 1, 0, 0, 0, 0, vienna), time.Date(2026, 11, 1, 0, 0, 0, 0, vienna)
	r := rand.New(rand.NewPCG(5, 6))
	events := NewSeries(time.Minute, 0)
	var good, bad, worst float64
	worstDay, days, badMinutes, known := "", map[string]float64{}, 0, 0
	for at := from.Add(-48 * time.Hour); at.Before(to.Add(48 * time.Hour)); at = at.Add(time.Minute) {
		n, b := r.Int64N(2000), r.Int64N(3)
		if at.Day() == 25 && at.Hour() == 2 {
			b = min(n, 40)
		}
		if b = min(b, n); r.IntN(500) == 0 {
			continue
		}
		if err := events.Add(at, n-b, n); err != nil {
			t.Fatal(err)
		}
		if at.Before(from) || !at.Before(to) {
			continue
		}
		known++
		good, bad = good+float64(n-b), bad+float64(b)
		if float64(b) > 0.001*float64(n)+1e-9 {
			badMinutes++
		}
		day := at.Format(time.DateOnly)
		if days[day] += float64(b); days[day] > worst {
			worst, worstDay = days[day], day
		}
	}
	p, err := ParsePeriod("2026-10", "Europe/Vienna", to.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	l, err := availability("0.999").over(events.Between(p.From, p.To), p, p.To)
	if err != nil {
		t.Fatal(err)
	}
	if l.Good != good || l.Bad != bad || l.KnownMinutes != known || l.BadMinutes != badMinutes || l.WorstDay != worstDay || l.Minutes != 31*24*60+60 {
		t.Errorf("%+v, want %v good, %v bad, %d bad minutes of %d, worst on %s", l, good, bad, badMinutes, known, worstDay)
	}
	allowed := (good + bad) / 1000
	if math.Abs(l.Allowed-allowed) > 1e-3 || math.Abs(l.BudgetSpent-bad/allowed) > 1e-6 || math.Abs(l.WorstDaySpent-worst/allowed) > 1e-6 || *l.Achieved != good/(good+bad) || l.Met != (bad <= allowed) {
		t.Errorf("%+v: allowed %v, spent %v", l, allowed, bad/allowed)
	}
}

// Incidents count where they began; the time of those that reach in counts too.
func TestReportIncidents(t *testing.T) {
	end := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	w := previewWatcher(t, end)
	at := func(day, hour int) time.Time { return time.Date(2026, 5, day, hour, 0, 0, 0, time.UTC) }
	w.Setup.Incidents = func(context.Context, string, string) ([]Incident, error) {
		return []Incident{{Start: at(0, 23), End: at(1, 1)}, {Start: at(10, 0), End: at(10, 2)}, {Start: at(31, 20)}}, nil
	}
	r, err := w.Report(t.Context(), ReportInput{Team: "shop", Period: "2026-05"})
	if err != nil {
		t.Fatal(err)
	}
	if l := r.Items[0]; len(r.Items) != 1 || l.Incidents != 2 || l.IncidentMinutes != 60+120+240 || l.Team != "shop" || l.KnownMinutes == 0 {
		t.Errorf("%+v", r.Items)
	}
	for _, in := range []ReportInput{{}, {Team: "shop", Period: "2026-07"}, {Team: "nobody"}} {
		if r, err := w.Report(t.Context(), in); err == nil {
			t.Errorf("%+v: %+v", in, r)
		}
	}
}

func FuzzParsePeriod(f *testing.F) {
	for _, s := range []string{"2026", "2026-Q3", "2026-10", "2026-W41", "", "0000", "9999-W53", "2026-W54"} {
		f.Add(s, "Europe/Vienna")
	}
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, name, zone string) {
		p, err := ParsePeriod(name, zone, now)
		if err == nil && (!p.From.Before(p.To) || len(p.Days()) > 368 || len(p.Days()) < 8) {
			t.Errorf("%q in %q is %s to %s, %d days", name, zone, p.From, p.To, len(p.Days())-1)
		}
	})
}
