package judge

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// seen is what a metric has seen after minutes of 120 canary and 1,080
// baseline requests each, with so many bad ones a minute.
func seen(c Config, minutes int, canaryBad, baselineBad int64) State {
	var s State
	for i := range minutes {
		s = c.Advance(s, Bin{Time: start.Add(time.Duration(i) * time.Minute), Width: time.Minute,
			Baseline: Count{1080, baselineBad}, Canary: Count{120, canaryBad}})
	}
	return s
}

func TestDecide(t *testing.T) {
	c := Config{Alpha: 0.005}
	metric := func(name string, minutes int, canary, baseline int64, budget float64) Metric {
		return Metric{Name: name, Config: c, State: seen(c, minutes, canary, baseline), Budget: budget, Share: 0.02}
	}
	next := Step{Weight: 0.25, Current: 0.1, Rate: 20, Time: 2 * time.Minute} // exposes 600 requests
	now := start.Add(time.Hour)
	tests := []struct {
		name    string
		in      Input
		verdict Verdict
		weight  float64
		reason  string
	}{
		{"a large budget needs little evidence", Input{Metrics: []Metric{metric("errors", 1, 0, 0, 50_000)}}, On, 0.25,
			"Going on to 25 %: excess on errors at most"},
		{"a small budget needs more", Input{Metrics: []Metric{metric("errors", 2, 0, 0, 300)}}, Hold, 0,
			"Held: 240 clean requests so far, about 4 min to a verdict"},
		{"and gets it", Input{Metrics: []Metric{metric("errors", 8, 0, 0, 300)}}, On, 0.25, "after 960 clean requests"},
		{"a weight below the ceiling", Input{Metrics: []Metric{metric("errors", 4, 0, 0, 250)}}, On, 0.146, "Going on to 15 %"},
		{"no budget left", Input{Metrics: []Metric{metric("errors", 8, 0, 0, -10)}}, Hold, 0, "no budget of errors is left"},
		{"the dearest metric decides", Input{Metrics: []Metric{metric("errors", 8, 0, 0, 50_000), metric("slow", 2, 1, 9, 300)}}, Hold, 0,
			"Held: 2 of 240 bad on the canary so far"},
		{"the culprit is named", Input{Metrics: []Metric{metric("errors", 8, 0, 0, 50_000), metric("slow", 8, 60, 9, 50_000)}}, Back, 0,
			"≥ 200 (α = 0.5 %) on slow: canary"},
		{"a canary that looks worse waits, however little it would cost", Input{Metrics: []Metric{metric("errors", 3, 6, 9, 1e9)}}, Hold, 0,
			"Held: the canary looks worse on errors, 18 of 360 bad against 27 of 3,240 bad on the baseline, but that is not settled: E ="},
		{"and is taken back in the end", Input{Metrics: []Metric{metric("errors", 8, 4, 9, 1e9)}}, Back, 0, "≥ 200"},
		{"and does not go on unasked at its deadline", Input{Deadline: now, OnDeadline: GoOn, Metrics: []Metric{metric("errors", 3, 6, 9, 1e9)}}, Hold, 0, "a person decides"},
		{"not before the step's minimum time", Input{Earliest: now.Add(30 * time.Second), Metrics: []Metric{metric("errors", 8, 0, 0, 50_000)}}, Hold, 0,
			"the step's minimum time ends in 30 s"},
		{"nothing to judge by", Input{}, Hold, 0, "no metric to judge by"},
		{"deadline: ask", Input{Deadline: now, Metrics: []Metric{metric("errors", 2, 0, 0, 300)}}, Hold, 0, "a person decides"},
		{"deadline: back", Input{Deadline: now, OnDeadline: GoBack, Metrics: []Metric{metric("errors", 2, 0, 0, 300)}}, Back, 0, "the deadline passed"},
		{"deadline: on", Input{Deadline: now, OnDeadline: GoOn, Metrics: []Metric{metric("errors", 2, 0, 0, 300)}}, On, 0.25, "without evidence"},
		{"no traffic", Input{Metrics: []Metric{metric("errors", 0, 0, 0, 300)}, Next: Step{Weight: 0.25, Current: 0, Rate: 20, Time: 2 * time.Minute}}, Hold, 0,
			"Held: no canary requests so far, no verdict in sight"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Now = now
			if tt.in.Next == (Step{}) {
				tt.in.Next = next
			}
			d := Decide(tt.in)
			if d.Verdict != tt.verdict || d.Weight < tt.weight-0.01 || d.Weight > tt.weight+0.01 || !strings.Contains(d.Reason, tt.reason) {
				t.Errorf("got %s, weight %.3f, %q", d.Verdict, d.Weight, d.Reason)
			}
			replayed := replay(t, tt.in)
			a, _ := json.Marshal(d)
			if b, _ := json.Marshal(Decide(replayed)); string(a) != string(b) {
				t.Errorf("replay differs:\n%s\n%s", a, b)
			}
		})
	}
}

