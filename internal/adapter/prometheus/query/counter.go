package query

import "github.com/flyball-dev/flyball/internal/port/metric"

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
