package incident

import (
	"context"
	"slices"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// reportedIncidents is how many of a service's newest incidents reports look at.
const reportedIncidents = 1000

// Reported gives the newest incidents of a place to reports on its objectives.
func Reported(reader projection.Reader) func(ctx context.Context, service, environment string) ([]slo.Incident, error) {
	return func(ctx context.Context, service, environment string) ([]slo.Incident, error) {
		list, _, err := projection.List[Incident](ctx, operation.Reader(ctx, reader), ProjectionName,
			projection.Filter{Index: "service", Value: service, Newest: true, Limit: reportedIncidents})
		var out []slo.Incident
		for _, i := range list {
			if i.Environment == environment {
				out = append(out, slo.Incident{Name: i.Place.Incident, Start: i.BeganAt, End: i.ResolvedAt, Alerts: i.openedBy()})
			}
		}
		return out, err
	}
}

// openedBy is the objectives whose alerts or budgets were there when the
// incident was opened.
func (i Incident) openedBy() (out []string) {
	for _, l := range i.Links {
		if l.Role == RoleTrigger && l.Objective != "" && !l.At.After(i.OpenedAt) && !slices.Contains(out, l.Objective) {
			out = append(out, l.Objective)
		}
	}
	return out
}