// Doubt does not come from the warm-up: what a cold cache did is no reason to
// hold a canary that has been as good as the baseline since.
func TestDoubtIsOfTheTimeAfterTheWarmUp(t *testing.T) {
	c := Config{WarmUp: 5 * time.Minute}
	var s State
	for i := range 42 {
		b := Bin{Time: start.Add(time.Duration(i) * 10 * time.Second), Width: 10 * time.Second, Baseline: Count{900, 1}, Canary: Count{100, 0}}
		if i < 30 {
			b.Canary.Bad = 1
		}
		s = c.Advance(s, b)
	}
	in := Input{Now: start.Add(time.Hour), Next: Step{Weight: 0.25, Current: 0.1, Rate: 100, Time: time.Minute},
		Metrics: []Metric{{Name: "errors", Config: c, State: s, Budget: 1e9, Share: 0.02}}}
	if d := Decide(in); d.Verdict != On || d.Evidence[0].ExcessLower <= 0 {
		t.Errorf("a cold cache: %s, lower end %.4f: %s", d.Verdict, d.Evidence[0].ExcessLower, d.Reason)
	}
	// The same excess after the warm-up is in doubt, whatever E says.
	s.Excess.WarmLower, s.Excess.WarmMatched = nil, 0
	in.Metrics[0].State = s
	if d := Decide(in); d.Verdict != Hold || !strings.Contains(d.Reason, "looks worse") {
		t.Errorf("an excess later: %s: %s", d.Verdict, d.Reason)
	}
}

func TestFewestWindows(t *testing.T) {
	c := Config{Alpha: 0.005}
	for _, tt := range []struct {
		share float64
		want  int
	}{{0.01, 3}, {0.05, 3}, {0.25, 6}, {0.5, 10}} {
		n := c.FewestWindows(tt.share)
		var s State
		for i := range n {
			if s.Crossed != nil {
				t.Errorf("share %g: crossed after %d windows of %d", tt.share, i, n)
			}
			s = c.Advance(s, Bin{Time: start.Add(time.Duration(i) * DefaultBinWidth), Width: DefaultBinWidth,
				Baseline: Count{Requests: int64(10_000 * (1 - tt.share))}, Canary: Count{int64(10_000 * tt.share), 3}})
		}
		if s.Crossed == nil || n != tt.want {
			t.Errorf("share %g: %d windows, want %d, crossed %v", tt.share, n, tt.want, s.Crossed != nil)
		}
	}
}

// replay is the input as it comes back from the event it was stored in.
func replay(t *testing.T, in Input) (out Input) {
	t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWords(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{percent(0.0062), "0.62 %"}, {percent(0.25), "25 %"}, {percent(1), "100 %"}, {percent(0.01), "1 %"},
		{percent(0), "0 %"}, {percent(-0.12), "-12 %"}, {percent(0.00012), "0.012 %"}, {percent(0.0999), "10 %"},
		{number(1204), "1,204"}, {number(214.4), "214"}, {number(3.25), "3.2"}, {number(1e300), "1e+300"}, {number(-1234567), "-1,234,567"},
		{number(999999), "999,999"}, {number(0), "0"},
		{duration(40 * time.Second), "40 s"}, {duration(6 * time.Minute), "6 min"}, {duration(3 * time.Hour), "3 h"},
		{duration(72 * time.Hour), "3 d"}, {duration(89 * time.Second), "89 s"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}
