package query

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// parallel bounds the requests that one Count has open on an engine.
const parallel = 4

func milli(t int64) time.Time { return time.UnixMilli(t).UTC() }

// answer is what the engine gave for a selector.
type answer struct {
	series  []metric.Series
	partial bool
	err     error
}

// fetch reads the samples of selectors in (from − 1 ms, until], in few requests. The
// error of one request is the error of the selectors that it serves.
func fetch(ctx context.Context, engine metric.Engine, all []selector, span stretch) map[string]answer {
	list := requests(all)
	out := make(map[string]answer, len(all))
	var mu sync.Mutex
	var wg sync.WaitGroup
	turn := make(chan struct{}, parallel)
	for _, r := range list {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			got := ask(ctx, engine, r, span)
			mu.Lock()
			defer mu.Unlock()
			for text, a := range got {
				out[text] = a
			}
		})
	}
	wg.Wait()
	return out
}

// ask makes one request and hands its series to those it serves. An answer
// that is too large together is asked for one by one.
func ask(ctx context.Context, engine metric.Engine, r request, span stretch) map[string]answer {
	out := make(map[string]answer, len(r.serves))
	result, err := engine.Samples(ctx, r.selector.text, milli(span.from), milli(span.until+1))
	if problem.KindOf(err) == problem.Invalid && len(r.serves) > 1 {
		for _, s := range r.serves {
			for text, a := range ask(ctx, engine, request{s, []selector{s}}, span) {
				out[text] = a
			}
		}
		return out
	}
	for _, s := range r.serves {
		a := answer{err: err, partial: result.Partial}
		for _, series := range result.Series {
			if len(r.serves) == 1 || s.matches(series.Labels) {
				a.series = append(a.series, series)
			}
		}
		out[s.text] = a
	}
	return out
}

// sortedTexts are the selectors of answers, so that what is made of them does
// not depend on the order of a map.
func sortedTexts(answers map[string]answer) []string {
	return slices.Sorted(maps.Keys(answers))
}
