package query

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// What is exact, what it reads, and why the rest is not.
func TestPlans(t *testing.T) {
	ratio := func(bad, total string) metric.Indicator {
		return metric.Indicator{Kind: metric.Ratio, Bad: bad, Total: total}
	}
	share := func(v string) metric.Indicator { return metric.Indicator{Kind: metric.Share, Value: v} }
	for _, c := range []struct {
		name      string
		indicator metric.Indicator
		reason    string // part of it; empty: exact
		reads     []string
	}{
		{"Sloth", ratio(`sum(rate(http_requests_total{job="shop",code=~"(5..|429)"}[{{.window}}]))`, `sum(rate(http_requests_total{job="shop"}[{{ .window }}]))`), "",
			[]string{`http_requests_total{code=~"(5..|429)",job="shop"}`, `http_requests_total{job="shop"}`}},
		{"increase", ratio(`sum(increase(a[5m]))`, `sum(increase(b[1h]))`), "", []string{"a", "b"}},
		{"difference", ratio(`sum(rate(a[5m])) - sum(rate(b[5m]))`, `sum(rate(a[5m]))`), "", []string{"a", "b"}},
		{"or zero", ratio(`sum(rate(a[5m])) or vector(0)`, `(sum(rate(b[5m])))`), "", []string{"a", "b"}},
		{"or zero on", ratio(`sum(rate(a[5m])) or on() vector(0)`, `sum(rate(b[5m]) or 0 * rate(c[5m]))`), "", []string{"a", "b"}},
		{"groups", ratio(`sum by (route) (rate(a[5m]))`, `sum by (route) (rate(b[5m]))`), "", []string{"a", "b"}},
		{"bucket", ratio(`sum(rate(h_bucket{le="1"}[5m]))`, `sum(rate(h_count[5m]))`), "", []string{`h_bucket{le=~"1|1\\.0"}`, "h_count"}},
		{"bare counters", metric.Indicator{Kind: metric.Ratio, Good: "sum(ok)", Total: "all", Counter: true}, "", []string{"ok", "all"}},
		{"counters by name", ratio("sum(errors_total)", "sum(requests_total)"), "", []string{"errors_total", "requests_total"}},
		{"native share", ratio("sum(rate(a[5m]))", "histogram_count(sum(rate(h[5m])))"), "", []string{"a", "h"}},
		{"native fraction", metric.Indicator{Kind: metric.Ratio, Good: "histogram_fraction(0, 0.3, rate(h[5m])) * histogram_count(rate(h[5m]))", Total: "histogram_count(rate(h[5m]))"}, "", []string{"h"}},
		{"raw ratio", share(`sum(rate(a[5m])) / sum(rate(b[5m]))`), "", []string{"a", "b"}},
		{"one minus", share(`1 - (sum(rate(a[5m])) / sum(rate(b[5m])))`), "", []string{"a", "b"}},
		{"faster", metric.Indicator{Kind: metric.Faster, Value: "h", Threshold: 0.25}, "", []string{"h"}},
		{"gauge", metric.Indicator{Kind: metric.Measured, Value: `up{job="x"}`, Op: "gte", Threshold: 1}, "", []string{`up{job="x"}`}},
		{"irate", ratio(`sum(irate(a[5m]))`, `sum(rate(b[5m]))`), "irate is more than", nil},
		{"offset", ratio(`sum(rate(a[5m] offset 1h))`, `sum(rate(b[5m]))`), "moved in time", nil},
		{"at", ratio(`sum(rate(a[5m] @ 5))`, `sum(rate(b[5m]))`), "moved in time", nil},
		{"a factor", ratio(`2 * sum(rate(a[5m]))`, `sum(rate(b[5m]))`), "product", nil},
		{"gauges", ratio(`sum(a)`, `sum(b)`), "neither under rate", nil},
		{"average", ratio(`avg(rate(a[5m]))`, `sum(rate(b[5m]))`), "avg is no sum", nil},
		{"subquery", ratio(`sum(increase(a[5m:1m]))`, `sum(rate(b[5m]))`), "subquery", nil},
		{"or another", ratio(`sum(rate(a[5m])) or sum(rate(c[5m]))`, `sum(rate(b[5m]))`), "not zero", nil},
		{"group_left", ratio(`sum(rate(a[5m]) + on(x) group_left() rate(c[5m]))`, `sum(rate(b[5m]))`), "more than counters", nil},
		{"opaque share", share(`avg_over_time(ratio[5m])`), "not one sum", nil},
		{"quantile", metric.Indicator{Kind: metric.Measured, Value: `histogram_quantile(0.99, sum by (le) (rate(h_bucket[5m])))`, Op: "lt", Threshold: 0.3}, "once a minute", nil},
	} {
		p, err := NewCounter(nil).Plan(c.indicator)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if p.Exact != (c.reason == "") || !strings.Contains(p.Reason, c.reason) {
			t.Errorf("%s: exact %v because %q, want %q", c.name, p.Exact, p.Reason, c.reason)
		}
		if !slices.Equal(p.Selectors, c.reads) {
			t.Errorf("%s: reads %q, want %q", c.name, p.Selectors, c.reads)
		}
	}
}

