package dora

import (
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

func TestClassify(t *testing.T) {
	const hour, day, week, month = 3600.0, 86400.0, 7 * 86400.0, 30 * 86400.0
	for _, c := range []struct {
		set, metric string
		value       float64
		band, note  string
	}{
		{"article", "deployment_frequency", 3, "elite", ""},
		{"article", "deployment_frequency", 1.5, "high", "gap"},
		{"article", "deployment_frequency", 0.5, "high", ""},
		{"article", "deployment_frequency", 0.1, "medium", ""},
		{"article", "deployment_frequency", 0.01, "low", ""},
		{"article", "lead_time", hour - 1, "elite", ""},
		{"article", "lead_time", 3 * hour, "high", "gap"},
		{"article", "lead_time", 2 * day, "high", ""},
		{"article", "lead_time", 2 * month, "low", "gap"},
		{"article", "lead_time", 7 * month, "low", ""},
		{"article", "change_fail_rate", 0.03, "elite", ""},
		{"article", "change_fail_rate", 0.05, "elite", ""},
		{"article", "change_fail_rate", 0.1, "high", ""},
		{"article", "change_fail_rate", 0.155, "medium", "gap"},
		{"article", "change_fail_rate", 0.2, "medium", "also calls it low"},
		{"article", "change_fail_rate", 0.5, "low", "beyond"},
		{"article", "recovery", 60, "elite", ""},
		{"article", "recovery", 2 * hour, "high", ""},
		{"article", "recovery", 2 * week, "low", "gap"},
		{"dora-2021", "deployment_frequency", 0.5, "high", "gap"},
		{"dora-2021", "lead_time", 2 * week, "medium", "gap"},
		{"dora-2023", "lead_time", 3 * hour, "elite", ""},
		{"dora-2023", "lead_time", 2 * month, "low", ""},
		{"dora-2023", "change_fail_rate", 0.155, "low", ""},
		{"dora-2024", "change_fail_rate", 0.08, "high", "also calls it medium"},
		{"dora-2024", "change_fail_rate", 0.15, "high", ""},
		{"dora-2024", "recovery", 2 * hour, "high", "also calls it medium"},
		{"dora-2024", "recovery", 3 * day, "low", "gap"},
	} {
		s, err := Bands(c.set)
		if err != nil {
			t.Fatal(err)
		}
		b := s.Classify(c.metric, c.value)
		if b.Name != c.band || (c.note == "") != (b.Note == "") || !strings.Contains(b.Note, c.note) {
			t.Errorf("%s %s %g: %+v, want %s, %q", c.set, c.metric, c.value, *b, c.band, c.note)
		}
	}
	if _, err := Bands("dora-1999"); problem.KindOf(err) != problem.Invalid || !strings.Contains(problem.NextOf(err), "article, dora-2021, dora-2023, dora-2024") {
		t.Errorf("a table that is not: %v, %s", err, problem.NextOf(err))
	}
}

func TestBadBands(t *testing.T) {
	for text, want := range map[string]string{
		"name: x": "minimum numbers",
		"name: x\nminimum: {deployments: 1, recoveries: 1}\nmetrics: {happiness: {better: higher, bands: [{name: a}]}}":            `"happiness" is not one of`,
		"name: x\nminimum: {deployments: 1, recoveries: 1}\nmetrics: {lead_time: {better: sooner, bands: [{name: a}]}}":            "better is higher or lower",
		"name: x\nminimum: {deployments: 1, recoveries: 1}\nmetrics: {lead_time: {better: lower, bands: [{name: a, from: 5}]}}":    "has no unit",
		"name: x\nminimum: {deployments: 1, recoveries: 1}\nmetrics: {lead_time: {better: lower, bands: [{name: a, from: soon}]}}": "is not a bound",
		"name: x\nminimum: {deployments: 1, recoveries: 1}\nmetrics: {lead_time: {better: lower, bands: [{name: a, until: 5%}]}}":  "until",
	} {
		if _, err := parseBands([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzBound(f *testing.F) {
	for _, s := range []string{"5%", "1h", "2/d", "1/mo", "", "%", "1e999h", "-1d", "NaN%", "6mo", "/d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var b Bound
		if err := b.UnmarshalText([]byte(s)); err == nil && (!b.Set || b.Value < 0 || b.Value != b.Value) {
			t.Fatalf("%q: %+v", s, b)
		}
	})
}
