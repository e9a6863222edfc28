package maintenance

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Windows reads every window that is declared, and those scheduled that are not
// over before since, by name.
func Windows(ctx context.Context, r projection.Reader, since time.Time) ([]Window, error) {
	specs, entries, err := catalog.List[WindowSpec](ctx, r, KindWindow)
	if err != nil {
		return nil, err
	}
	var out []Window
	for i, s := range specs {
		name := entries[i].Metadata.Name
		rec, _, err := projection.Get[Record](ctx, r, ProjectionName, name)
		if err != nil {
			return nil, err
		}
		out = append(out, Window{Name: name, Spec: s, File: entries[i].File, Ends: rec.Ends})
	}
	f := projection.Filter{Index: "scheduled", Value: "yes", Limit: projection.MaxPage, Newest: true}
	for {
		records, next, err := projection.List[Record](ctx, r, ProjectionName, f)
		if err != nil {
			return nil, err
		}
		for _, rec := range records {
			if rec.Until.Before(since) {
				next = "" // those after it ended before
				break
			}
			if !slices.ContainsFunc(out, func(w Window) bool { return w.Name == rec.Window }) {
				out = append(out, Window{Name: rec.Window, Spec: rec.Spec, By: rec.By, Ends: rec.Ends})
			}
		}
		if next == "" {
			slices.SortFunc(out, func(a, b Window) int { return cmp.Compare(a.Name, b.Name) })
			return out, nil
		}
		f.After = next
	}
}

// List reads the times that windows are on, were or will be, and that touch
// [from, to), at most MaxSpan, in order of their beginning.
func List(ctx context.Context, r projection.Reader, from, to, now time.Time) ([]Occurrence, error) {
	if !from.Before(to) || to.Sub(from) > MaxSpan {
		return nil, problem.New(problem.Invalid, "maintenance.list", "from %s to %s is no time of at most two years", from.Format(stamp), to.Format(stamp)).
			WithNext("give a --from that is before --to")
	}
	windows, err := Windows(ctx, r, from)
	if err != nil {
		return nil, err
	}
	var out []Occurrence
	for _, w := range windows {
		all, err := w.Occurrences(from, to, now)
		if err != nil {
			return nil, err
		}
		out = append(out, all...)
	}
	slices.SortFunc(out, func(a, b Occurrence) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// Covering reads the windows about a service in an environment that are not
// over before since, and those with matchers alone. A service that the catalog
// does not know belongs to no team.
func Covering(ctx context.Context, r projection.Reader, service, environment string, since time.Time) ([]Window, error) {
	windows, err := Windows(ctx, r, since)
	if err != nil || len(windows) == 0 {
		return nil, err
	}
	s, err := catalog.GetService(ctx, r, service)
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return nil, err
	}
	return slices.DeleteFunc(windows, func(w Window) bool { return !w.Spec.Covers(service, s.Team, environment) }), nil
}

// Active reads what is on now for a service in an environment: the windows
// that name it or its team. One with matchers holds back some of its alerts
// only.
func Active(ctx context.Context, r projection.Reader, service, environment string, now time.Time) ([]Occurrence, error) {
	windows, err := Covering(ctx, r, service, environment, now)
	if err != nil {
		return nil, err
	}
	var out []Occurrence
	for _, w := range windows {
		if o, on := w.At(now); on && len(o.Services)+len(o.Teams) > 0 {
			out = append(out, o)
		}
	}
	return out, nil
}
