package feed

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flyball-dev/flyball/internal/adapter/prometheus/query"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// Whatever pauses and restarts there are, every minute of the past is read in
// the end, and the newest first.
func TestProgress(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		from, over := start, start.Add(time.Duration(rapid.IntRange(20, 5000).Draw(r, "minutes"))*time.Minute)
		p, read := progress{}, map[time.Time]bool{}
		note := func(s metric.Span) {
			if s.Until.Before(s.From) || s.Until.After(over) {
				r.Fatalf("span %+v with %s over", s, over)
			}
			for m := s.From; m.Before(s.Until); m = m.Add(time.Minute) {
				read[m] = true
			}
		}
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			switch rapid.IntRange(0, 4).Draw(r, "step") {
			case 0: // time passes
				over = over.Add(time.Duration(rapid.IntRange(1, 300).Draw(r, "pause")) * time.Minute)
			case 1: // a restart forgets what is not kept
				p = progress{low: p.low, high: p.high}
			case 2:
				s := p.next(over)
				note(s)
				p.took(s)
			default:
				if s, ok := p.missing(from, 24*time.Hour); ok {
					if s.Until.Sub(s.From) > 24*time.Hour || !s.From.Before(s.Until) {
						r.Fatalf("a piece of %s", s.Until.Sub(s.From))
					}
					note(s)
					p.filled(s)
				}
			}
			for m := p.low; m.Before(p.high); m = m.Add(time.Minute) {
				if !read[m] {
					r.Fatalf("%s was not read, though it is said to be: %+v", m, p)
				}
			}
		}
		s := p.next(over)
		note(s)
		p.took(s)
		for pieces := 0; ; pieces++ {
			s, ok := p.missing(from, 24*time.Hour)
			if !ok {
				break
			}
			if note(s); pieces > 1000 {
				r.Fatal("the past does not end")
			}
			p.filled(s)
		}
		for m := from; m.Before(over); m = m.Add(time.Minute) {
			if !read[m] {
				r.Fatalf("%s was never read", m)
			}
		}
	})
}

// The first pieces are small: a first picture is there at once.
func TestFirstPieces(t *testing.T) {
	over := start.Add(30*24*time.Hour + 5*time.Hour)
	p := progress{}
	p.took(p.next(over))
	var widths []time.Duration
	for range 5 {
		s, _ := p.missing(start, firstWidth)
		widths = append(widths, s.Until.Sub(s.From))
		p.filled(s)
	}
	want := []time.Duration{time.Hour, time.Hour, 2*time.Hour + 50*time.Minute, 24 * time.Hour, 24 * time.Hour}
	for i := range want {
		if widths[i] != want[i] {
			t.Fatalf("pieces of %v, want %v", widths, want)
		}
	}
}

// Which engine an indicator is counted on.
func TestDirectory(t *testing.T) {
	dir := directory{byName: map[string]Connection{"main": {Name: "main", URL: "http://main"}, Default: {Name: Default, URL: "http://own"}}, primary: Default}
	indicator := func(refs ...string) slo.Indicator {
		i := slo.Indicator{Kind: slo.Ratio, Good: &slo.Source{Type: "prometheus", Ref: refs[0]}, Total: &slo.Source{Type: "prometheus"}}
		if len(refs) > 1 {
			i.Total.Ref = refs[1]
		}
		return i
	}
	for _, c := range []struct {
		refs []string
		want string // URL, or part of the message
	}{
		{[]string{"", ""}, "http://own"}, {[]string{"main", "main"}, "http://main"}, {[]string{"unknown", ""}, "http://own"},
		{[]string{"main", ""}, "different data sources"},
	} {
		got, err := dir.of(indicator(c.refs...))
		if err == nil && got.URL != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %+v, %v, want %s", c.refs, got, err, c.want)
		}
	}
	if _, err := (directory{}).of(indicator("")); problem.KindOf(err) != problem.NotFound || problem.NextOf(err) == "" {
		t.Errorf("without any source: %v", err)
	}
}

// What is wrong with a query is found where the objective is written.
func TestCheck(t *testing.T) {
	objective := func(total string) *slo.Objective {
		return &slo.Objective{Name: "a", File: "a.yaml", Line: 3, Indicator: slo.Indicator{Kind: slo.Ratio,
			Bad: &slo.Source{Type: "prometheus", Query: "sum(rate(x[5m]))"}, Total: &slo.Source{Type: "prometheus", Query: total}}}
	}
	for total, want := range map[string]string{
		"sum(rate(x[5m]))": "", "sum(rate(x[5m])": "error " + metric.CodeSyntax, "sum(irate(x[5m]))": "warning " + metric.CodeApproximate,
	} {
		got := ""
		for _, f := range Check(query.NewCounter(nil), objective(total)) {
			got = f.Severity + " " + f.Code
			if f.File != "a.yaml" || f.Line != 3 {
				t.Errorf("%s: %+v", total, f)
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", total, got, want)
		}
	}
}
