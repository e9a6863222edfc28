package slo

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// ruleStep is how often the increases that long windows are added up from are
// recorded, and the time each of them is about.
const ruleStep = 5 * time.Minute

// directWindow is the longest window that is computed from the counters
// themselves rather than from recorded steps.
const directWindow = time.Hour

type ruleFile struct {
	Groups []ruleGroup `yaml:"groups"`
}

type ruleGroup struct {
	Name     string `yaml:"name"`
	Interval string `yaml:"interval"`
	Rules    []rule `yaml:"rules"`
}

type rule struct {
	Record      string            `yaml:"record,omitempty"`
	Alert       string            `yaml:"alert,omitempty"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

// ExportPrometheus writes objectives as recording and alerting rules of
// Prometheus. They are event-weighted: a ratio over a window is bad events over
// events, both added up over the window first. Windows of more than an hour are
// sums of recorded increases, each over one step, so that every event counts
// once. An objective whose indicator cannot be counted in PromQL is refused.
func ExportPrometheus(objectives []*Objective) ([]byte, error) {
	var f ruleFile
	for _, o := range objectives {
		e, err := newRuleExport(o)
		if err != nil {
			return nil, err
		}
		f.Groups = append(f.Groups, e.steps(), e.windows())
	}
	var b strings.Builder
	b.WriteString("# Written by flyball slo export; event-weighted: increases are added up before they are divided.\n")
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(f); err != nil {
		return nil, err
	}
	return []byte(b.String()), enc.Close()
}

// ruleExport is one objective on its way to rules.
type ruleExport struct {
	o          *Objective
	id         string // label slo
	step       time.Duration
	bad, total func(window time.Duration) string
}

func newRuleExport(o *Objective) (*ruleExport, error) {
	e := &ruleExport{o: o, id: o.ID(), step: ruleStep}
	if o.sliced() {
		e.step = o.SliceWindow
	}
	i := o.Indicator
	switch i.Kind {
	case Ratio:
		return e, e.ratio()
	case Threshold:
		return e, e.threshold()
	case Raw:
		return nil, exportRefused("objective %s is a ratio that is computed elsewhere: without counts its parts cannot be weighted by events", o.ID())
	}
	return nil, problem.New(problem.Invalid, "slo.export", "objective %s is counted by Flyball's own proxy, not by a Prometheus", o.ID()).
		WithNext("export an objective whose indicator is written in PromQL")
}

func (e *ruleExport) ratio() error {
	i := e.o.Indicator
	total, err := parseCounting(i.Total.Query, i.Counter, e.o.GroupBy)
	if err != nil {
		return err
	}
	part, sign := i.Bad, ""
	if part == nil {
		part, sign = i.Good, "T - "
	}
	some, err := parseCounting(part.Query, i.Counter, e.o.GroupBy)
	if err != nil {
		return err
	}
	e.total = total.count
	e.bad = func(w time.Duration) string {
		// A series of failures may not be there until the first of them.
		t := total.count(w)
		n := fmt.Sprintf("(%s or %s * 0)", some.count(w), t)
		if sign != "" {
			return fmt.Sprintf("clamp_min(%s - %s, 0)", t, n)
		}
		return n
	}
	return nil
}

// threshold counts a sample a minute as an event.
func (e *ruleExport) threshold() error {
	i := e.o.Indicator
	query := strings.TrimSpace(i.Value.Query)
	if strings.Contains(query, "{{") {
		return exportRefused("the query %q is a template", clip(query, 120))
	}
	add := "sum"
	if len(e.o.GroupBy) > 0 {
		add = "sum by (" + strings.Join(e.o.GroupBy, ", ") + ") "
	}
	op := map[Op]string{Less: ">=", LessOrEqual: ">", Greater: "<=", GreaterOrEqual: "<"}[i.Op]
	within := func(w time.Duration) string { return promDuration(w-time.Second) + ":1m" }
	e.total = func(w time.Duration) string {
		return fmt.Sprintf("%s(count_over_time((%s)[%s]))", add, query, within(w))
	}
	e.bad = func(w time.Duration) string {
		return fmt.Sprintf("%s(sum_over_time(((%s) %s bool %s)[%s]))", add, query, op, i.Threshold, within(w))
	}
	return nil
}

// steps records the increases of one step, each step once.
func (e *ruleExport) steps() ruleGroup {
	bad, total := e.bad(e.step), e.total(e.step)
	switch e.o.Method {
	case Timeslices:
		bad = fmt.Sprintf("(%s / (%s > 0)) > bool %s", bad, total, One-e.o.SliceTarget)
		total = fmt.Sprintf("(%s > 0) * 0 + 1", total)
	case RatioTimeslices:
		bad = fmt.Sprintf("%s / (%s > 0)", bad, total)
		total = fmt.Sprintf("(%s > 0) * 0 + 1", total)
	}
	return ruleGroup{Name: "slo steps " + e.id, Interval: promDuration(e.step), Rules: []rule{
		{Record: e.metric("bad"), Expr: bad, Labels: e.labels()},
		{Record: e.metric("events"), Expr: total, Labels: e.labels()},
	}}
}

// metric is the name of a recorded step.
func (e *ruleExport) metric(what string) string {
	return "slo:" + what + ":increase" + promDuration(e.step)
}

func (e *ruleExport) labels() map[string]string {
	l := map[string]string{"slo": e.id, "slo_service": e.o.Service, "slo_name": e.o.Name}
	if e.o.Environment != "" {
		l["slo_environment"] = e.o.Environment
	}
	return l
}

// over is a count over a window: of the counters themselves, or of recorded
// steps. A range of Prometheus 2 includes both its ends; a second less of it
// holds as many steps as the window does.
func (e *ruleExport) over(w time.Duration, what string, direct func(time.Duration) string) string {
	if !e.o.sliced() && w <= directWindow {
		return direct(w)
	}
	return fmt.Sprintf("sum_over_time(%s{slo=%q}[%s])", e.metric(what), e.id, promDuration(w-time.Second))
}

func (e *ruleExport) badOver(w time.Duration) string { return e.over(w, "bad", e.bad) }

// windows records the error ratio of every window, what is left of the budget,
// and alerts.
func (e *ruleExport) windows() ruleGroup {
	o := e.o
	g := ruleGroup{Name: "slo " + e.id, Interval: "1m"}
	for _, w := range e.lengths() {
		expr := fmt.Sprintf("%s / (%s > 0)", e.badOver(w), e.over(w, "events", e.total))
		g.Rules = append(g.Rules, rule{Record: "slo:error_ratio:" + promDuration(w), Expr: expr, Labels: e.labels()})
	}
	g.Rules = append(g.Rules, rule{Record: "slo:objective:ratio", Expr: fmt.Sprintf("vector(%s)", o.Target), Labels: e.labels()})
	if w := o.Window.Rolling; w > 0 {
		remaining := fmt.Sprintf("1 - slo:error_ratio:%s{slo=%q} / %s", promDuration(w), e.id, o.BudgetRatio())
		if o.sliced() { // the slices of the whole window are known from the start
			remaining = fmt.Sprintf("1 - %s / %s", e.badOver(w), exactDecimal(o.BudgetRatio(), Decimal(w/o.SliceWindow)*One))
		}
		g.Rules = append(g.Rules, rule{Record: "slo:error_budget_remaining:ratio", Expr: remaining, Labels: e.labels()})
	}
	for _, r := range o.Rules() {
		g.Rules = append(g.Rules, e.alert(r))
		if r.Policy.NoData {
			g.Rules = append(g.Rules, e.absent(r))
		}
	}
	return g
}

// lengths are the windows of the objective and of its alerts, shortest first.
func (e *ruleExport) lengths() []time.Duration {
	var out []time.Duration
	if w := e.o.Window.Rolling; w > 0 {
		out = append(out, w)
	}
	for _, r := range e.o.Rules() {
		out = append(out, r.Condition.Long)
		if r.Condition.Short > 0 {
			out = append(out, r.Condition.Short)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (e *ruleExport) alert(r Rule) rule {
	c, op := r.Condition, ">"
	if c.Inclusive {
		op = ">="
	}
	limit := exactDecimal(c.Factor, e.o.BudgetRatio())
	exceeds := func(w time.Duration) string {
		return fmt.Sprintf("slo:error_ratio:%s{slo=%q} %s %s", promDuration(w), e.id, op, limit)
	}
	expr := exceeds(c.Long)
	if c.Short > 0 {
		expr += " and " + exceeds(c.Short)
	}
	if r.Policy.MinBad > 0 {
		matching := "on ()"
		if len(e.o.GroupBy) > 0 {
			matching = "on (" + strings.Join(e.o.GroupBy, ", ") + ")"
		}
		expr = fmt.Sprintf("(%s) and %s (%s >= %d)", expr, matching, e.badOver(c.Long), r.Policy.MinBad)
	}
	labels := e.labels()
	labels["severity"], labels["slo_policy"] = r.Policy.Severity, r.Policy.Name
	labels["slo_window"] = FormatDuration(c.Long) // tells the conditions of a policy apart
	out := rule{Alert: "ErrorBudgetBurn", Expr: expr, Labels: labels, Annotations: map[string]string{
		"summary":     fmt.Sprintf("%s burns its error budget: %s", e.id, c),
		"description": fmt.Sprintf("The error ratio is {{ $value | humanizePercentage }} over %s; above %s the budget of %s goes %s times too fast.", FormatDuration(c.Long), limit, e.o.Window, c.Factor),
	}}
	if r.Policy.After > 0 {
		out.For = promDuration(r.Policy.After)
	}
	return out
}

func (e *ruleExport) absent(r Rule) rule {
	labels := e.labels()
	labels["severity"], labels["slo_policy"], labels["slo_window"] = r.Policy.Severity, r.Policy.Name, FormatDuration(r.Condition.Long)
	return rule{Alert: "ErrorBudgetUnknown", Expr: fmt.Sprintf("absent(slo:error_ratio:%s{slo=%q})", promDuration(r.Condition.Long), e.id),
		Labels: labels, Annotations: map[string]string{"summary": fmt.Sprintf("nothing has reported to %s for %s", e.id, FormatDuration(r.Condition.Long))}}
}

// exactDecimal is a × b with all its decimals.
func exactDecimal(a, b Decimal) string {
	n := new(big.Int).Mul(big.NewInt(int64(a)), big.NewInt(int64(b)))
	s := fmt.Sprintf("%019d", n)
	whole, fraction := s[:len(s)-18], strings.TrimRight(s[len(s)-18:], "0")
	if fraction == "" {
		return whole
	}
	return whole + "." + fraction
}
