package slo

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const day = 24 * time.Hour

func dec(s string) Decimal { return MustDecimal(s) }

// The check numbers of the SRE Workbook, chapter 5, and arithmetic that users
// do on paper.
func TestBudgetUsedAndTimeToExhaustion(t *testing.T) {
	for _, c := range []struct {
		burn     float64
		window   time.Duration
		used     float64
		exhausts time.Duration
	}{
		{14.4, time.Hour, 0.02, 50 * time.Hour},
		{6, 6 * time.Hour, 0.05, 120 * time.Hour},
		{3, day, 0.10, 240 * time.Hour},
		{1, 3 * day, 0.10, 720 * time.Hour},
	} {
		if got := BudgetUsed(c.burn, c.window, 30*day); math.Abs(got-c.used) > 1e-12 {
			t.Errorf("BudgetUsed(%v, %v) = %v, want %v", c.burn, c.window, got, c.used)
		}
		if got, ok := TimeToExhaustion(1, c.burn, 30*day); !ok || got != c.exhausts {
			t.Errorf("TimeToExhaustion(1, %v) = %v, %v, want %v", c.burn, got, ok, c.exhausts)
		}
	}
}

func TestDetectionTime(t *testing.T) {
	const never = -1
	for _, c := range []struct {
		ratio, factor string
		window        time.Duration
		want          time.Duration
	}{
		{"1", "14.4", time.Hour, 51840 * time.Millisecond},
		{"1", "6", 6 * time.Hour, 129600 * time.Millisecond},
		{"1", "3", day, 259200 * time.Millisecond},
		{"1", "1", 3 * day, 259200 * time.Millisecond},
		{"0.1", "14.4", time.Hour, 8*time.Minute + 38400*time.Millisecond},
		{"0.05", "14.4", time.Hour, 17*time.Minute + 16800*time.Millisecond},
		{"0.01", "14.4", time.Hour, never},
		{"0.01", "6", 6 * time.Hour, 216 * time.Minute},
		{"0.002", "14.4", time.Hour, never},
		{"0.002", "6", 6 * time.Hour, never},
		{"0.002", "3", day, never},
		{"0.002", "1", 3 * day, 36 * time.Hour},
	} {
		got, ok := DetectionTime(dec("0.999"), dec(c.ratio), dec(c.factor), c.window)
		if !ok {
			got = never
		}
		if got != c.want {
			t.Errorf("DetectionTime(%s, %s over %v) = %v, want %v", c.ratio, c.factor, c.window, got, c.want)
		}
	}
}

func TestResetTime(t *testing.T) {
	for _, c := range []struct {
		window, want time.Duration
	}{
		{5 * time.Minute, 4*time.Minute + 55680*time.Millisecond},
		{time.Hour, 59*time.Minute + 8160*time.Millisecond},
	} {
		if got, ok := ResetTime(dec("0.999"), One, dec("14.4"), c.window); !ok || got != c.want {
			t.Errorf("ResetTime(%v) = %v, %v, want %v", c.window, got, ok, c.want)
		}
	}
}

func TestLargestFactor(t *testing.T) {
	for target, want := range map[string]string{"0.999": "1000", "0.9": "10", "0.93": "14.285714285", "0.5": "2"} {
		if got := LargestFactor(dec(target)); got != dec(want) {
			t.Errorf("LargestFactor(%s) = %s, want %s", target, got, want)
		}
	}
	for target, want := range map[string]bool{"0.9305": false, "0.930555555": false, "0.930555556": true, "0.9306": true} {
		if got := CanFire(dec("14.4"), dec(target)); got != want {
			t.Errorf("CanFire(14.4, %s) = %v, want %v", target, got, want)
		}
	}
}

