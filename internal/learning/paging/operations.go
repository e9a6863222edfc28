package paging

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Desk answers what pages teach.
type Desk struct {
	Reader projection.Reader
	Clock  clock.Clock
	// Look answers what the cases do not say, as of what a reader shows.
	Look func(ctx context.Context, r projection.Reader) Lookup
}

// ShowInput bounds a report.
type ShowInput struct {
	From time.Time `json:"from" doc:"pages from then on (default: 28 days before to)"`
	To   time.Time `json:"to" doc:"pages before then (default: now)"`
	Team string    `json:"team" doc:"of this team's services only"`
}

// Bounds of one report.
const (
	period   = 28 * 24 * time.Hour
	longest  = 400 * 24 * time.Hour
	maxCases = 20_000
	// early is how long before its last pages an incident may have been opened.
	early = 7 * 24 * time.Hour
)

// Operations are what users can ask.
func (d *Desk) Operations() []operation.Operation {
	return []operation.Operation{operation.Define(operation.Spec[ShowInput, Report]{
		Noun: "paging", Verb: "show", Summary: "Show what pages teach: answers, people and nights, noise, and whom they reached", Role: operation.Viewer,
		Help:   "A page led to nothing when its incident is over and nobody did more than answer and resolve it.\n\n  flyball paging show --team payments --from 2026-08-01T00:00:00Z",
		Handle: func(ctx context.Context, _ operation.Caller, in ShowInput) (Report, error) { return d.Show(ctx, in) },
	})}
}

// Show makes a report.
func (d *Desk) Show(ctx context.Context, in ShowInput) (Report, error) {
	if in.To.IsZero() {
		in.To = d.Clock.Now().UTC()
		if at, ok := operation.At(ctx); ok {
			in.To = at
		}
	}
	if in.From.IsZero() {
		in.From = in.To.Add(-period)
	}
	if !in.From.Before(in.To) || in.To.Sub(in.From) > longest {
		return Report{}, problem.New(problem.Invalid, "paging.show", "from %s to %s is no period of at most 400 days", in.From.Format(time.RFC3339), in.To.Format(time.RFC3339))
	}
	r := operation.Reader(ctx, d.Reader)
	cases, err := d.cases(ctx, r, in)
	if err != nil {
		return Report{}, err
	}
	return Weigh(cases, in.From, in.To, d.Look(ctx, r)), nil
}

// cases reads the incidents, newest first, back to the period's beginning.
func (d *Desk) cases(ctx context.Context, r projection.Reader, in ShowInput) (out []Case, err error) {
	f := projection.Filter{Index: "all", Value: "yes", Limit: projection.MaxPage, Newest: true}
	for {
		page, next, err := projection.List[Case](ctx, r, ProjectionName, f)
		if err != nil {
			return nil, err
		}
		for _, c := range page {
			if c.Opened.Before(in.From.Add(-early)) {
				return out, nil
			}
			if in.Team == "" || c.Team == in.Team {
				out = append(out, c)
			}
		}
		if len(out) > maxCases {
			return nil, problem.New(problem.Invalid, "paging.show", "there are more than %d incidents in that time", maxCases).WithNext("ask for a shorter time, or for one team")
		}
		if next == "" {
			return out, nil
		}
		f.After = next
	}
}

// Tell is the report as people read it.
func (r Report) Tell() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s to %s: %d pages in %d incidents\n", r.From.UTC().Format("2006-01-02"), r.To.UTC().Format("2006-01-02"), r.Pages, r.Incidents)
	if r.Answer.N > 0 {
		fmt.Fprintf(&b, "answered after %s (median of %d; 90 %% within %s)\n", brief(r.Answer.P50), r.Answer.N, brief(r.Answer.P90))
	}
	if r.Resolve.N > 0 {
		fmt.Fprintf(&b, "resolved after %s (median of %d; 90 %% within %s)\n", brief(r.Resolve.P50), r.Resolve.N, brief(r.Resolve.P90))
	}
	if r.Over > 0 {
		fmt.Fprintf(&b, "%d of %d pages led to nothing (%.0f %%)\n", r.Noisy, r.Over, 100*float64(r.Noisy)/float64(r.Over))
	}
	if r.Caused > 0 {
		fmt.Fprintf(&b, "%d of %d pages caused by a change reached the team whose change it was (%.0f %%)\n", r.Reached, r.Caused, 100*float64(r.Reached)/float64(r.Caused))
	}
	for _, p := range r.People {
		name := p.Person
		if name == "" {
			name = "(webhooks)"
		}
		fmt.Fprintf(&b, "  %-20s %3d pages, %.1f a week; %d at night, in %d nights; %d led to nothing\n", name, p.Pages, p.PerWeek, p.Night, p.Nights, p.Noise)
	}
	for _, n := range r.Noise {
		fmt.Fprintf(&b, "  noise: %d of %d pages of %s, charged to %s\n", n.Pages, n.Of, n.Rule, n.Owner)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// brief is a number of seconds as people say it.
func brief(seconds float64) string {
	switch d := time.Duration(seconds * float64(time.Second)); {
	case d < 90*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 90*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	default:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
}
