package incident

import (
	"context"

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
				out = append(out, slo.Incident{Name: i.Place.Incident, Start: i.BeganAt, End: i.ResolvedAt})
			}
		}
		return out, err
	}
}
