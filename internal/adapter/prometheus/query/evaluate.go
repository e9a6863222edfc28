package query

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/flyball-dev/flyball/internal/port/metric"
)

// shareScale is how many events stand for a slot of which only a ratio is known.
const shareScale = 1_000_000

// evaluate asks the engine for the value of the expressions at the end of each
// slot: what an indicator that is no sum of counters is approximated by.
func (w *work) evaluate(ctx context.Context, engine metric.Engine) {
	w.out.Settled = earlier(w.span.Until, w.span.Now)
	i := w.plan.indicator
	switch i.Kind {
	case metric.Ratio:
		total := w.values(ctx, engine, i.Total)
		part := w.values(ctx, engine, i.Good+i.Bad)
		w.give(func(slot int64) (float64, float64, bool) {
			all, ok := total[slot]
			some := part[slot] // none: an expression without a value counts nothing
			if i.Bad != "" {
				some = all - some
			}
			return some, all, ok
		})
	case metric.Share:
		ratios := w.values(ctx, engine, i.Value)
		w.give(func(slot int64) (float64, float64, bool) {
			r, ok := ratios[slot]
			if i.Failures {
				r = 1 - r
			}
			return r * shareScale, shareScale, ok
		})
	default:
		measured := w.values(ctx, engine, i.Value)
		w.give(func(slot int64) (float64, float64, bool) {
			v, ok := measured[slot]
			if compares(i.Op, v, i.Threshold) {
				return 1, 1, ok
			}
			return 0, 1, ok
		})
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// values are an expression's by slot. A slot without a value, or whose value is
// NaN, which PromQL gives for nothing divided by nothing, is a gap.
func (w *work) values(ctx context.Context, engine metric.Engine, text string) map[int64]float64 {
	expr, err := Parse(text)
	if err != nil || w.out.Err != nil {
		return nil
	}
	per := 1.0
	if w.plan.indicator.Kind == metric.Ratio {
		per = weight(expr)
	}
	first, last := w.span.From.Add(metric.SlotWidth), earlier(w.span.Until, w.out.Settled)
	if last.Before(first) {
		return nil
	}
	r, err := engine.QueryRange(ctx, expr.String(), metric.Steps{From: first, To: last, Step: metric.SlotWidth})
	switch {
	case err != nil:
		w.out.Err = err
		return nil
	case r.Partial:
		w.partial()
		return nil
	case len(r.Series) > 1:
		w.finding("error", metric.CodeManySeries, "%s gives %d series where one is meant; write sum(…) around it. Its slots are gaps", short(expr), len(r.Series))
		return nil
	case len(r.Series) == 0:
		w.finding("warning", metric.CodeNoSeries, "%s has no value; its slots are gaps", short(expr))
		return nil
	}
	out := map[int64]float64{}
	for _, p := range r.Series[0].Points {
		w.out.Samples++
		if math.IsInf(p.Value, 0) {
			w.finding("error", metric.CodeNotANumber, "%s is infinite at %s; such slots are gaps", short(expr), clockOf(p.At))
		} else if !math.IsNaN(p.Value) {
			out[p.At-slotWidth] = p.Value * per
		}
	}
	return out
}

// weight is what a value has to be multiplied by to be events of a minute: 60
// for one per second, a part for an increase over a longer range.
func weight(expr parser.Expr) float64 {
	out := 1.0
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if c, ok := n.(*parser.Call); ok && out == 1 {
			switch name := c.Func.Name; {
			case name == "rate" || name == "irate" || name == "deriv":
				out = metric.SlotWidth.Seconds()
			case name == "increase" || name == "delta" || name == "sum_over_time":
				if m, ok := bare(c.Args[0]).(*parser.MatrixSelector); ok && m.Range > 0 {
					out = float64(metric.SlotWidth) / float64(m.Range)
				}
			}
		}
		return nil
	})
	return out
}

// give adds the slots that have a value.
func (w *work) give(of func(slot int64) (good, total float64, ok bool)) {
	g := metric.Group{Labels: metric.Labels{}}
	for slot := w.from(); slot < w.until(); slot += slotWidth {
		good, total, ok := of(slot)
		switch {
		case !ok:
			continue
		case good < 0 || total < 0:
			w.finding("error", metric.CodeNegative, "at %s the counts are below zero (%g of %g); such slots are gaps", clockOf(slot), good, total)
			continue
		case good > total*(1+1e-9):
			w.finding("error", metric.CodeExceeds, "at %s there are %g good events of %g; such slots are gaps", clockOf(slot), good, total)
			continue
		}
		s := metric.Slot{At: slot, Good: int64(math.Round(good)), Total: int64(math.Round(total))}
		s.Good = min(s.Good, s.Total)
		g.Slots = append(g.Slots, s)
	}
	if len(g.Slots) > 0 {
		w.out.Groups = []metric.Group{g}
	}
}
