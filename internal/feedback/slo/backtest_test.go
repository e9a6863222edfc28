package slo_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// minute is one slot of a random history; known is false for a gap.
type minute struct {
	known       bool
	good, total int64
}

// TestBacktestAgreesWithTheNaiveTwin recounts every window from raw slots at
// every minute, and compares pages with incidents minute by minute.
func TestBacktestAgreesWithTheNaiveTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 11))
	start := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	pages := 0
	for round := range 60 {
		slots, csv := randomMinutes(r, start, 200+r.IntN(200))
		o := counters(func(o *slo.Objective) {
			o.Target = slo.MustDecimal([]string{"0.9", "0.95", "0.99"}[r.IntN(3)])
			o.AlertPolicies = nil
			for p := range 1 + r.IntN(3) {
				policy := slo.AlertPolicy{Name: fmt.Sprintf("p%d", p), Severity: []string{"page", "ticket"}[r.IntN(2)], MinBad: r.Int64N(6), Breaching: true}
				for range 1 + r.IntN(2) {
					c := slo.BurnCondition{Factor: slo.Decimal(1+r.IntN(4)) * slo.One, Inclusive: r.IntN(2) == 0, Long: time.Duration(5+r.IntN(60)) * time.Minute}
					if r.IntN(2) == 0 {
						c.Short = time.Duration(1+r.IntN(5)) * time.Minute
					}
					policy.Conditions = append(policy.Conditions, c)
				}
				o.AlertPolicies = append(o.AlertPolicies, policy)
			}
		})
		series, _, err := slo.ReadCSV("x.csv", strings.NewReader(csv))
		if err != nil {
			t.Fatal(err)
		}
		var incidents []slo.Incident
		for at := r.IntN(60); at < len(slots); at += 30 + r.IntN(120) {
			incidents = append(incidents, slo.Incident{Start: start.Add(time.Duration(at) * time.Minute), End: start.Add(time.Duration(at+1+r.IntN(20)) * time.Minute)})
		}
		grace := time.Duration(r.IntN(3)) * 5 * time.Minute
		got, err := slo.BacktestAlerts(o, series, incidents, grace)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range o.AlertPolicies {
			want := naive(o, p, slots, start, incidents, grace)
			s := got[i]
			if text := fmt.Sprint(s.Pages, s.True, s.Incidents, s.Found, at(s.DetectionMax), at(s.ResetMax)); text != want {
				t.Fatalf("round %d, %+v\ngot  %s\nwant %s", round, p, text, want)
			}
			pages += s.Pages
		}
	}
	if pages < 100 {
		t.Errorf("only %d pages in all", pages)
	}
}

func at(x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprint(*x)
}

func randomMinutes(r *rand.Rand, start time.Time, n int) ([]minute, string) {
	var b strings.Builder
	b.WriteString("time,good,total\n")
	slots := make([]minute, n)
	bad := 0.0
	for i := range slots {
		if r.IntN(20) == 0 {
			bad = []float64{0, 0, 0.02, 0.2, 1}[r.IntN(5)]
		}
		if i > 0 && i < n-1 && r.IntN(25) == 0 {
			continue
		}
		total := r.Int64N(50)
		s := minute{known: true, total: total, good: total}
		for range total {
			if r.Float64() < bad {
				s.good--
			}
		}
		slots[i] = s
		fmt.Fprintf(&b, "%d,%d,%d\n", start.Add(time.Duration(i)*time.Minute).Unix(), s.good, s.total)
	}
	return slots, b.String()
}

