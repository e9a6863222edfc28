package support

import (
	"context"
	"fmt"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Desk answers who is on call for what, and why.
type Desk struct {
	Reader projection.Reader
	Clock  clock.Clock
}

// ListInput bounds the list.
type ListInput struct {
	Service string `json:"service" doc:"of this service only"`
	After   string `json:"after" doc:"cursor from the page before"`
	Limit   int    `json:"limit" doc:"at most this many, 1 to 500 (default 100)"`
}

// Row is one service in one environment with its agreement.
type Row struct {
	Service     string    `json:"service"`
	Environment string    `json:"environment"`
	Agreement   string    `json:"agreement"`
	Team        string    `json:"team" doc:"that is on call"`
	HandedBack  bool      `json:"handed_back" doc:"on-call is with the team that develops it"`
	Since       time.Time `json:"since,omitzero" doc:"on-call moved last"`
	Reason      string    `json:"reason,omitempty" doc:"why on-call moved last"`
	Pages       int       `json:"pages" doc:"in the last seven days"`
	Broken      string    `json:"broken,omitempty" doc:"how the agreement is broken now"`
	Returns     time.Time `json:"returns,omitzero" doc:"when on-call returns if the agreement is kept"`
}

// Operations are what users can ask.
func (d *Desk) Operations() []operation.Operation {
	return []operation.Operation{operation.Define(operation.Spec[ListInput, operation.Page[Row]]{
		Noun: "support", Verb: "list", Summary: "List the services that another team is on call for, and which were handed back", Role: operation.Viewer, Handle: d.list,
	})}
}

func (d *Desk) list(ctx context.Context, _ operation.Caller, in ListInput) (operation.Page[Row], error) {
	r := operation.Reader(ctx, d.Reader)
	out := operation.Page[Row]{Items: []Row{}}
	keys, err := active(ctx, r)
	if err != nil {
		return out, err
	}
	now, most := d.Clock.Now(), operation.Limit(in.Limit, 100, 500)
	if at, ok := operation.At(ctx); ok {
		now = at
	}
	for _, key := range keys {
		if key <= in.After {
			continue
		}
		row, ok, err := d.row(ctx, r, key, now)
		if err != nil {
			return out, err
		}
		if !ok || in.Service != "" && row.Service != in.Service {
			continue
		}
		if len(out.Items) == most {
			last := out.Items[most-1]
			out.Next = Key(last.Service, last.Environment)
			break
		}
		out.Items = append(out.Items, row)
	}
	return out, nil
}

func (d *Desk) row(ctx context.Context, r projection.Reader, key string, now time.Time) (row Row, ok bool, err error) {
	place, found := cut(key)
	if !found {
		return row, false, nil
	}
	standing, _, err := projection.Get[Standing](ctx, r, ProjectionName, key)
	if err != nil {
		return row, false, err
	}
	row = Row{Service: place[0], Environment: place[1], HandedBack: standing.HandedBack, Since: standing.Since, Reason: standing.Reason, Pages: lately(standing.Pages, now)}
	a, err := For(ctx, r, row.Service, row.Environment)
	if err != nil || a == nil {
		return row, false, err
	}
	row.Agreement, row.Team = a.Name, a.Team
	if standing.HandedBack {
		s, err := catalog.GetService(ctx, r, row.Service)
		if err != nil {
			return row, false, err
		}
		row.Team = s.Team
	}
	var kept time.Time
	if row.Broken, kept = a.breach(standing, now); standing.HandedBack && !kept.IsZero() {
		row.Returns = kept.Add(a.Stable)
	}
	return row, true, nil
}

// cut parts SERVICE.ENVIRONMENT; an environment's name has no dot.
func cut(key string) ([2]string, bool) {
	for i := len(key) - 1; i >= 0; i-- {
		if key[i] == '.' {
			return [2]string{key[:i], key[i+1:]}, true
		}
	}
	return [2]string{}, false
}

// Header names the columns of the list.
func (r Row) Header() []string {
	return []string{"SERVICE", "ENV", "ON CALL", "PAGES 7d", "AGREEMENT", "STATE"}
}

// Rows is the row as a line of the list.
func (r Row) Rows() [][]string {
	state := "kept"
	switch {
	case r.HandedBack && !r.Returns.IsZero():
		state = "handed back; returns " + r.Returns.UTC().Format("2006-01-02 15:04 MST") + " if it is kept"
	case r.HandedBack:
		state = "handed back: " + r.Broken
	}
	return [][]string{{r.Service, r.Environment, r.Team, fmt.Sprint(r.Pages), r.Agreement, state}}
}
