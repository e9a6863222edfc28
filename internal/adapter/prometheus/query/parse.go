package query

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// Parse reads an expression; {{.window}} and Grafana's interval variables stand
// for five minutes. The error is Invalid, with the place.
func Parse(expr string) (parser.Expr, error) {
	if strings.TrimSpace(expr) == "" {
		return nil, wrong("", metric.CodeEmpty, "there is no PromQL expression")
	}
	if len(expr) > metric.MaxQuery {
		return nil, wrong("", metric.CodeSyntax, "the expression is longer than %d bytes", metric.MaxQuery)
	}
	out, err := parser.NewParser(parser.Options{}).ParseExpr(windows.ReplaceAllString(expr, "5m"))
	if err != nil {
		return nil, wrong("", metric.CodeSyntax, "this is not PromQL: %s", err)
	}
	return out, nil
}

var windows = regexp.MustCompile(`\{\{-?\s*\.window\s*-?\}\}|\$__(rate_)?interval\b|\$\{__(rate_)?interval\}`)

// Matchers reads an instant selector and gives it in canonical form, as text
// and as matchers.
func Matchers(text string) (string, []*labels.Matcher, error) {
	s, err := parseSelector(text)
	return s.text, s.matchers, err
}

func parseSelector(text string) (selector, error) {
	expr, err := Parse(text)
	if err != nil {
		return selector{}, err
	}
	s, reason := plain(bare(expr))
	if reason != "" {
		return selector{}, wrong("", metric.CodeSyntax, "%s", reason)
	}
	return s, nil
}

// wrong is an Invalid problem of one finding.
func wrong(field, code, format string, args ...any) error {
	f := problem.Finding{Field: field, Severity: "error", Code: code, Message: fmt.Sprintf(format, args...)}
	return (&problem.Error{Kind: problem.Invalid, Op: "metric.plan", Message: "the indicator cannot be counted", Findings: []problem.Finding{f}}).
		WithNext("correct the query; promtool promql format QUERY shows how Prometheus reads it")
}

// part is what of a sample is counted.
type part int

const (
	value        part = iota // a float sample
	observations             // of a native histogram
	below                    // observations of at most a limit
)

// term is one selector of a sum.
type term struct {
	selector selector
	negative bool
	part     part
	limit    float64 // of below
	loose    bool    // its series are not added up by the expression
	without  bool
	by       []string // labels that an aggregation keeps (or drops: without)
}

// sum is what an expression counts: its terms added up.
type sum []term

func (s sum) negated() sum {
	out := slices.Clone(s)
	for i := range out {
		out[i].negative = !out[i].negative
	}
	return out
}

// bare removes parentheses.
func bare(e parser.Expr) parser.Expr {
	for {
		switch p := e.(type) {
		case *parser.ParenExpr:
			e = p.Expr
		case *parser.StepInvariantExpr:
			e = p.Expr
		default:
			return e
		}
	}
}

// plain is the selector that an expression is, or why it is none.
func plain(e parser.Expr) (selector, string) {
	v, ok := e.(*parser.VectorSelector)
	switch {
	case !ok:
		return selector{}, fmt.Sprintf("%s is no plain selector", short(e))
	case v.OriginalOffset != 0 || v.OriginalOffsetExpr != nil || v.Timestamp != nil || v.StartOrEnd != 0:
		return selector{}, "a selector is moved in time by offset or @"
	case v.Anchored || v.Smoothed:
		return selector{}, "a selector is anchored or smoothed"
	}
	return newSelector(v.LabelMatchers), ""
}

func short(e parser.Expr) string {
	s := e.String()
	if len(s) > 60 {
		s = s[:57] + "…"
	}
	return s
}

// counting takes an expression apart into the counters it adds up. The reason
// says why that is not possible. counters: selectors without rate are counters.
func counting(e parser.Expr, counters bool) (sum, string) {
	switch x := bare(e).(type) {
	case *parser.AggregateExpr:
		return aggregated(x, counters)
	case *parser.BinaryExpr:
		return combined(x, counters)
	case *parser.Call:
		return called(x)
	case *parser.VectorSelector:
		s, reason := plain(x)
		if reason == "" && !counters && !countedName(s.metricName()) {
			reason = fmt.Sprintf("%s is neither under rate or increase nor declared a counter", short(x))
		}
		return sum{{selector: s, loose: true}}, reason
	default:
		return nil, fmt.Sprintf("%s is no sum of counters", short(x))
	}
}

// countedName reports whether a metric is a counter by the names that
// OpenMetrics gives to counters.
func countedName(name string) bool {
	return strings.HasSuffix(name, "_total") || strings.HasSuffix(name, "_count") || strings.HasSuffix(name, "_bucket")
}