// naive scores one policy: fires[i] says whether it fires from the end of slot i
// until that of the next.
func naive(o *slo.Objective, p slo.AlertPolicy, slots []minute, start time.Time, incidents []slo.Incident, grace time.Duration) string {
	n := len(slots)
	fires := make([]bool, n)
	for _, c := range p.Conditions {
		firing := false
		for i := range slots {
			sum := func(w time.Duration) (bad, total int64, known bool) {
				for j := max(0, i+1-int(w/time.Minute)); j <= i; j++ {
					if slots[j].known {
						bad, total, known = bad+slots[j].total-slots[j].good, total+slots[j].total, true
					}
				}
				return bad, total, known
			}
			over := func(bad, total int64) bool {
				if bad == 0 {
					return false
				}
				limit := new(big.Rat).Mul(big.NewRat(int64(c.Factor), int64(slo.One)), big.NewRat(int64(slo.One-o.Target), int64(slo.One)))
				cmp := big.NewRat(bad, total).Cmp(limit)
				return cmp > 0 || cmp == 0 && c.Inclusive
			}
			bad, total, known := sum(c.Long)
			holds, verdict := over(bad, total), known
			if holds && c.Short > 0 {
				b, n, k := sum(c.Short)
				holds, verdict = over(b, n), k
			}
			if verdict {
				firing = holds && bad >= p.MinBad
			}
			fires[i] = fires[i] || firing
		}
	}
	when := func(i int) time.Time { return start.Add(time.Duration(i+1) * time.Minute) }
	end := when(n - 1)
	pages, hits, found, within := 0, 0, 0, 0
	detection, reset := "-", "-"
	most := func(to *string, d time.Duration) {
		if s := max(0, d.Seconds()); *to == "-" || s > parse(*to) {
			*to = fmt.Sprint(s)
		}
	}
	type span struct{ from, until time.Time }
	var spans []span
	for i := 0; i < n; i++ {
		if !fires[i] {
			continue
		}
		j := i
		for j < n && fires[j] {
			j++
		}
		s := span{when(i), end}
		if j < n {
			s.until = when(j)
		}
		spans = append(spans, s)
		i = j
	}
	for _, s := range spans {
		pages++
		hit := false
		for _, in := range incidents {
			hit = hit || in.Start.Before(end) && s.from.Before(in.End.Add(grace)) && s.until.After(in.Start)
		}
		if hit {
			hits++
		}
	}
	for _, in := range incidents {
		if !in.Start.Before(end) {
			continue
		}
		within++
		var first, last *span
		for k := range spans {
			if spans[k].from.Before(in.End.Add(grace)) && spans[k].until.After(in.Start) {
				if first == nil {
					first = &spans[k]
				}
				last = &spans[k]
			}
		}
		if first == nil {
			continue
		}
		found++
		most(&detection, first.from.Sub(in.Start))
		if !(last.until.Equal(end) && fires[n-1]) {
			most(&reset, last.until.Sub(in.End))
		}
	}
	return fmt.Sprint(pages, hits, within, found, detection, reset)
}

func parse(s string) (x float64) { fmt.Sscan(s, &x); return x }

func TestReadRecordsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "there is no header",
		"start,end\nsoon,later\n":    `x:2:1: start: "soon" is no time`,
		"start,end\n20,10\n":         "x:2:1: an incident ends after it starts",
		"start,end\n2026-01-01,10\n": `"2026-01-01" is no time`,
		"[1]":                        "no JSON array of objects",
		`[{"start":5,"end":1}]`:      "x:1:1: an incident ends",
		"start,end\n\"1,2\n":         "this is not CSV",
	} {
		if _, err := slo.ReadIncidents("x", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) || problem.NextOf(err) == "" {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := slo.ReadDeployments("x", strings.NewReader("time,outcome\n5,great\n")); err == nil || !strings.Contains(err.Error(), `x:2:1: outcome is "great"; write ok, failed or blocked`) {
		t.Errorf("%v", err)
	}
	got, err := slo.ReadIncidents("x", strings.NewReader(`[{"incident":"inc-1","opened_at":"2026-01-01T00:00:00Z","resolved_at":null},{"start":1767225600,"end":1767225660.5}]`))
	if err != nil || len(got) != 2 || got[0].Name != "inc-1" || got[0].End.Year() != 2200 || got[1].End.Sub(got[1].Start) != 60500*time.Millisecond {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzReadRecords(f *testing.F) {
	f.Add("start,end,name\n1,2,x\n")
	f.Add(`[{"start":"2026-01-01T00:00:00Z","end":5}]`)
	f.Add("time,change,outcome\n2026-01-01T00:00:00Z,a,rolled_back\n")
	f.Fuzz(func(t *testing.T, text string) {
		incidents, err := slo.ReadIncidents("x", strings.NewReader(text))
		for _, in := range incidents {
			if err != nil || !in.End.After(in.Start) {
				t.Errorf("%q: %+v, %v", text, in, err)
			}
		}
		if deployments, err := slo.ReadDeployments("x", strings.NewReader(text)); err == nil {
			for _, d := range deployments {
				if d.Outcome == "" || d.Time.IsZero() {
					t.Errorf("%q: %+v", text, d)
				}
			}
		}
	})
}
