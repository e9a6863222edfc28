package query

import (
	"errors"
	"slices"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// plan is an indicator taken apart.
type plan struct {
	indicator metric.Indicator
	exact     bool
	reason    string
	good, bad sum // one of them
	total     sum
	measured  selector // of Measured
}

// newPlan reads an indicator.
func newPlan(i metric.Indicator) (*plan, error) {
	p := &plan{indicator: i, exact: true}
	switch i.Kind {
	case metric.Ratio:
		return p, p.ratio()
	case metric.Share:
		return p, p.share()
	case metric.Measured:
		return p, p.measure()
	case metric.Faster:
		return p, p.faster()
	}
	return nil, problem.New(problem.Invalid, "metric.plan", "%q is no kind of indicator", i.Kind)
}

func (p *plan) approximate(reason string) {
	if reason != "" && p.exact {
		p.exact, p.reason = false, reason
	}
}

func (p *plan) ratio() error {
	i := p.indicator
	total, err := p.read("total", i.Total)
	if (i.Good == "") == (i.Bad == "") {
		return wrong("good", metric.CodeEmpty, "a ratio needs either good or bad beside total")
	}
	field, text := "good", i.Good
	if i.Bad != "" {
		field, text = "bad", i.Bad
	}
	other, errOther := p.read(field, text)
	if err != nil || errOther != nil {
		return both(err, errOther)
	}
	p.total = p.counts(total)
	if i.Bad != "" {
		p.bad = p.counts(other)
	} else {
		p.good = p.counts(other)
	}
	return nil
}

// both is the findings of two errors, either of which may be nil.
func both(a, b error) error {
	var first, second *problem.Error
	switch {
	case a == nil:
		return b
	case errors.As(a, &first) && errors.As(b, &second):
		first.Findings = append(first.Findings, second.Findings...)
	}
	return a
}

func (p *plan) share() error {
	expr, err := p.read("value", p.indicator.Value)
	if err != nil {
		return err
	}
	dividend, divisor, complement, ok := quotient(expr)
	if !ok {
		p.approximate("the ratio is not one sum of counters divided by another")
		return nil
	}
	part := p.counts(dividend)
	p.total = p.counts(divisor)
	if complement != p.indicator.Failures {
		p.bad = part
	} else {
		p.good = part
	}
	return nil
}

func (p *plan) measure() error {
	expr, err := p.read("value", p.indicator.Value)
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"lt", "lte", "gt", "gte"}, p.indicator.Op) {
		return wrong("op", metric.CodeSyntax, "%q compares nothing; write lt, lte, gt or gte", p.indicator.Op)
	}
	s, reason := plain(bare(expr))
	if reason != "" {
		reason += ": it is evaluated once a minute instead of compared sample by sample"
	}
	p.approximate(reason)
	p.measured = s
	return nil
}

func (p *plan) faster() error {
	expr, err := p.read("value", p.indicator.Value)
	if err != nil {
		return err
	}
	all, reason := counting(expr, true)
	if reason != "" {
		return wrong("value", metric.CodeSyntax, "the native histograms cannot be counted: %s; write a selector", reason)
	}
	p.total, p.good = slices.Clone(all), slices.Clone(all)
	for i := range all {
		p.total[i].part = observations
		p.good[i].part, p.good[i].limit = below, p.indicator.Threshold
	}
	return nil
}

// read parses one of the indicator's expressions.
func (p *plan) read(field, text string) (parser.Expr, error) {
	expr, err := Parse(text)
	var e *problem.Error
	if errors.As(err, &e) {
		for i := range e.Findings {
			e.Findings[i].Field = field
		}
	}
	return expr, err
}

// counts is what an expression counts; the plan is approximate without.
func (p *plan) counts(expr parser.Expr) sum {
	out, reason := counting(expr, p.indicator.Counter)
	p.approximate(reason)
	return out
}

// sums are those of a ratio: good or bad, and total.
func (p *plan) sums() []sum {
	if p.good != nil {
		return []sum{p.good, p.total}
	}
	return []sum{p.bad, p.total}
}

// selectors are those whose samples are read.
func (p *plan) selectors() []selector {
	if !p.exact {
		return nil
	}
	if p.indicator.Kind == metric.Measured {
		return []selector{p.measured}
	}
	var out []selector
	for _, s := range p.sums() {
		for _, t := range s {
			out = append(out, t.selector)
		}
	}
	return out
}

// public is the plan in the port's words.
func (p *plan) public() metric.Plan {
	out := metric.Plan{Exact: p.exact, Reason: p.reason}
	for _, s := range p.selectors() {
		if !slices.Contains(out.Selectors, s.text) {
			out.Selectors = append(out.Selectors, s.text)
		}
	}
	return out
}

// readWith reports whether a selector's samples are among those that another
// of the plan reads.
func (p *plan) readWith(s selector) bool {
	return slices.ContainsFunc(p.selectors(), func(o selector) bool { return o.text != s.text && o.covers(s) })
}
