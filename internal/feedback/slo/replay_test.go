package slo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var march = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// outage is a steady history with a stretch of a constant error ratio.
func outage(t testing.TB, width time.Duration, length time.Duration, from, to time.Duration, ratio float64) *Series {
	t.Helper()
	s := NewSeries(width, 0)
	for at := time.Duration(0); at < length; at += width {
		good := int64(1000)
		if at >= from && at < to {
			good -= int64(1000 * ratio)
		}
		add(t, s, march.Add(at), good, 1000)
	}
	return s
}

// What the formulas say, the replay does, to the second.
func TestReplayDetectsAndResetsInTime(t *testing.T) {
	for _, c := range []struct {
		ratio     float64
		lasts     time.Duration
		condition string
		detects   time.Duration // 0: never
		resets    time.Duration
	}{
		{1, 2 * time.Hour, "(1h and 5m) > 14.4", 52 * time.Second, 4*time.Minute + 56*time.Second},
		{1, 2 * time.Hour, "(6h and 30m) > 6", 130 * time.Second, 29*time.Minute + 50*time.Second},
		{1, 2 * time.Hour, "(1d and 2h) > 3", 260 * time.Second, 0},
		{1, 2 * time.Hour, "(3d and 6h) > 1", 260 * time.Second, 0},
		{0.1, 2 * time.Hour, "(1h and 5m) > 14.4", 8*time.Minute + 39*time.Second, 4*time.Minute + 17*time.Second},
		{0.05, 2 * time.Hour, "(1h and 5m) > 14.4", 17*time.Minute + 17*time.Second, 3*time.Minute + 34*time.Second},
		{0.01, 5 * time.Hour, "(1h and 5m) > 14.4", 0, 0},
		{0.01, 5 * time.Hour, "(6h and 30m) > 6", 216*time.Minute + time.Second, 12 * time.Minute},
	} {
		t.Run(fmt.Sprintf("%v of %s", c.ratio, c.condition), func(t *testing.T) {
			begin := 3 * day
			r, err := Replay(availability("0.999"), outage(t, time.Second, begin+c.lasts+time.Hour, begin, begin+c.lasts, c.ratio), time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			var detects, resets time.Duration
			for _, a := range r.Alerts {
				if a.Condition == c.condition {
					detects = a.Fired.Sub(march.Add(begin))
					if a.Resolved != nil {
						resets = a.Resolved.Sub(march.Add(begin + c.lasts))
					}
				}
			}
			if detects != c.detects || resets != c.resets {
				t.Errorf("fires after %v and resolves after %v, want %v and %v", detects, resets, c.detects, c.resets)
			}
		})
	}
}

func TestReplayReport(t *testing.T) {
	var csv strings.Builder
	csv.WriteString("time,good,total\n")
	for i := range 8640 { // 30 d of 5 m: all good, but for one heavy slot
		good, total := 100, 100
		if i == 8639 {
			good, total = 500_000, 1_000_000
		}
		fmt.Fprintf(&csv, "%s,%d,%d\n", march.Add(time.Duration(i)*5*time.Minute).Format(time.RFC3339), good, total)
	}
	series, findings, err := ReadCSV("d.csv", strings.NewReader(csv.String()))
	if err != nil || len(findings) > 0 {
		t.Fatal(err, findings)
	}
	r, err := Replay(availability("0.999"), series, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"objective": "shop/availability", "window": "30d", "target": 0.999, "good": 1363900.0, "total": 1863900.0,
		"at": "2026-03-31T00:00:00Z", "gaps": 0.0, "exhaustion": "2026-03-31T00:00:00Z"} {
		if out[key] != want {
			t.Errorf("%s = %v, want %v", key, out[key], want)
		}
	}
	budget := out["budget"].(map[string]any)
	if budget["allowed"] != 1863.9 || budget["spent"] != 500000.0 || budget["projected"] != false {
		t.Errorf("budget = %v", budget)
	}
	if !bytes.Contains(text, []byte(`"burn":{"5m":500,"30m":499.7`)) || !bytes.Contains(text, []byte(`,"30d":268.25`)) {
		t.Errorf("burn rates in %s", text)
	}
	if alerts := out["alerts"].([]any); len(alerts) != 4 || alerts[0].(map[string]any)["resolved"] != nil {
		t.Errorf("alerts = %v", out["alerts"])
	}
}

func TestReplayAtSeesNothingLater(t *testing.T) {
	s := outage(t, time.Minute, 2*day, day, 2*day, 1)
	r, err := Replay(availability("0.999"), s, march.Add(day+30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if !r.At.Equal(march.Add(day)) || r.Budget.Spent.String() != "0" || len(r.Alerts) != 0 || r.Exhaustion != nil {
		t.Errorf("report = %+v", r)
	}
	if _, err := Replay(availability("0.999"), s, march); err == nil {
		t.Error("a replay before the data began")
	}
}

// A calendar month in New York, over the change to summer time: judged whole
// at the moment it ends.
func TestReplayCalendarMonth(t *testing.T) {
	ny := zone(t, "America/New_York")
	o := availability("0.999")
	o.Window = calendar(Month, 1, time.Date(2026, 1, 1, 0, 0, 0, 0, ny))
	s := NewSeries(time.Hour, 0)
	end := time.Date(2026, 4, 1, 0, 0, 0, 0, ny)
	for at := time.Date(2026, 2, 1, 0, 0, 0, 0, ny); at.Before(end); at = at.Add(time.Hour) {
		add(t, s, at, 999, 1000)
	}
	r, err := Replay(o, s, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Total.String() != "743000" || r.Budget.Allowed.String() != "743" || r.Budget.Spent.String() != "743" || r.Budget.Projected {
		t.Errorf("march has %s events and allows %s of %s, want 743 hours of 1000", r.Total, r.Budget.Spent, r.Budget.Allowed)
	}
	mid, err := Replay(o, s, time.Date(2026, 3, 11, 0, 0, 0, 0, ny))
	if err != nil {
		t.Fatal(err)
	}
	if mid.Budget.Allowed.String() != "743" || !mid.Budget.Projected || mid.Budget.Spent.String() != "239" {
		t.Errorf("on the 11th the month allows %s (%v), spent %s", mid.Budget.Allowed, mid.Budget.Projected, mid.Budget.Spent)
	}
}

// Live and replayed alerts are the same alerts.
func TestReplayEqualsEngine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := availability("0.99")
		o.AlertPolicies[0].After = time.Duration(rapid.IntRange(0, 3).Draw(t, "after")) * time.Minute
		o.AlertPolicies[1].NoData = rapid.Bool().Draw(t, "no data")
		o.AlertPolicies[1].Conditions = append(o.AlertPolicies[1].Conditions, BurnCondition{Factor: 2 * One, Inclusive: true, Long: 3 * time.Minute})
		e, err := NewEngine(time.Minute, march)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Put(o); err != nil {
			t.Fatal(err)
		}
		s := NewSeries(time.Minute, 0)
		var live []string
		at := march
		for i := range rapid.IntRange(1, 8).Draw(t, "stretches") {
			bad := rapid.SampledFrom([]int64{0, 0, 1, 5, 50, 100}).Draw(t, "bad")
			silent := i > 0 && rapid.IntRange(0, 4).Draw(t, "silent") == 0
			for range rapid.IntRange(1, 120).Draw(t, "minutes") {
				if !silent {
					if _, err := e.Add(o.ID(), at, 100-bad, 100); err != nil {
						t.Fatal(err)
					}
					if err := s.Add(at, 100-bad, 100); err != nil {
						t.Fatal(err)
					}
				}
				at = at.Add(time.Minute)
				for _, tr := range e.Tick(at) {
					if tr.Firing.Resolved.IsZero() {
						live = append(live, fmt.Sprint(tr.Firing.Fired, tr.Firing.Policy, tr.Firing.Condition, tr.Firing.Reason))
					}
				}
			}
		}
		r, err := Replay(o, s, at)
		if err != nil {
			t.Fatal(err)
		}
		var replayed []string
		for _, a := range r.Alerts {
			replayed = append(replayed, fmt.Sprint(a.Fired, a.Policy, a.Condition, a.Reason))
		}
		if fmt.Sprint(live) != fmt.Sprint(replayed) {
			t.Fatalf("live:\n%s\nreplayed:\n%s", strings.Join(live, "\n"), strings.Join(replayed, "\n"))
		}
	})
}

func TestReadCSVRefusals(t *testing.T) {
	for _, c := range []struct {
		name, data, want string
	}{
		{"empty", "", "d.csv:1:1: there are no rows"},
		{"header only", "time,good,total\n", "d.csv:1:1: there are no rows"},
		{"no column", "time,good\n1,2\n", `d.csv:1:1: there is no column "total"`},
		{"good exceeds total", "time,good,total\n60,11,10\n", "d.csv:2:4: good 11 is more than total 10"},
		{"nan", "time,good,total\n60,NaN,10\n", `d.csv:2:4: good is "NaN", which is no number`},
		{"infinite", "time,good,total\n60,1,+Inf\n", "d.csv:2:6: total is +Inf, more than"},
		{"negative", "time,good,total\n60,-1,10\n", "d.csv:2:4: good is -1; counts start at 0"},
		{"duplicate", "time,good,total\n60,1,1\n60,1,1\n", "d.csv:3:1: 60 has a row already, in line 2"},
		{"backwards", "time,good,total\n120,1,1\n60,1,1\n", "d.csv:3:1: 60 is before the row above it: the clock ran backwards"},
		{"off grid", "time,good,total\n0,1,1\n60,1,1\n150,1,1\n", "d.csv:4:1: 1970-01-01T00:02:30Z is not a whole number of slots of 1m0s"},
		{"milliseconds", "time,good,total\n1767225600000,1,1\n", "d.csv:2:1: \"1767225600000\" is no time in seconds"},
		{"words", "time,good,total\nyesterday,1,1\n", `d.csv:2:1: "yesterday" is no time; write RFC 3339`},
		{"short row", "time,good,total\n60,1\n", "d.csv:2:1: 2 fields where time, good and total are expected"},
		{"quotes", "time,good,total\n60,\"1,1\n", "this is not CSV"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, findings, err := ReadCSV("d.csv", strings.NewReader(c.data))
			if err == nil || s != nil {
				t.Fatalf("accepted, with %v", findings)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestReadCSVShapes(t *testing.T) {
	for name, data := range map[string]string{
		"order of columns": "total,time,good,extra\n10,0,9,x\n10,60,8,x\n10,180,7,x\n",
		"no header":        "0,9,10\n60,8,10\n180,7,10\n",
		"gap said so":      "time,good,total\n0,9,10\n60,8,10\n120,,\n180,7,10\n",
		"rfc 3339":         "time,good,total\n1970-01-01T00:00:00Z,9,10\n1970-01-01T01:01:00+01:00,8,10\n1970-01-01T00:03:00Z,7,10\n",
		"not whole":        "time,good,total\n0,9.2,10.0\n60,8,1e1\n180,7.0,10\n",
		"byte order mark":  "\ufefftime,good,total\r\n0,9,10\r\n60,8,10\r\n180,7,10\r\n",
	} {
		s, findings, err := ReadCSV("d.csv", strings.NewReader(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		n := s.Sum(time.Unix(0, 0), time.Unix(240, 0))
		if n != (Counts{Good: 24, Total: 30, Known: 3, Span: 4}) || s.Width() != time.Minute {
			t.Errorf("%s: %+v in slots of %v", name, n, s.Width())
		}
		if (len(findings) == 1) != (name == "not whole") {
			t.Errorf("%s: findings %v", name, findings)
		}
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add("time,good,total\n0,9,10\n60,8,10\n180,7,10\n")
	f.Add("2026-01-01T00:00:00Z,1,2\n1767225600.5,1,2\n")
	f.Fuzz(func(t *testing.T, data string) {
		s, findings, err := ReadCSV("d.csv", strings.NewReader(data))
		if (s == nil) != (err != nil) || err != nil && len(findings) == 0 {
			t.Fatalf("series %v, findings %v, error %v", s, findings, err)
		}
		if s != nil {
			from, to := s.Bounds()
			if n := s.Sum(from, to); n.Known != s.Len() || n.Good > n.Total || n.Good < 0 {
				t.Fatalf("%+v", n)
			}
		}
	})
}

func TestExplain(t *testing.T) {
	o := availability("0.999")
	low := availability("0.9")
	low.Name = "low"
	var text strings.Builder
	if err := WriteExplanations(&text, Explain([]*Objective{o, low})); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"shop/availability: 99.9% good over 30d, by Occurrences",
		"0.1% of events in 30d (43 min 12 s of total outage at steady traffic)",
		"page    (1h and 5m) > 14.4  2%           2 d 2 h  3 bad  52 s",
		"4 min 56 s", "8 min 38 s", "never", "2 min 10 s", "4 min 19 s", "3 h 36 min",
		"a total outage burns at 10; no larger factor can ever fire",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}

func TestValidateSummary(t *testing.T) {
	text, err := json.Marshal(Validate(nil, read(t, "testdata/bad/target-one.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"objectives":1,"findings":[{"file":"target-one.yaml","line":10,"column":25,"field":"spec.objectives[0].target","severity":"error","code":"target-range",`
	if !strings.HasPrefix(string(text), want) {
		t.Errorf("got %s", text)
	}
	if text, _ := json.Marshal(Validate(nil, read(t, "testdata/good/sloth.yaml"))); string(text) != `{"objectives":2,"findings":[]}` {
		t.Errorf("got %s", text)
	}
}
