package slo_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

// promtool runs Debian's promtool (package prometheus, named in scripts/test).
func promtool(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is not installed: scripts/need promtool=prometheus")
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// counters is an objective over two counters.
func counters(change func(*slo.Objective)) *slo.Objective {
	o := &slo.Objective{Service: "shop", Environment: "prod", Name: "availability", Target: slo.MustDecimal("0.999"), Method: slo.Occurrences, Window: slo.Days(30), Weight: slo.One,
		Indicator: slo.Indicator{Kind: slo.Ratio, Counter: true,
			Bad:   &slo.Source{Type: "prometheus", Query: `http_requests_total{code=~"5.."}`},
			Total: &slo.Source{Type: "prometheus", Query: "http_requests_total"}}}
	o.AlertPolicies = slo.DefaultPolicies(o.Method)
	if change != nil {
		change(o)
	}
	return o
}

func query(o *slo.Objective, bad, total string) {
	o.Indicator.Bad.Query, o.Indicator.Total.Query = bad, total
}

// exported are objectives of every shape that has rules.
func exported() []*slo.Objective {
	shapes := []func(*slo.Objective){
		nil,
		func(o *slo.Objective) {
			query(o, `sum(rate(x_total{a="}[",code=~'5..'}[{{.window}}]))`, `sum(rate(x_total[{{ .window }}]))`)
		},
		func(o *slo.Objective) {
			query(o, `sum(increase(x_total{code="500"}[5m])) + sum(increase(y_total[5m]))`, `sum by (a) (z_count)`)
		},
		func(o *slo.Objective) {
			o.Indicator.Good, o.Indicator.Bad = &slo.Source{Query: `sum(h_bucket{le="0.3"})`}, nil
			o.Indicator.Total.Query = "sum(h_count) without (pod)"
		},
		func(o *slo.Objective) { o.GroupBy = []string{"handler", "method"} },
		func(o *slo.Objective) {
			o.Method, o.SliceWindow, o.SliceTarget = slo.Timeslices, time.Minute, slo.MustDecimal("0.95")
		},
		func(o *slo.Objective) { o.Method, o.SliceWindow = slo.RatioTimeslices, 5*time.Minute },
		func(o *slo.Objective) {
			o.Indicator = slo.Indicator{Kind: slo.Threshold, Op: slo.LessOrEqual, Threshold: slo.MustDecimal("0.3"), Value: &slo.Source{Query: "histogram_quantile(0.9, rate(h_bucket[5m]))"}}
		},
		func(o *slo.Objective) {
			o.Window = slo.Window{Calendar: &slo.Calendar{Unit: slo.Month, Count: 1, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}}
			o.AlertPolicies = []slo.AlertPolicy{{Name: "p", Severity: "page", After: 5 * time.Minute, NoData: true, Breaching: true,
				Conditions: []slo.BurnCondition{{Factor: slo.MustDecimal("14.4"), Inclusive: true, Long: time.Hour}}}}
		},
		func(o *slo.Objective) { o.Window, o.AlertPolicies = slo.Days(7), nil },
	}
	var out []*slo.Objective
	for i, s := range shapes {
		o := counters(s)
		o.Name = fmt.Sprintf("o%d", i)
		out = append(out, o)
	}
	return out
}

func TestExportedRulesAreRules(t *testing.T) {
	objectives := exported()
	for _, file := range []string{"sloth.yaml", "pyrra.yaml"} {
		data, err := os.ReadFile(filepath.Join("testdata", "export", file))
		if err != nil {
			t.Fatal(err)
		}
		defs := slo.Decode(slo.File{Name: file, Data: data})
		if err := defs.Err(); err != nil || len(defs.Objectives) == 0 {
			t.Fatalf("%s: %v", file, err)
		}
		objectives = append(objectives, defs.Objectives...)
	}
	rules, err := slo.ExportPrometheus(objectives)
	if err != nil {
		t.Fatal(err)
	}
	if out := promtool(t, "check", "rules", write(t, t.TempDir(), "rules.yml", string(rules))); !strings.Contains(out, "SUCCESS") {
		t.Errorf("%s", out)
	}
}

// What has no counts is refused rather than exported wrong.
func TestExportRefuses(t *testing.T) {
	for want, change := range map[string]func(*slo.Objective){
		"is no counter":             func(o *slo.Objective) { o.Indicator.Counter = false; query(o, "errors", "requests") },
		"looks back with offset":    func(o *slo.Objective) { query(o, "a_total offset 5m", "b_total") },
		"subquery":                  func(o *slo.Objective) { query(o, "rate(a_total[5m:1m])", "b_total") },
		"selects no counter":        func(o *slo.Objective) { query(o, "1", "b_total") },
		`"@", which cannot`:         func(o *slo.Objective) { query(o, "a_total @ 5", "b_total") },
		"is computed elsewhere":     func(o *slo.Objective) { o.Indicator = slo.Indicator{Kind: slo.Raw, Value: &slo.Source{Query: "r"}} },
		"counted by Flyball's own ": func(o *slo.Objective) { o.Indicator = slo.Indicator{Kind: slo.Availability} },
	} {
		if _, err := slo.ExportPrometheus([]*slo.Objective{counters(change)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// The vectors of docs/slo.md, by Prometheus itself: rules under promtool's clock.
func TestExportedRulesComputeTheVectors(t *testing.T) {
	dir := t.TempDir()
	rules, err := slo.ExportPrometheus([]*slo.Objective{counters(nil)})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "rules.yml", string(rules))
	const own = `{slo="shop/prod/availability", slo_service="shop", slo_name="availability", slo_environment="prod"}`
	alert := func(window, at string, fires bool) string {
		want := map[bool]int{true: 1, false: 0}[fires]
		return fmt.Sprintf("      - {eval_time: %s, expr: 'clamp_max(count(ALERTS{slo_window=%q, alertstate=\"firing\"}), 1) or vector(0)', exp_samples: [{labels: '{}', value: %d}]}\n", at, window, want)
	}
	value := func(at, expr, labels, v string) string {
		return fmt.Sprintf("      - {eval_time: %s, expr: '%s', exp_samples: [{labels: '%s', value: %s}]}\n", at, expr, labels, v)
	}
	// A day of 600 requests a minute without errors, then what a case says.
	series := func(scrape, bad, good string) string {
		return fmt.Sprintf("    interval: %s\n    input_series:\n      - {series: 'http_requests_total{code=\"500\"}', values: '%s'}\n      - {series: 'http_requests_total{code=\"200\"}', values: '%s'}\n    promql_expr_test:\n", scrape, bad, good)
	}
	suite := "rule_files: [rules.yml]\nevaluation_interval: 1m\ngroup_eval_order: ['slo steps shop/prod/availability', 'slo shop/prod/availability']\ntests:\n" +
		// Total outage after a quiet hour: 51.84 s, so not at the minute it begins but at the next;
		// the 5 m window resets 4 min 55.68 s after its end.
		"  - name: total outage of ten minutes\n" + series("30s", "0+0x120 300+300x19 6000+0x100", "0+300x120 36000+0x19 36300+300x100") +
		alert("1h", "60m", false) + alert("1h", "61m", true) + alert("1h", "70m", true) + alert("1h", "74m", true) + alert("1h", "75m", false) +
		// e = 10 %: 8 min 38.4 s.
		"  - name: one in ten\n" + series("30s", "0+0x120 30+30x100", "0+300x120 36270+270x100") +
		alert("1h", "68m", false) + alert("1h", "69m", true) +
		// e = 1 %: 14.4 never fires, 6 over 6 h after 216 min.
		"  - name: one in a hundred\n" + series("1m", "0+0x360 6+6x400", "0+600x360 216594+594x400") +
		value("420m", `slo:error_ratio:1h`, `slo:error_ratio:1h`+own, "0.01") +
		alert("1h", "650m", false) + alert("6h", "570m", false) + alert("6h", "580m", true)
	promtool(t, "test", "rules", write(t, dir, "vectors.yml", suite))
	// One failure in ten requests an hour is a burn rate of 100 and no alert. (promtool
	// evaluates all groups alike; at five minutes every step is recorded once.)
	suite = "rule_files: [rules.yml]\nevaluation_interval: 5m\ngroup_eval_order: ['slo steps shop/prod/availability', 'slo shop/prod/availability']\ntests:\n" +
		"  - name: low traffic\n" + series("1m", "0+0x60 1+0x60", "0+0x5 1+0x5 2+0x5 3+0x5 4+0x5 5+0x5 6+0x5 7+0x5 8+0x5 9+0x120") +
		value("65m", "round(slo:error_ratio:1h / 0.001)", own, "100") + alert("1h", "65m", false) + alert("1d", "100m", false)
	promtool(t, "test", "rules", write(t, dir, "floor.yml", suite))
}

// The weighting trap: quiet slots of a hundred good events and one of a million,
// half of them bad. Event-weighted it is 26.83 % over a month; here the same over
// a day of 288 steps.
func TestExportedRulesWeighEvents(t *testing.T) {
	dir := t.TempDir()
	o := counters(func(o *slo.Objective) { o.Window, o.AlertPolicies = slo.Days(1), nil })
	rules, err := slo.ExportPrometheus([]*slo.Objective{o})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "rules.yml", string(rules))
	want := 500_000.0 / (287*100 + 1_000_000)
	suite := fmt.Sprintf(`rule_files: [rules.yml]
evaluation_interval: 5m
group_eval_order: ['slo steps shop/prod/availability', 'slo shop/prod/availability']
tests:
  - interval: 5m
    input_series:
      - {series: 'http_requests_total{code="500"}', values: '0+0x100 500000+0x200'}
      - {series: 'http_requests_total{code="200"}', values: '0+100x100 510000+100x200'}
    promql_expr_test:
      - {eval_time: 1440m, expr: 'abs(slo:error_ratio:1d - %.12f) < bool 0.000000001', exp_samples: [{labels: '{slo="shop/prod/availability", slo_service="shop", slo_name="availability", slo_environment="prod"}', value: 1}]}
      - {eval_time: 1440m, expr: 'sum_over_time(slo:events:increase5m[1d])', exp_samples: [{labels: '{slo="shop/prod/availability", slo_service="shop", slo_name="availability", slo_environment="prod"}', value: 1028700}]}
`, want)
	promtool(t, "test", "rules", write(t, dir, "trap.yml", suite))
}

// Every expression of the dashboard is PromQL over series that the rules record,
// and the document has what Grafana asks of a dashboard.
func TestExportedDashboard(t *testing.T) {
	objectives := exported()
	raw, err := slo.ExportGrafana(objectives)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title         string
		SchemaVersion int
		Templating    struct {
			List []struct{ Name, Type, Query string }
		}
		Panels []struct {
			ID         int
			Type       string
			Title      string
			GridPos    *struct{ X, Y, W, H int }
			Datasource *struct{ Type, UID string }
			Targets    []struct {
				RefID, Expr string
				Datasource  struct{ Type, UID string }
			}
		}
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.SchemaVersion < 36 || len(d.Templating.List) != 1 || d.Templating.List[0].Type != "datasource" || d.Templating.List[0].Query != "prometheus" {
		t.Errorf("%+v", d)
	}
	rules, err := slo.ExportPrometheus(objectives)
	if err != nil {
		t.Fatal(err)
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	check := "groups:\n  - name: dashboard\n    rules:\n"
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.GridPos == nil || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q at %+v", p.ID, p.Title, p.GridPos)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := cells[at]; other != "" {
					t.Fatalf("panels %q and %q overlap", other, p.Title)
				}
				cells[at] = p.Title
			}
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" || target.RefID == "" {
				t.Errorf("%q: %+v", p.Title, target)
			}
			name, _, _ := strings.Cut(strings.TrimPrefix(target.Expr, "1 - "), "{")
			if strings.HasPrefix(name, "slo:") && !strings.Contains(string(rules), "record: "+name+"\n") {
				t.Errorf("%q shows %s, which no rule records", p.Title, name)
			}
			check += fmt.Sprintf("      - {record: r%d, expr: %q}\n", len(check), target.Expr)
		}
	}
	promtool(t, "check", "rules", write(t, t.TempDir(), "dashboard.yml", check))
}

