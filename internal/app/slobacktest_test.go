package app

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/feedback/policy"
)

// Recorded histories and what every policy would have made of them, computed by
// hand in the comment of each file. Counts are lines of minutes, good and total,
// from 2026-10-01 on.
func TestBacktestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/backtest/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			archive, err := txtar.ParseFile(f)
			if err != nil {
				t.Fatal(err)
			}
			dir, want := t.TempDir(), ""
			args := []string{"slo", "backtest", "-o", "json"}
			for _, part := range archive.Files {
				text := string(part.Data)
				flag := map[string]string{"counts": "--data", "objective.yaml": "--objective", "incidents.csv": "--incidents", "incidents.json": "--incidents",
					"deployments.csv": "--deployments", "deployments.json": "--deployments", "policy.yaml": "--budget-policy"}[part.Name]
				switch part.Name {
				case "counts":
					text = minuteCSV(t, text)
				case "want":
					want = text
					continue
				}
				args = append(args, flag, file(t, dir, part.Name, text))
			}
			out, talk, code := command(t, args...)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, talk)
			}
			if got := scores(t, out); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
			if table, _, code := command(t, append([]string{"slo", "backtest"}, args[4:]...)...); code != 0 || !strings.Contains(table, "PRECISION") {
				t.Errorf("exit code %d\n%s", code, table)
			}
		})
	}
}

func minuteCSV(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("time,good,total\n")
	at := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	for line := range strings.Lines(text) {
		var n, good, total int
		if _, err := fmt.Sscan(line, &n, &good, &total); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for range n {
			fmt.Fprintf(&b, "%d,%d,%d\n", at.Unix(), good, total)
			at = at.Add(time.Minute)
		}
	}
	return b.String()
}

// scores is the command's JSON, a line for each policy.
func scores(t *testing.T, out string) string {
	t.Helper()
	var b policy.Backtested
	if err := json.Unmarshal([]byte(out), &b); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	n := func(x *float64) string {
		if x == nil {
			return "-"
		}
		return fmt.Sprintf("%.4g", *x)
	}
	seconds := func(x *float64) string {
		if x == nil {
			return "-"
		}
		return fmt.Sprintf("%.0f", *x)
	}
	var lines strings.Builder
	for _, s := range b.Alerts {
		fmt.Fprintf(&lines, "alert %s %s %s: %d pages, %d true, %d of %d found, precision %s, recall %s, detection %s, reset %s, missed %s\n", s.Objective, s.Policy, s.Severity,
			s.Pages, s.True, s.Found, s.Incidents, n(s.Precision), n(s.Recall), seconds(s.DetectionMedian), seconds(s.ResetMedian), strings.Join(s.Missed, "+"))
	}
	for _, s := range b.Policies {
		fmt.Fprintf(&lines, "budget %s %s: %d changes, %d allowed, %d slowed, %d blocked, %d of %d failed ones, precision %s, recall %s, %d without outcome\n", s.Objective, s.Policy,
			s.Changes, s.Allowed, s.Slowed, s.Blocked, s.BlockedFailed, s.Failed, n(s.Precision), n(s.Recall), s.WithoutOutcome)
	}
	return lines.String()
}