func aggregated(x *parser.AggregateExpr, counters bool) (sum, string) {
	if x.Op != parser.SUM {
		return nil, fmt.Sprintf("%s is no sum", x.Op)
	}
	out, reason := counting(x.Expr, counters)
	for i := range out {
		out[i].loose, out[i].by, out[i].without = false, x.Grouping, x.Without
	}
	return out, reason
}

// called reads rate and increase, and histogram_count of them.
func called(x *parser.Call) (sum, string) {
	switch x.Func.Name {
	case "rate", "increase":
		m, ok := bare(x.Args[0]).(*parser.MatrixSelector)
		if !ok {
			return nil, fmt.Sprintf("%s is over a subquery", x.Func.Name)
		}
		s, reason := plain(m.VectorSelector)
		return sum{{selector: s, loose: true}}, reason
	case "histogram_count":
		out, reason := counting(x.Args[0], false)
		for i := range out {
			out[i].part = observations
		}
		return out, reason
	}
	return nil, fmt.Sprintf("%s is more than rate or increase", x.Func.Name)
}

// combined reads a + b, a - b, a or vector(0), and the share of a histogram
// times its count.
func combined(x *parser.BinaryExpr, counters bool) (sum, string) {
	switch x.Op {
	case parser.LOR:
		if !zero(x.RHS) {
			return nil, "the right side of or is not zero"
		}
		return counting(x.LHS, counters)
	case parser.ADD, parser.SUB:
		if m := x.VectorMatching; m == nil || m.Card != parser.CardOneToOne || len(m.Include) > 0 {
			return nil, fmt.Sprintf("%s adds more than counters", short(x))
		}
		left, reason := counting(x.LHS, counters)
		if reason != "" {
			return nil, reason
		}
		right, reason := counting(x.RHS, counters)
		if x.Op == parser.SUB {
			right = right.negated()
		}
		return append(slices.Clone(left), right...), reason
	case parser.MUL:
		return fractionOf(x)
	}
	return nil, fmt.Sprintf("%s is no sum of counters", short(x))
}

// fractionOf reads histogram_fraction(0, 0.3, h) * histogram_count(h).
func fractionOf(x *parser.BinaryExpr) (sum, string) {
	no := fmt.Sprintf("%s is a product", short(x))
	f, ok := bare(x.LHS).(*parser.Call)
	c, also := bare(x.RHS).(*parser.Call)
	if ok && also && f.Func.Name == "histogram_count" {
		f, c = c, f
	}
	if !ok || !also || f.Func.Name != "histogram_fraction" || c.Func.Name != "histogram_count" || len(f.Args) != 3 {
		return nil, no
	}
	lower, upper, constant := number(f.Args[0]), number(f.Args[1]), bare(f.Args[2]).String() == bare(c.Args[0]).String()
	if !constant || !(lower <= 0) || math.IsNaN(upper) {
		return nil, no
	}
	out, reason := called(c)
	for i := range out {
		out[i].part, out[i].limit = below, upper
	}
	return out, reason
}

// number is a literal, or NaN.
func number(e parser.Expr) float64 {
	switch x := bare(e).(type) {
	case *parser.NumberLiteral:
		return x.Val
	case *parser.UnaryExpr:
		if x.Op == parser.SUB {
			return -number(x.Expr)
		}
		return number(x.Expr)
	}
	return math.NaN()
}

// zero reports whether an expression is nothing but zeroes: vector(0), or
// something times 0.
func zero(e parser.Expr) bool {
	switch x := bare(e).(type) {
	case *parser.Call:
		return x.Func.Name == "vector" && number(x.Args[0]) == 0
	case *parser.BinaryExpr:
		return x.Op == parser.MUL && (number(x.LHS) == 0 || number(x.RHS) == 0)
	}
	return false
}

// quotient reads a/b and 1 - a/b.
func quotient(e parser.Expr) (dividend, divisor parser.Expr, complement, ok bool) {
	x, isBinary := bare(e).(*parser.BinaryExpr)
	if !isBinary {
		return nil, nil, false, false
	}
	switch x.Op {
	case parser.LOR:
		if zero(x.RHS) {
			return quotient(x.LHS)
		}
	case parser.SUB:
		if number(x.LHS) == 1 {
			a, b, c, ok := quotient(x.RHS)
			return a, b, !c, ok
		}
	case parser.DIV:
		if m := x.VectorMatching; m != nil && m.Card == parser.CardOneToOne {
			return x.LHS, x.RHS, false, true
		}
	}
	return nil, nil, false, false
}

// buckets reports whether a term asks for buckets of a classic histogram.
func (t term) buckets() bool {
	return slices.ContainsFunc(t.selector.matchers, func(m *labels.Matcher) bool { return m.Name == labels.BucketLabel })
}
