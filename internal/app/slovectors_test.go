package app

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// written is an OpenSLO document with one objective.
func writtenSLO(name, method, window, objective, annotations, policies string) string {
	return fmt.Sprintf(`---
apiVersion: openslo/v1
kind: SLO
metadata: {name: %s, annotations: {%s}}
spec:
  service: shop
  budgetingMethod: %s
  timeWindow: [{duration: %s, isRolling: true}]
  indicator:
    metadata: {name: i}
    spec: {ratioMetric: {counter: true, good: {metricSource: {type: prometheus, spec: {query: g}}}, total: {metricSource: {type: prometheus, spec: {query: t}}}}}
  objectives: [%s]
%s`, name, annotations, method, window, objective, policies)
}

// burnAlert is an alert on one window alone, or with a short one beside it.
func burnAlert(name, factor, long string) string {
	return fmt.Sprintf(`  alertPolicies:
    - kind: AlertPolicy
      metadata: {name: %s}
      spec:
        conditions: [{kind: AlertCondition, metadata: {name: %s}, spec: {severity: page, condition: {kind: burnrate, op: gt, threshold: %s, lookbackWindow: %s}}}]
        notificationTargets: []
`, name, name, factor, long)
}

type explained struct {
	Budget  string
	Largest float64 `json:"largest_factor"`
	SLA     float64 `json:"sla"`
	Alerts  []struct {
		Condition string
		Used      float64 `json:"budget_used"`
		Exhausts  string
		CanFire   bool `json:"can_fire"`
		Reactions []struct {
			Ratio   float64  `json:"error_ratio"`
			Detects *float64 `json:"detection_seconds"`
			Resets  *float64 `json:"reset_seconds"`
		}
	}
}

func explain(t *testing.T, text string, args ...string) explained {
	t.Helper()
	out, talk, code := command(t, append([]string{"slo", "explain", file(t, t.TempDir(), "slo.yaml", text), "-o", "json"}, args...)...)
	var all []explained
	if err := json.Unmarshal([]byte(out), &all); code != 0 || err != nil || len(all) != 1 {
		t.Fatalf("explain: exit code %d, %v\n%s%s", code, err, out, talk)
	}
	return all[0]
}

