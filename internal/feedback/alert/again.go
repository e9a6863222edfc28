package alert

import (
	"cmp"
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Again is where a recorded alert would go by what a reader shows: its home and
// the rules are looked up anew, at that moment. What held it back still does. An
// objective's alert stays where it is.
func Again(ctx context.Context, r projection.Reader, f Fired, now time.Time) (Fired, error) {
	if f.Integration == "" {
		return f, nil
	}
	from, ok, err := projection.Get[Integration](ctx, r, integrationName, f.Integration)
	if err != nil {
		return f, err
	}
	if !ok {
		from = Integration{Name: f.Integration}
	}
	report := Report{
		Labels: f.Labels, Annotations: f.Annotations, Key: f.Key, Summary: f.Explanation, StartsAt: f.StartsAt, EndsAt: f.EndsAt,
		GeneratorURL: f.URL, Severity: f.Urgency,
	}
	if f.Route != nil && len(f.Route.Rules) > 0 {
		// A rule may have set it; the sender's own word is in its labels, if anywhere.
		report.Severity = severityOf(first(f.Labels["severity"], f.Labels["priority"]))
	}
	ask := &Intake{Reader: r}
	if ask.routes, err = Routes(ctx, r); err != nil {
		return f, err
	}
	c, err := ask.look(ctx, from, []Report{report})
	if err != nil {
		return f, err
	}
	again := ask.step(from, report, c, now).fired
	again.Alert, again.Fingerprint = f.Alert, f.Fingerprint
	again.Suppressed, again.Reason, again.Runbook = f.Suppressed, f.Reason, cmp.Or(again.Runbook, f.Runbook)
	if len(f.Suppressed) > 0 {
		again.Severity = f.Severity
	}
	return again, nil
}