func TestThresholdsAreExactDecimals(t *testing.T) {
	if got := dec("14.4").Mul(dec("0.001")); got != dec("0.0144") || got.String() != "0.0144" {
		t.Errorf("14.4 × 0.001 = %s", got)
	}
	// 144 of 10000 is exactly 14.4 × 0.001: not more than it. In float64 it is.
	if Exceeds(144, 10000, dec("14.4"), dec("0.999")) {
		t.Error("a burn of exactly 14.4 must not exceed 14.4")
	}
	if !Exceeds(145, 10000, dec("14.4"), dec("0.999")) {
		t.Error("145 of 10000 must exceed 14.4")
	}
}

func TestExceedsEqualsBigArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(0, math.MaxInt64).Draw(t, "total")
		bad := rapid.Int64Range(0, total).Draw(t, "bad")
		factor := Decimal(rapid.Int64Range(0, math.MaxInt64).Draw(t, "factor"))
		target := Decimal(rapid.Int64Range(0, int64(One)).Draw(t, "target"))
		want := total > 0 && compareBurnBig(bad, total, factor, target) > 0
		if got := Exceeds(bad, total, factor, target); got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

// 8,639 slots of 100 good requests and one of a million, half of them bad: the
// mean of slot ratios says 0.0058 %, the users say 26.83 %.
func TestErrorRatiosAreEventWeighted(t *testing.T) {
	s := NewSeries(5*time.Minute, 0)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 8639 {
		add(t, s, start.Add(time.Duration(i)*5*time.Minute), 100, 100)
	}
	add(t, s, start.Add(8639*5*time.Minute), 500_000, 1_000_000)
	n := s.Sum(start, start.Add(30*day))
	ratio, _ := n.Ratio()
	if got := math.Round((1-ratio)*10000) / 100; got != 26.83 {
		t.Errorf("error ratio = %v %%, want 26.83 %%", got)
	}
}

func TestFullBudgets(t *testing.T) {
	for _, c := range []struct {
		target string
		window time.Duration
		want   time.Duration
	}{
		{"0.999", 30 * day, 43*time.Minute + 12*time.Second},
		{"0.999", 28 * day, 40*time.Minute + 19200*time.Millisecond},
		{"0.9995", 7 * day, 5*time.Minute + 2400*time.Millisecond},
		{"0.95", 14 * day, 16*time.Hour + 48*time.Minute},
	} {
		o := Objective{Target: dec(c.target), Method: Timeslices, SliceTarget: dec("0.99"), SliceWindow: time.Minute, Window: Window{Rolling: c.window}}
		b := o.BudgetOf(BudgetInput{Length: c.window})
		if got := time.Duration(math.Round(b.Allowed.Float64() * float64(time.Minute))); got != c.want {
			t.Errorf("%s of %v allows %v, want %v", c.target, c.window, got, c.want)
		}
	}
}

func TestLowTraffic(t *testing.T) {
	o := &Objective{Target: dec("0.999"), Method: Occurrences, Window: Days(30), AlertPolicies: DefaultPolicies(Occurrences)}
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	s := NewSeries(time.Hour, 0)
	for i := range 720 {
		bad := int64(0)
		if i == 719 {
			bad = 1
		}
		add(t, s, now.Add(time.Duration(i-720)*time.Hour), 10-bad, 10)
	}
	hour := s.Sum(now.Add(-time.Hour), now)
	if burn, _ := BurnRate(hour.Bad(), hour.Total, o.Target); math.Abs(burn-100) > 1e-9 {
		t.Errorf("burn of the hour = %v, want 100", burn)
	}
	b, _ := o.Budget(s, now)
	if b.Allowed.String() != "7.2" || b.Spent.String() != "1" || math.Round((1-b.RemainingRatio)*1000) != 139 {
		t.Errorf("budget = %+v, want 7.2 allowed, 13.9 %% spent", b)
	}
	sums := func(d time.Duration) Counts { return s.Sum(now.Add(-d), now) }
	if h := o.Rules()[0].Weigh(o.Target, sums); h != Floored {
		t.Errorf("the page is %s, want floored: one failure is no evidence", h)
	}
}

func add(t testing.TB, s *Series, at time.Time, good, total int64) {
	t.Helper()
	if err := s.Add(at, good, total); err != nil {
		t.Fatal(err)
	}
}