// The vectors of docs/slo.md on detection, reset and budgets, as a user gets them.
func TestVectorsExplained(t *testing.T) {
	default999 := explain(t, writtenSLO("a", "Occurrences", "30d", "{target: 0.999}", "", ""), "--ratio", "5%", "--ratio", "0.002")
	if len(default999.Alerts) != 4 || default999.Largest != 1000 || !strings.Contains(default999.Budget, "43 min 12 s") {
		t.Fatalf("explained: %+v", default999)
	}
	const never = -1.0
	for i, want := range []struct {
		condition string
		used      float64
		exhausts  string
		detects   [5]float64 // at 100 %, 10 %, 1 %, 5 %, 0.2 %
		reset     float64    // after a total outage
	}{
		{"(1h and 5m) > 14.4", 0.02, "2 d 2 h", [5]float64{51.84, 518.4, never, 1036.8, never}, 295.68},
		{"(6h and 30m) > 6", 0.05, "5 d", [5]float64{129.6, 1296, 216 * 60, 2592, never}, 1789.2},
		{"(1d and 2h) > 3", 0.1, "10 d", [5]float64{259.2, 2592, 25920, 5184, never}, 7178.4},
		{"(3d and 6h) > 1", 0.1, "30 d", [5]float64{259.2, 2592, 25920, 5184, 36 * 3600}, 21578.4},
	} {
		a := default999.Alerts[i]
		if a.Condition != want.condition || math.Abs(a.Used-want.used) > 1e-9 || a.Exhausts != want.exhausts {
			t.Errorf("%s: %s uses %v, lasts %s", want.condition, a.Condition, a.Used, a.Exhausts)
		}
		for j, r := range a.Reactions {
			got := never
			if r.Detects != nil {
				got = *r.Detects
			}
			if math.Abs(got-want.detects[j]) > 1e-6 {
				t.Errorf("%s at %v: detected after %v s, want %v", a.Condition, r.Ratio, got, want.detects[j])
			}
		}
		if r := a.Reactions[0].Resets; r == nil || math.Abs(*r-want.reset) > 1e-6 {
			t.Errorf("%s resets after %v", a.Condition, r)
		}
	}
	alone := explain(t, writtenSLO("a", "Occurrences", "30d", "{target: 0.999}", "", burnAlert("hour", "14.4", "1h")))
	if r := alone.Alerts[0].Reactions[0].Resets; r == nil || math.Abs(*r-3548.16) > 1e-6 { // 59 min 8 s
		t.Errorf("1 h alone resets after %v", r)
	}
	for _, budget := range []struct{ method, window, objective, says string }{
		{"Occurrences", "28d", "{target: 0.999}", "40 min 19"},
		{"Timeslices", "1w", "{target: 0.9995, timeSliceTarget: 0.99, timeSliceWindow: 1m}", "5 min 2"},
		{"Timeslices", "2w", "{target: 0.95, timeSliceTarget: 0.99, timeSliceWindow: 1m}", "16 h 48 min"},
	} {
		if e := explain(t, writtenSLO("a", budget.method, budget.window, budget.objective, "", "")); !strings.Contains(e.Budget, budget.says) {
			t.Errorf("%+v: %s", budget, e.Budget)
		}
	}
	if e := explain(t, writtenSLO("a", "Occurrences", "30d", "{target: 0.999}", `flyball.dev/sla: "0.995"`, "")); e.SLA != 0.995 {
		t.Errorf("SLA %v", e.SLA)
	}
}

type found struct {
	Objectives int
	Findings   []struct {
		File, Severity, Code, Message string
		Line, Column                  int
	}
}

// What would make a number wrong is refused, with a place and what to write.
func TestBadObjectivesValidated(t *testing.T) {
	good := "{target: 0.999}"
	for _, c := range []struct{ name, text, code, says string }{
		{"zero window", writtenSLO("a", "Occurrences", "0d", good, "", ""), "zero-duration", "30d"},
		{"negative window", writtenSLO("a", "Occurrences", "-30d", good, "", ""), "", "30d"},
		{"target 0", writtenSLO("a", "Occurrences", "30d", "{target: 0}", "", ""), "target-range", "0.999"},
		{"target 1", writtenSLO("a", "Occurrences", "30d", "{target: 1}", "", ""), "target-range", "0.999"},
		{"target 100", writtenSLO("a", "Occurrences", "30d", "{target: 100}", "", ""), "target-range", "0.999"},
		{"empty objectives", writtenSLO("a", "Occurrences", "30d", "", "", ""), "no-objectives", "target"},
		{"duplicate names", writtenSLO("a", "Occurrences", "30d", good, "", "") + writtenSLO("a", "Occurrences", "7d", good, "", ""), "duplicate", "a"},
		{"dangling reference", writtenSLO("a", "Occurrences", "30d", good, "", "  alertPolicies: [nobody]\n"), "dangling-reference", "nobody"},
		{"long slices", writtenSLO("a", "Timeslices", "1h", "{target: 0.9, timeSliceTarget: 0.9, timeSliceWindow: 2h}", "", ""), "slice", "window"},
		{"dead factor", writtenSLO("a", "Occurrences", "30d", "{target: 0.93}", "", burnAlert("p", "14.4", "1h")), "factor-never-fires", "14.285"},
		{"SLA that is stricter", writtenSLO("a", "Occurrences", "30d", good, `flyball.dev/sla: "0.9999"`, ""), "agreement-range", "looser"},
		{"groups without end", writtenSLO("a", "Occurrences", "30d", good, `flyball.dev/max-groups: "100000"`, ""), "bad-max-groups", "1000"},
	} {
		out, talk, code := command(t, "slo", "validate", file(t, t.TempDir(), "slo.yaml", c.text), "-o", "json")
		var f found
		if err := json.Unmarshal([]byte(out), &f); err != nil || code != 1 {
			t.Errorf("%s: exit code %d, %v\n%s%s", c.name, code, err, out, talk)
			continue
		}
		named := false
		for _, x := range f.Findings {
			named = named || x.Severity == "error" && x.Line > 0 && x.Column > 0 && strings.Contains(x.Code, c.code) && strings.Contains(x.Message, c.says)
		}
		if !named {
			t.Errorf("%s: no error %q that says %q:\n%s", c.name, c.code, c.says, out)
		}
	}
	// The greatest target at which 14.4 cannot fire, and the least at which it can.
	for target, exit := range map[string]int{"0.9305": 1, "0.9306": 0} {
		if out, _, code := command(t, "slo", "validate", file(t, t.TempDir(), "slo.yaml", writtenSLO("a", "Occurrences", "30d", "{target: "+target+"}", "", burnAlert("p", "14.4", "1h")))); code != exit {
			t.Errorf("%s: exit code %d\n%s", target, code, out)
		}
	}
}

