package feed

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// ListInput asks where counts come from.
type ListInput struct {
	Service string `json:"service,omitempty" doc:"only objectives of this service"`
	Limit   int    `json:"limit,omitempty" doc:"most rows, 1 to 1000; 100 if left out"`
	After   string `json:"after,omitempty" doc:"the next of the page before"`
}

// Row is one indicator and how it is read.
type Row struct {
	Indicator  string            `json:"indicator" doc:"what is counted, shared by objectives on the same queries"`
	Objectives []string          `json:"objectives" doc:"keys of the objectives on it"`
	Source     string            `json:"source" doc:"name of the data source"`
	Exact      bool              `json:"exact" doc:"stored samples are counted; otherwise expressions are evaluated once a minute"`
	Reason     string            `json:"reason,omitempty" doc:"why it is not exact" table:"-"`
	Selectors  []string          `json:"selectors,omitempty" doc:"the series that are read" table:"-"`
	From       time.Time         `json:"from,omitzero" doc:"history is read back to here"`
	Until      time.Time         `json:"until,omitzero" doc:"and up to here"`
	Wanted     time.Time         `json:"wanted,omitzero" doc:"as far back as the objectives look" table:"-"`
	Samples    int64             `json:"samples" doc:"stored samples read since the server started" table:"-"`
	Error      string            `json:"error,omitempty" doc:"why it could not be read"`
	Next       string            `json:"next_step,omitempty" doc:"what to do about it" table:"-"`
	Findings   []problem.Finding `json:"findings,omitempty" doc:"what is wrong with the data" table:"-"`
}

// SuggestInput says where to look for metrics.
type SuggestInput struct {
	Source string    `json:"source" doc:"name of a DataSource, or built-in for the server's own metrics store (default: where objectives are counted that name none)"`
	Days   int       `json:"days" doc:"how many days to look back, 1 to 90 (default 7)"`
	Until  time.Time `json:"until" doc:"look back from here (default: now)"`
	Limit  int       `json:"most" doc:"at most this many, those with most events first, 1 to 500 (default 20)"`
}

func (f *Feeder) suggest(ctx context.Context, in SuggestInput) (slo.Suggestions, error) {
	c, primary, err := f.named(ctx, in.Source)
	if err != nil {
		return slo.Suggestions{}, err
	}
	engine, err := f.Metrics(c)
	if err != nil {
		return slo.Suggestions{}, err
	}
	o := slo.SuggestOptions{Now: in.Until, Days: in.Days, Limit: in.Limit}
	if o.Now.IsZero() {
		o.Now = f.Clock.Now()
	}
	if !primary {
		o.Source = c.Name
	}
	list, err := slo.Suggest(ctx, engine, o)
	if err == nil && len(list) == 0 {
		err = slo.NothingToSuggest(c.Name)
	}
	return slo.Suggestions{Items: list}, err
}

// Rows is a page of them.
type Rows struct {
	Items []Row  `json:"items"`
	Next  string `json:"next,omitempty" doc:"pass it as after for the page that follows"`
}

// Operations are what users can ask of the feeding.
func (f *Feeder) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ListInput, Rows]{
			Noun: "slo", Verb: "sources", Summary: "List where objectives' counts come from, how far they are read and what is wrong with them", Role: operation.Viewer,
			Handle: func(_ context.Context, _ operation.Caller, in ListInput) (Rows, error) { return f.list(in), nil },
		}),
		operation.Define(operation.Spec[SuggestInput, slo.Suggestions]{
			Noun: "slo", Verb: "suggest", Summary: "Propose objectives for the metrics of a source: the server's own store, or a Prometheus it reads", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in SuggestInput) (slo.Suggestions, error) {
				return f.suggest(ctx, in)
			},
		}),
	}
}

func (f *Feeder) list(in ListInput) Rows {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := Rows{Items: []Row{}}
	limit := in.Limit
	if limit <= 0 || limit > 1000 {
		limit = 100
	}
	for _, id := range slices.Sorted(maps.Keys(f.lines)) {
		r := f.lines[id].row(id)
		if id <= in.After || in.Service != "" && !slices.ContainsFunc(r.Objectives, func(key string) bool { return strings.HasPrefix(key, in.Service+".") }) {
			continue
		}
		if len(out.Items) == limit {
			out.Next = out.Items[limit-1].Indicator
			break
		}
		out.Items = append(out.Items, r)
	}
	return out
}

func (l *line) row(id string) Row {
	r := Row{Indicator: id, Source: l.source.Name, Exact: l.plan.Exact, Reason: l.plan.Reason, Selectors: l.plan.Selectors,
		From: l.progress.low, Until: later(l.progress.top, l.progress.high), Wanted: l.fed.From, Samples: l.samples, Findings: slices.Clone(l.findings)}
	for _, o := range l.fed.Objectives {
		r.Objectives = append(r.Objectives, o.Key())
	}
	if l.err != nil {
		r.Error, r.Next = l.err.Error(), problem.NextOf(l.err)
	}
	return r
}

// Origin tells an objective's page where the counts of its indicator come from.
func (f *Feeder) Origin(indicator string) (slo.Origin, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.lines[indicator]
	if l == nil {
		return slo.Origin{}, false
	}
	r := l.row(indicator)
	return slo.Origin{Source: r.Source, Exact: r.Exact, Reason: r.Reason, From: r.From, Until: r.Until, Error: r.Error, Findings: r.Findings}, true
}
