package metrics

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// Desk is what the operations work with.
type Desk struct {
	Scraper   metric.Scraper // nil: this server keeps no metrics
	Holding   metric.Holding
	Retention time.Duration
	MaxBytes  int64
}

// ListInput bounds a list of targets.
type ListInput struct {
	Down  bool   `json:"down" doc:"only those whose last scrape failed, or that were not scraped yet"`
	After string `json:"after" doc:"cursor from the page before"`
	Limit int    `json:"limit" doc:"at most this many, 1 to 1000 (default 100)"`
}

// Target is one target and how it is.
type Target struct {
	Job       string    `json:"job" doc:"name of the ScrapeTarget; flyball for Flyball's own programs"`
	Target    string    `json:"target" doc:"host:port"`
	URL       string    `json:"url" table:"-"`
	State     string    `json:"state" doc:"up, down, or new before the first scrape"`
	Last      time.Time `json:"last,omitzero" doc:"when it was scraped last"`
	Seconds   Seconds   `json:"seconds" doc:"how long that took"`
	LastError string    `json:"last_error,omitempty" doc:"why it is down"`
}

// Seconds is a short time: a number of seconds in JSON, 0.5 ms for people.
type Seconds float64

// String is the time in milliseconds below one second.
func (s Seconds) String() string {
	switch {
	case s == 0:
		return "–"
	case s < 1:
		return strconv.FormatFloat(1000*float64(s), 'g', 2, 64) + " ms"
	}
	return strconv.FormatFloat(float64(s), 'f', 1, 64) + " s"
}

// ShowInput asks for what the store holds.
type ShowInput struct{}

// Held is what the metrics store holds.
type Held struct {
	Series        uint64  `json:"series" doc:"that had samples within the last hours"`
	Bytes         int64   `json:"bytes" doc:"on disk"`
	MaxBytes      int64   `json:"max_bytes" doc:"beyond which the oldest samples go"`
	RetentionDays float64 `json:"retention_days" doc:"how long samples are kept"`
	Targets       int     `json:"targets" doc:"that are scraped"`
	Down          int     `json:"down" doc:"of them, whose last scrape failed"`
}

// Tell is the store in lines.
func (h Held) Tell() string {
	return fmt.Sprintf("%d series, %.1f of %.0f MB on disk, kept %.0f days\n%d targets are scraped, %d of them are down",
		h.Series, float64(h.Bytes)/1e6, float64(h.MaxBytes)/1e6, h.RetentionDays, h.Targets, h.Down)
}

// Operations are what users can ask.
func (d *Desk) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ListInput, operation.Page[Target]]{
			Noun: "scrape", Verb: "list", Summary: "List the targets that are scraped, and how they are", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ListInput) (operation.Page[Target], error) {
				return d.list(ctx, in)
			},
		}),
		operation.Define(operation.Spec[ShowInput, Held]{
			Noun: "metrics", Verb: "show", Summary: "Show what the metrics store holds", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, _ ShowInput) (Held, error) { return d.show(ctx) },
		}),
	}
}

func (d *Desk) targets(ctx context.Context) ([]metric.Target, error) {
	if d.Scraper == nil {
		return nil, problem.New(problem.Unavailable, "metrics", "this server keeps no metrics").WithNext("start one with flyball up")
	}
	return d.Scraper.Targets(ctx)
}

func (d *Desk) list(ctx context.Context, in ListInput) (operation.Page[Target], error) {
	targets, err := d.targets(ctx)
	out := operation.Page[Target]{Items: []Target{}}
	limit := operation.Limit(in.Limit, 100, 1000)
	for _, t := range targets {
		cursor := t.Job + " " + t.Address
		if strings.Compare(cursor, in.After) <= 0 && in.After != "" || in.Down && t.Up {
			continue
		}
		if len(out.Items) == limit {
			last := out.Items[limit-1]
			out.Next = last.Job + " " + last.Target
			break
		}
		out.Items = append(out.Items, shown(t))
	}
	return out, err
}

func shown(t metric.Target) Target {
	state := "down"
	switch {
	case t.Last.IsZero():
		state = "new"
	case t.Up:
		state = "up"
	}
	return Target{Job: t.Job, Target: t.Address, URL: t.URL, State: state, Last: t.Last.UTC(), Seconds: Seconds(t.Took.Seconds()), LastError: t.LastError}
}

func (d *Desk) show(ctx context.Context) (Held, error) {
	targets, err := d.targets(ctx)
	if err != nil {
		return Held{}, err
	}
	series, bytes := d.Holding.Holds()
	h := Held{Series: series, Bytes: bytes, MaxBytes: d.MaxBytes, RetentionDays: d.Retention.Hours() / 24, Targets: len(targets)}
	for _, t := range targets {
		if !t.Up && !t.Last.IsZero() {
			h.Down++
		}
	}
	return h, nil
}