type replayed struct {
	Good, Total, SLI float64
	Budget           struct {
		Allowed, Spent float64
		Remaining      float64 `json:"remaining_ratio"`
	}
	Burn   map[string]*float64
	Alerts []struct {
		Policy, Severity, Condition, Reason string
		Fired                               time.Time
		Resolved                            *time.Time
	}
	Exhaustion *time.Time
}

func replay(t *testing.T, objective string, rows func(row func(at time.Time, good, total int))) replayed {
	t.Helper()
	var csv strings.Builder
	csv.WriteString("time,good,total\n")
	rows(func(at time.Time, good, total int) {
		fmt.Fprintf(&csv, "%s,%d,%d\n", at.Format(time.RFC3339), good, total)
	})
	dir := t.TempDir()
	out, talk, code := command(t, "slo", "replay", "--objective", file(t, dir, "slo.yaml", objective), "--data", file(t, dir, "data.csv", csv.String()))
	var r replayed
	if err := json.Unmarshal([]byte(out), &r); code != 0 || err != nil {
		t.Fatalf("replay: exit code %d, %v\n%.500s%s", code, err, out, talk)
	}
	return r
}

// The vectors of docs/slo.md on counts, replayed.
func TestVectorsReplayed(t *testing.T) {
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	near := func(got, want, by float64) bool { return math.Abs(got-want) <= by }
	// The weighting trap: 8,639 slots of 100 good requests and one of a million, half bad.
	trap := replay(t, writtenSLO("a", "Occurrences", "30d", "{target: 0.999}", "", "  alertPolicies: []\n"), func(row func(time.Time, int, int)) {
		for i := range 8640 {
			good, total := 100, 100
			if i == 4000 {
				good, total = 500_000, 1_000_000
			}
			row(begin.Add(time.Duration(i)*5*time.Minute), good, total)
		}
	})
	if !near(1-trap.SLI, 0.2683, 0.00005) || trap.Total != 1_863_900 {
		t.Errorf("weighting trap: %v bad of %v", 1-trap.SLI, trap.Total)
	}
	// Low traffic: ten requests an hour, one fails.
	low := replay(t, writtenSLO("a", "Occurrences", "30d", "{target: 0.999}", "", ""), func(row func(time.Time, int, int)) {
		for i := range 720 {
			good := 10
			if i == 719 {
				good = 9
			}
			row(begin.Add(time.Duration(i)*time.Hour), good, 10)
		}
	})
	if b := low.Burn["1h"]; b == nil || !near(*b, 100, 1e-9) || low.Budget.Allowed != 7.2 || !near(low.Budget.Spent/low.Budget.Allowed, 0.139, 0.0005) {
		t.Errorf("low traffic: burn %v, %+v", low.Burn["1h"], low.Budget)
	}
	if len(low.Alerts) != 0 {
		t.Errorf("one failure pages: %+v", low.Alerts)
	}
	// A burn of exactly 14.4 is not more than 14.4: 0.0144 is 14.4 × 0.001.
	for bad, fires := range map[int]int{144: 0, 145: 1} {
		exact := replay(t, writtenSLO("a", "Occurrences", "30d", "{target: 0.999}", "", burnAlert("p", "14.4", "1h")), func(row func(time.Time, int, int)) {
			for i := range 60 {
				row(begin.Add(time.Duration(i)*time.Minute), 10_000-bad, 10_000)
			}
		})
		if len(exact.Alerts) != fires {
			t.Errorf("%d bad of 10000 fires %d times, want %d", bad, len(exact.Alerts), fires)
		}
	}
	// A total outage: paged within the minute that 51.84 s end in; and every firing explains itself.
	outage := replay(t, writtenSLO("a", "Occurrences", "30d", "{target: 0.999}", "", ""), func(row func(time.Time, int, int)) {
		for i := range 300 {
			good := 100
			if i >= 120 && i < 180 {
				good = 0
			}
			row(begin.Add(time.Duration(i)*time.Minute), good, 100)
		}
	})
	first := outage.Alerts[0]
	if want := begin.Add(121 * time.Minute); !first.Fired.Equal(want) || first.Severity != "page" || first.Resolved == nil || !first.Resolved.Equal(begin.Add(185*time.Minute)) {
		t.Errorf("first alert: %+v, want it from %v", first, want)
	}
	for _, says := range []string{"burn", "over 1 h", "over 5 min", "bad of", "14.4", "floor of 3", "full budget lasts"} {
		if !strings.Contains(first.Reason, says) {
			t.Errorf("the firing does not say %q: %s", says, first.Reason)
		}
	}
}