// OpenSLO that is exported reads back to the same model.
func TestExportedOpenSLOReadsBack(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for i := range 500 {
		objectives := randomObjectives(r, i)
		text, err := slo.ExportOpenSLO(objectives)
		if err != nil {
			t.Fatal(err)
		}
		defs := slo.Decode(slo.File{Name: "x.yaml", Data: text})
		if err := defs.Err(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if len(defs.Objectives) != len(objectives) {
			t.Fatalf("%d objectives of %d\n%s", len(defs.Objectives), len(objectives), text)
		}
		for j, got := range defs.Objectives {
			if want := objectives[j]; !reflect.DeepEqual(plain(got), plain(want)) {
				t.Fatalf("read back as\n%+v\nwas\n%+v\n%s", plain(got), plain(want), text)
			}
		}
		again, err := slo.ExportOpenSLO(defs.Objectives)
		if err != nil || string(again) != string(text) {
			a, b := strings.Split(string(text), "\n"), strings.Split(string(again), "\n")
			for k := range min(len(a), len(b)) {
				if a[k] != b[k] {
					t.Fatalf("exported again, it differs: %v\nline %d: %s\nbefore:  %s\n%s", err, k+1, b[k], a[k], text)
				}
			}
			t.Fatalf("exported again, it differs: %v\n%s\n%s", err, text, again)
		}
	}
}

// plain is an objective without its place in a file, and with its policies as
// the rules they make: which conditions share a policy does not matter.
func plain(o *slo.Objective) map[string]any {
	c := *o
	c.File, c.Line, c.AlertPolicies = "", 0, nil
	if len(c.Labels) == 0 {
		c.Labels = nil
	}
	if c.Window.Calendar != nil {
		calendar := *c.Window.Calendar
		calendar.Start = calendar.Start.UTC()
		c.Window.Calendar = &calendar
	}
	var rules []string
	for _, r := range o.Rules() {
		p := *r.Policy
		p.Conditions = nil
		rules = append(rules, fmt.Sprintf("%+v %+v", p, *r.Condition))
	}
	sources := map[string]slo.Source{}
	for name, s := range map[string]*slo.Source{"good": c.Indicator.Good, "bad": c.Indicator.Bad, "total": c.Indicator.Total, "value": c.Indicator.Value} {
		if s != nil {
			of := *s
			of.Line, of.Column = 0, 0
			sources[name] = of
		}
	}
	c.Indicator.Good, c.Indicator.Bad, c.Indicator.Total, c.Indicator.Value = nil, nil, nil, nil
	window := c.Window.String()
	c.Window = slo.Window{}
	return map[string]any{"objective": c, "window": window, "rules": rules, "sources": sources}
}

func randomObjectives(r *rand.Rand, i int) []*slo.Objective {
	pick := func(n int) bool { return r.IntN(n) == 0 }
	source := func() *slo.Source {
		q := []string{"sum(a_total)", `b{code=~"5..", x: "y"}`, "multi\nline # not a comment", "'quoted': yes", "0", "true", "{{.window}}"}[r.IntN(7)] + fmt.Sprint(r.IntN(1e6))
		s := &slo.Source{Type: "prometheus", Query: q, Spec: map[string]string{"query": q}}
		if pick(3) {
			s.Ref = "main"
		}
		return s
	}
	zones := []string{"UTC", "Europe/Zurich", "America/New_York"}
	o := &slo.Objective{Service: "s", Name: fmt.Sprintf("o-%d", i), Target: slo.Decimal(500_000_000 + r.Int64N(499_999_999)), Method: slo.Occurrences, Weight: slo.One, Window: slo.Days(1 + r.IntN(90))}
	if pick(2) {
		o.Environment, o.DisplayName, o.Description, o.Labels = "prod", "Nice: name", "on\noff", map[string]string{"team": "yes", "n": "1"}
	}
	if pick(4) {
		zone, _ := time.LoadLocation(zones[r.IntN(3)])
		o.Window = slo.Window{Calendar: &slo.Calendar{Unit: []slo.Unit{slo.Day, slo.Week, slo.Month, slo.Quarter, slo.Year}[r.IntN(5)], Count: 1 + r.IntN(2), Start: time.Date(2026, 1, 1+r.IntN(31), r.IntN(24), 0, 0, 0, zone)}}
	}
	if pick(4) {
		o.Traffic = 1 + r.Int64N(1e9)
	}
	if pick(4) {
		o.GroupBy = []string{"a", "b"}
	}
	switch r.IntN(5) {
	case 0:
		o.Indicator = slo.Indicator{Kind: slo.Ratio, Counter: pick(2), Good: source(), Total: source()}
	case 1:
		o.Indicator = slo.Indicator{Kind: slo.Ratio, Counter: pick(2), Bad: source(), Total: source()}
	case 2:
		o.Indicator = slo.Indicator{Kind: slo.Raw, Failures: pick(2), Value: source()}
	default:
		o.Indicator = slo.Indicator{Kind: slo.Threshold, Op: []slo.Op{slo.Less, slo.LessOrEqual, slo.Greater, slo.GreaterOrEqual}[r.IntN(4)], Threshold: slo.Decimal(r.Int64N(5e9)), Value: source()}
	}
	o.Indicator.Name = fmt.Sprintf("sli-%d", i)
	switch r.IntN(4) {
	case 0:
		o.Method, o.SliceWindow, o.SliceTarget = slo.Timeslices, time.Duration(1+r.IntN(60))*30*time.Second, slo.Decimal(1+r.Int64N(1e9))
	case 1:
		o.Method, o.SliceWindow = slo.RatioTimeslices, time.Duration(1+r.IntN(60))*time.Minute
	}
	o.AlertPolicies = randomPolicies(r, o)
	if !pick(5) {
		return []*slo.Objective{o}
	}
	parts := []*slo.Objective{o}
	for range 1 + r.IntN(3) {
		part := *o
		part.Indicator = slo.Indicator{Kind: slo.Ratio, Name: "part", Counter: true, Good: source(), Total: source()}
		part.Target = o.Target + slo.Decimal(r.Int64N(int64(slo.One-o.Target))) // so that the factors can fire
		parts = append(parts, &part)
	}
	for j, p := range parts {
		p.Composite, p.DisplayName, p.Weight = o.Name, "", slo.Decimal(1+r.Int64N(5e9))
		if pick(2) {
			p.DisplayName = fmt.Sprintf("Part %d", j)
		}
	}
	name := o.Name
	for j, p := range parts {
		p.Composite, p.Name = name, fmt.Sprintf("%s-%d", name, j+1)
		if p.DisplayName != "" {
			p.Name = fmt.Sprintf("%s-part-%d", name, j)
		}
	}
	return parts
}

func randomPolicies(r *rand.Rand, o *slo.Objective) []slo.AlertPolicy {
	floor := r.Int64N(5)
	if r.IntN(2) == 0 {
		policies := slo.DefaultPolicies(o.Method)
		if r.IntN(2) == 0 {
			for i := range policies {
				policies[i].MinBad = floor
			}
		}
		// The default factors cannot all fire at a low target; as they are not
		// written, that is a warning.
		return policies
	}
	var out []slo.AlertPolicy
	for i := range r.IntN(3) {
		largest := slo.LargestFactor(o.Target)
		p := slo.AlertPolicy{Name: fmt.Sprintf("p%d", i), Severity: []string{"page", "ticket"}[r.IntN(2)], After: time.Duration(r.IntN(10)) * time.Minute, MinBad: floor, NoData: r.IntN(2) == 0, Breaching: true, Resolved: r.IntN(2) == 0}
		for range 1 + r.IntN(2) {
			long := time.Duration(1+r.IntN(100)) * time.Minute
			c := slo.BurnCondition{Factor: 1 + slo.Decimal(r.Int64N(int64(largest)-1)), Inclusive: r.IntN(2) == 0, Long: long}
			if r.IntN(2) == 0 {
				c.Short = max(long/12/time.Minute*time.Minute, time.Minute)
			}
			p.Conditions = append(p.Conditions, c)
		}
		if r.IntN(2) == 0 {
			p.Targets, p.Notify = []string{"mail", "chat"}, []string{"mail", "mail:ops@example.org"}
		}
		out = append(out, p)
	}
	return out
}

// The proxy's own indicators are exported as sources of type flyball.
func TestExportedProxyIndicators(t *testing.T) {
	for want, i := range map[string]slo.Indicator{
		"query: good":              {Kind: slo.Availability, Name: "a"},
		"query: faster than 300ms": {Kind: slo.Latency, Name: "l", Op: slo.LessOrEqual, Threshold: slo.MustDecimal("0.3")},
	} {
		o := counters(func(o *slo.Objective) { o.Indicator = i })
		text, err := slo.ExportOpenSLO([]*slo.Objective{o})
		if err != nil || !strings.Contains(string(text), want) || !strings.Contains(string(text), "type: flyball") {
			t.Errorf("%v\n%s", err, text)
		}
		if defs := slo.Decode(slo.File{Name: "x.yaml", Data: text}); defs.Err() != nil || !slices.Equal(defs.Objectives[0].GroupBy, o.GroupBy) {
			t.Errorf("%v\n%s", defs.Findings, text)
		}
	}
}

// Whatever a query says, exporting it neither fails badly nor goes on for ever.
func FuzzExportPrometheus(f *testing.F) {
	for _, q := range []string{"sum(a_total)", `rate(x{a="\"}"}[{{.window}}])`, "a offset 5m", "by(", "{", "'", "1e3*a_total", "sum(a_total) by (x", "π_total"} {
		f.Add(q, q)
	}
	f.Fuzz(func(t *testing.T, bad, total string) {
		text, err := slo.ExportPrometheus([]*slo.Objective{counters(func(o *slo.Objective) { query(o, bad, total) })})
		if err == nil && len(text) > 200*(len(bad)+len(total))+20_000 {
			t.Errorf("%d bytes from %q and %q", len(text), bad, total)
		}
	})
}
