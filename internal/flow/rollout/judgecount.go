package rollout

import (
	"context"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/judge"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// expressions are the PromQL of a question: total and bad of the baseline, then
// of the canary; nil when there is none.
func (in AskInput) expressions() []string {
	all := []string{in.BaselineTotal, in.BaselineBad, in.CanaryTotal, in.CanaryBad}
	if strings.Join(all, "") == "" {
		return nil
	}
	return all
}

// count takes the counts of both arms from a metrics source, minute by minute,
// as objectives are counted. A minute of which one arm is not known is left
// out: no data is neither good nor bad.
func (c *Court) count(ctx context.Context, in AskInput) (bins []PostedBin, notes []string, err error) {
	for i, e := range in.expressions() {
		if strings.TrimSpace(e) == "" {
			name := []string{"baseline_total", "baseline_bad", "canary_total", "canary_bad"}[i]
			return nil, nil, problem.New(problem.Invalid, "judge.show", "%s is missing: a canary is judged by four expressions", name).
				WithNext("send baseline_total, baseline_bad, canary_total and canary_bad")
		}
	}
	if in.Window == 0 {
		in.Window = defaultAsked
	}
	if in.Window < time.Minute || in.Window > mostAsked {
		return nil, nil, problem.New(problem.Invalid, "judge.show", "a window of %s is not between 1m and %s", in.Window, mostAsked).WithNext("send how long the canary has been there, such as 2h")
	}
	if c.Counter == nil {
		return nil, nil, problem.New(problem.Unavailable, "judge.show", "this server asks no metrics sources")
	}
	counter, err := c.Counter(ctx, in.Source)
	if err != nil {
		return nil, nil, err
	}
	now := c.Clock.Now()
	until := now.Truncate(metric.SlotWidth)
	span := metric.Span{From: until.Add(-in.Window.Truncate(metric.SlotWidth)), Until: until, Now: now}
	pair := func(total, bad string) metric.Indicator {
		return metric.Indicator{Kind: metric.Ratio, Total: total, Bad: bad, Counter: true, Sum: true}
	}
	counts, err := counter.Count(ctx, []metric.Indicator{pair(in.BaselineTotal, in.BaselineBad), pair(in.CanaryTotal, in.CanaryBad)}, span)
	if err != nil {
		return nil, nil, err
	}
	arms := [2]map[int64]judge.Count{}
	for i, count := range counts {
		if count.Err != nil {
			return nil, nil, count.Err
		}
		arms[i] = slots(count)
		for _, f := range count.Findings {
			notes = append(notes, []string{"baseline", "canary"}[i]+": "+f.Message)
		}
	}
	return joined(arms[0], arms[1], span), notes, nil
}

// slots are the minutes of a count that will not change any more.
func slots(c metric.Count) map[int64]judge.Count {
	out := map[int64]judge.Count{}
	for _, g := range c.Groups {
		for _, s := range g.Slots {
			if c.Settled.IsZero() || s.At < c.Settled.UnixMilli() {
				out[s.At] = judge.Count{Requests: s.Total, Bad: s.Total - s.Good}
			}
		}
	}
	return out
}

// joined are the minutes of which both arms are known.
func joined(baseline, canary map[int64]judge.Count, span metric.Span) []PostedBin {
	bins := []PostedBin{}
	for at := span.From; at.Before(span.Until); at = at.Add(metric.SlotWidth) {
		b, known := baseline[at.UnixMilli()]
		c, also := canary[at.UnixMilli()]
		if known && also {
			bins = append(bins, PostedBin{Time: Moment{at.UTC()}, Baseline: b, Canary: c})
		}
	}
	return bins
}