// What cannot be read says where and with which code.
func TestUnreadable(t *testing.T) {
	for _, c := range []struct {
		name        string
		indicator   metric.Indicator
		field, code string
	}{
		{"syntax", metric.Indicator{Kind: metric.Ratio, Bad: "sum(rate(a[5m])", Total: "b"}, "bad", metric.CodeSyntax},
		{"type", metric.Indicator{Kind: metric.Ratio, Bad: "a", Total: "rate(b)"}, "total", metric.CodeSyntax},
		{"empty", metric.Indicator{Kind: metric.Ratio, Bad: "a", Total: " "}, "total", metric.CodeEmpty},
		{"no good", metric.Indicator{Kind: metric.Ratio, Total: "a"}, "good", metric.CodeEmpty},
		{"long", metric.Indicator{Kind: metric.Share, Value: strings.Repeat("a", metric.MaxQuery+1)}, "value", metric.CodeSyntax},
		{"no op", metric.Indicator{Kind: metric.Measured, Value: "a", Op: "eq"}, "op", metric.CodeSyntax},
		{"no histogram", metric.Indicator{Kind: metric.Faster, Value: "max(a)"}, "value", metric.CodeSyntax},
	} {
		_, err := NewCounter(nil).Plan(c.indicator)
		var e *problem.Error
		if !errors.As(err, &e) || e.Kind != problem.Invalid || len(e.Findings) != 1 || e.Findings[0].Field != c.field || e.Findings[0].Code != c.code {
			t.Errorf("%s: %v %+v", c.name, err, e)
		}
	}
}

// Few questions for many selectors, each still served.
func TestRequests(t *testing.T) {
	var all []selector
	for _, text := range []string{
		`x{job="a"}`, `x{job="a",code="500"}`, `x{job="b"}`, `x{job="c",zone="1"}`, `x{job="d.e",zone="1"}`, `y{job="a"}`, `x{job="a"}`, `{__name__=~"z.*"}`,
	} {
		s, err := parseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	var got []string
	served := 0
	for _, r := range requests(all) {
		got = append(got, r.selector.text)
		served += len(r.serves)
	}
	want := []string{`x{job=~"a|b"}`, `x{job=~"c|d\\.e",zone="1"}`, `y{job="a"}`, `{__name__=~"z.*"}`}
	if !slices.Equal(got, want) || served != 7 {
		t.Errorf("asks %q for %d selectors, want %q", got, served, want)
	}
}

func FuzzPlan(f *testing.F) {
	for _, s := range []string{`sum(rate(a{b="c"}[5m]))`, `a - b or vector(0)`, `1 - a/b`, `histogram_fraction(0, 1, rate(h[5m])) * histogram_count(rate(h[5m]))`, `{__name__="a b"}`, `x{le="1"}`, `-a`, `sum(a) by (b) / c`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, i := range []metric.Indicator{
			{Kind: metric.Share, Value: text}, {Kind: metric.Ratio, Good: text, Total: text, Counter: true},
			{Kind: metric.Measured, Value: text, Op: "lt"}, {Kind: metric.Faster, Value: text},
		} {
			p, err := newPlan(i)
			if err != nil {
				continue
			}
			for _, s := range p.selectors() {
				// What is asked for is read back as the same.
				if again, err := parseSelector(s.text); err != nil || again.text != s.text {
					t.Errorf("%q gives selector %q, read back as %q: %v", text, s.text, again.text, err)
				}
			}
		}
	})
}

