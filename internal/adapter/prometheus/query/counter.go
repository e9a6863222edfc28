package query

import (
	"context"
	"sync"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// Counter counts indicators on one engine.
type Counter struct{ engine metric.Engine }

// NewCounter counts on an engine.
func NewCounter(engine metric.Engine) *Counter { return &Counter{engine: engine} }

// Plan implements metric.Counter.
func (c *Counter) Plan(i metric.Indicator) (metric.Plan, error) {
	p, err := newPlan(i)
	if err != nil {
		return metric.Plan{}, err
	}
	return p.public(), nil
}

// MaxSpan is the longest span of one Count.
const MaxSpan = 10_000 * metric.SlotWidth

// Count implements metric.Counter.
func (c *Counter) Count(ctx context.Context, indicators []metric.Indicator, span metric.Span) ([]metric.Count, error) {
	if !span.From.Equal(span.From.Truncate(metric.SlotWidth)) || !span.Until.Equal(span.Until.Truncate(metric.SlotWidth)) || span.Until.Sub(span.From) > MaxSpan {
		return nil, problem.New(problem.Invalid, "metric.count", "a span of counts begins and ends at whole minutes and has at most %s", MaxSpan)
	}
	read := stretch{span.From.UnixMilli() - reach, min(span.Until.UnixMilli()+reach, span.Now.UnixMilli())}
	works := make([]*work, len(indicators))
	var selectors []selector
	for i, ind := range indicators {
		w := &work{span: span, read: read, groups: map[string]*group{}, found: map[string]bool{}}
		works[i] = w
		p, err := newPlan(ind)
		if err != nil {
			w.out.Err = err
			continue
		}
		w.plan, w.out.Plan = p, p.public()
		selectors = append(selectors, p.selectors()...)
	}
	answers := fetch(ctx, c.engine, selectors, read)
	known := newEvidence()
	for _, text := range sortedTexts(answers) {
		known.add(answers[text].series)
	}
	begun := map[family]bool{}
	for _, w := range works {
		w.answers, w.evidence = answers, known
		if w.counts() {
			w.measureInterval()
			w.begun(begun)
		}
	}
	asked, err := known.ask(ctx, c.engine, begun, read)
	if err != nil {
		return nil, err
	}
	out := make([]metric.Count, len(works))
	var all sync.WaitGroup
	turn := make(chan struct{}, parallel)
	for i, w := range works {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			w.run(ctx, c.engine)
			out[i] = w.out
		})
	}
	all.Wait()
	if len(out) > 0 {
		out[0].Samples += asked
	}
	return out, ctx.Err()
}

// run counts, or evaluates.
func (w *work) run(ctx context.Context, engine metric.Engine) {
	switch {
	case w.out.Err != nil:
	case !w.plan.exact:
		w.evaluate(ctx, engine)
	case w.plan.indicator.Kind == metric.Measured:
		w.measure()
	default:
		w.count()
	}
}

// counts reports whether samples of counters are counted.
func (w *work) counts() bool {
	return w.plan != nil && w.plan.exact && w.plan.indicator.Kind != metric.Measured
}
