package web

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 400 * time.Millisecond: "400 ms", 2500 * time.Millisecond: "2.5 s", 89 * time.Second: "89 s", 6 * time.Minute: "6 min",
		90 * time.Minute: "1.5 h", 27 * time.Hour: "27 h", 3 * 24 * time.Hour: "3 d", 40 * 24 * time.Hour: "40 d", -6 * time.Minute: "−6 min",
		time.Duration(-1 << 63): "−106752 d",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{share(0.61), "61 %"}, {share(-0.12), "−12 %"}, {share(0.004), "0.4 %"}, {share(0.00042), "0.042 %"}, {share(0), "0 %"}, {share(1), "100 %"},
		{percent(0.99963, 3), "99.963 %"}, {points(2500), "25 %"}, {points(50), "0.5 %"},
		{count(1204), "1,204"}, {count(int64(-1234567)), "−1,234,567"}, {count(999), "999"},
		{number(214), "214"}, {number(14.4), "14.4"}, {number(0.38), "0.38"}, {number(2.5e9), "2.5 × 10⁹"}, {number(0), "0"},
		{short("sha256:5c1d0a9be7f2"), "5c1d0a9"}, {who("user:ana"), "ana"}, {who("controller:rollout"), "rollout (automatic)"},
		{plural(0, "service", "services"), "no services"}, {plural(1, "service", "services"), "1 service"},
		{sentence("held: nothing yet"), "Held: nothing yet."}, {sentence("checkout.prod.latency is spent"), "checkout.prod.latency is spent."},
		{sentence("approve it with --reason …"), "Approve it with --reason …"}, {sentence(" "), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// Every state has a word of its own tone, and an unknown one is shown as it is.
func TestState(t *testing.T) {
	for _, c := range []struct{ state, word, class string }{
		{"rolled_back", "went back", "bad"}, {"promoted", "promoted", "good"}, {"awaiting approval", "awaits approval", "risk"}, {"<b>", "&lt;b&gt;", "idle"},
	} {
		got := string(state(c.state))
		if !strings.Contains(got, ">"+c.word+"<") && !strings.HasSuffix(got, c.word+"</span>") || !strings.Contains(got, `class="state `+c.class+`"`) || !strings.Contains(got, "<svg") {
			t.Errorf("state(%q) = %s", c.state, got)
		}
	}
}

// FuzzHere: whatever a form says, one goes back to a page of this server.
func FuzzHere(f *testing.F) {
	for _, s := range []string{"/rollouts/x?at=1", "//evil.example/", "https://evil.example/", `/\evil.example`, "/a\r\nSet-Cookie: b", "javascript:alert(1)", "/ok#f", "", "///x", "/%0d%0a", "/%5cevil"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := here(s)
		base, err := url.Parse("http://flyball.test/rollouts/x")
		if err != nil {
			t.Fatal(err)
		}
		u, err := base.Parse(got)
		if err != nil || u.Host != "flyball.test" || u.Scheme != "http" || strings.ContainsAny(got, "\r\n\\") || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") {
			t.Errorf("here(%q) = %q", s, got)
		}
	})
}

// Widths of the value stream fill it and never vanish.
func TestDrawn(t *testing.T) {
	at := time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC)
	stages := drawn([]stage{{From: at, To: at}, {From: at, To: at.Add(72 * time.Hour)}, {From: at.Add(72 * time.Hour), To: at.Add(72*time.Hour + 3*time.Second)}})
	var sum float64
	for _, s := range stages {
		if s.Width < 1000.0/60 {
			t.Errorf("a stage of %s is %.1f of a thousand wide, too little to see", s.Length(), s.Width)
		}
		sum += s.Width
	}
	if sum < 999.9 || sum > 1000.1 {
		t.Errorf("the widths add up to %v, want 1000", sum)
	}
}

// An hour in which nothing reported is a gap; one without events is not.
func TestHeatTellsGapsFromQuiet(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 30, 0, 0, time.UTC)
	events := slo.NewSeries(time.Minute, 0)
	for at := now.Add(-30 * time.Hour); at.Before(now); at = at.Add(time.Minute) {
		total := int64(100)
		switch {
		case at.Hour() == 3:
			continue // nothing reports
		case at.Hour() == 4:
			total = 0
		}
		if err := events.Add(at, total-total/100, total); err != nil {
			t.Fatal(err)
		}
	}
	o := &slo.Objective{Target: slo.MustDecimal("0.999"), Indicator: slo.Indicator{Kind: slo.Ratio}}
	last := heatOf(o, events, now).Days[heatDays-1]
	for h, want := range map[int]string{2: "10", 3: "gap", 4: "–", 12: "10", 13: ""} {
		if got := last.Hours[h].Brief(); got != want {
			t.Errorf("hour %d is %q, want %q (%s)", h, got, want, last.Hours[h].Text())
		}
	}
	if text := last.Hours[12].Text(); text != "30 of 3,000 bad, burn 10×" {
		t.Errorf("the hour that is not over says %q", text)
	}
}

func TestParagraphs(t *testing.T) {
	got := paragraphs("A fix passes.\nSay so.\n\n  flyball change mark\nflyball push\nThen wait.")
	want := []paragraph{{false, "A fix passes. Say so."}, {true, "flyball change mark\nflyball push"}, {false, "Then wait."}}
	if len(got) != len(want) {
		t.Fatalf("%d paragraphs, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("paragraph %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}

// What every file and template needs is there, and New finds it.
func TestNew(t *testing.T) {
	if New(Options{Operations: []operation.Operation{}}) == nil {
		t.Fatal("no handler")
	}
}