// Whatever is divided is all there, each slot in proportion to its time.
func TestSplit(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		from := rapid.Int64Range(0, 200_000).Draw(r, "from")
		s := stretch{from, from + rapid.Int64Range(1, reach).Draw(r, "width")}
		n := rapid.Int64Range(-1_000_000_000_000, 1_000_000_000_000).Draw(r, "events")
		sum := int64(0)
		split(s, n, func(slot, events int64) {
			sum += events
			time := min(slot+slotWidth, s.until) - max(slot, s.from)
			if exact := float64(n) * float64(time) / float64(s.until-s.from); slot%slotWidth != 0 || time <= 0 || math.Abs(float64(events)-exact) > 1.01 {
				r.Fatalf("slot %d of %v gets %d of %d, want %g", slot, s, events, n, exact)
			}
		})
		if sum != n {
			r.Fatalf("%d of %d events were given out", sum, n)
		}
	})
}

// A counter's differences add up to what it counted, resets or not.
func TestDifferences(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		total, value, at := int64(0), 0.0, int64(0)
		list := []reading{{}}
		for range rapid.IntRange(0, 50).Draw(r, "samples") {
			at += 30_000
			rise := rapid.Int64Range(0, 1000).Draw(r, "rise")
			if rapid.IntRange(0, 5).Draw(r, "reset") == 0 && float64(rise) < value {
				value = 0
			}
			value, total = value+float64(rise), total+rise
			list = append(list, reading{At: at, Value: value})
		}
		sum := int64(0)
		begins := 0
		walk(list, 30_000, func(d difference) {
			if d.events < 0 || d.until-d.from != 30_000 {
				r.Fatalf("difference %+v", d)
			}
			sum += d.events
		}, func(begin) { begins++ })
		if sum != total || begins != 1 {
			r.Fatalf("%d events counted of %d, %d beginnings", sum, total, begins)
		}
	})
}

// However series are scraped, and in whatever order they come, a tally holds
// what a plain map of stretches would.
func TestTally(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		const until = 30 * slotWidth
		interval := rapid.SampledFrom([]int64{1000, 15_000, 30_000, 45_000, 60_000}).Draw(r, "interval")
		all := newTally(interval, stretch{0, until})
		plain := map[stretch]int64{}
		for range rapid.IntRange(1, 6).Draw(r, "series") {
			phase, last := rapid.SampledFrom([]int64{0, 7, 999}).Draw(r, "phase"), int64(0)
			all.expect(rapid.IntRange(0, int(2*until/interval)).Draw(r, "samples"))
			for last < until {
				at := last + interval*rapid.SampledFrom([]int64{1, 1, 1, 1, 2, 3}).Draw(r, "scrapes")
				if last == 0 {
					at = last + interval*rapid.Int64Range(1, 10).Draw(r, "late") + phase
				}
				if rapid.IntRange(0, 9).Draw(r, "jitter") == 0 {
					at += rapid.Int64Range(1, interval/2).Draw(r, "by")
				}
				if last > 0 && at <= until {
					n := rapid.Int64Range(0, 100).Draw(r, "events")
					all.add(difference{last, at, n}, false)
					plain[stretch{last, at}] += n
				}
				last = at
			}
		}
		all.each(func(s stretch, n int64) {
			if want, ok := plain[s]; !ok || want != n {
				r.Fatalf("%v has %d, want %d", s, n, want)
			}
			delete(plain, s)
		})
		if len(plain) > 0 {
			r.Fatalf("%v are missing", plain)
		}
		var known []stretch // the union, point by point
		tolerance := interval
		covered := all.covered(tolerance)
		all.each(func(s stretch, _ int64) { known = append(known, s) })
		slices.SortFunc(known, func(a, b stretch) int { return cmp.Compare(a.from, b.from) })
		var want []stretch
		for _, s := range known {
			if n := len(want) - 1; n >= 0 && s.from-want[n].until <= tolerance {
				want[n].until = max(want[n].until, s.until)
				continue
			}
			want = append(want, s)
		}
		if !slices.Equal(covered, want) {
			r.Fatalf("covered %v, want %v", covered, want)
		}
	})
}