// A composite is replayed over a file for each of its parts.
func TestCompositeReplayed(t *testing.T) {
	text := writtenSLO("buy", "Occurrences", "30d", "{displayName: find, target: 0.99}, {displayName: pay, target: 0.999, compositeWeight: 3}", "", "  alertPolicies: []\n")
	data := func(bad int) string {
		rows := "time,good,total\n"
		for i := range 60 {
			rows += fmt.Sprintf("%d,%d,1000\n", 1_772_323_200+60*i, 1000-bad)
		}
		return rows
	}
	dir := t.TempDir()
	slo, find, pay := file(t, dir, "slo.yaml", text), file(t, dir, "find.csv", data(10)), file(t, dir, "pay.csv", data(5))
	out, talk, code := command(t, "slo", "replay", "--objective", slo, "--name", "buy", "--data", "buy-find="+find+",buy-pay="+pay)
	var r struct {
		Target, SLI float64
		Burn        map[string]*float64
		Parts       []struct {
			Objective     string
			Weight, Spent float64
		}
	}
	if err := json.Unmarshal([]byte(out), &r); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v\n%.500s%s", code, err, out, talk)
	}
	// (1 % + 3 × 0.5 %) ÷ 4 of an allowed (1 % + 3 × 0.1 %) ÷ 4
	if math.Abs(r.SLI-(1-0.025/4)) > 1e-12 || r.Target != 0.99675 || math.Abs(*r.Burn["1h"]-0.025/0.013) > 1e-9 || len(r.Parts) != 2 || r.Parts[1].Weight != 3 {
		t.Errorf("%+v", r)
	}
	if _, talk, code := command(t, "slo", "replay", "--objective", slo, "--name", "buy", "--data", find); code == 0 || !strings.Contains(talk, "there is no data for buy-find") {
		t.Errorf("one file for all parts: exit code %d, %s", code, talk)
	}
}
