package alert

import (
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// DecodePlain reads our own plain form, for senders that have none: one alert
// with a summary, and whatever else is known about it.
func DecodePlain(data []byte) (Report, error) {
	var body struct {
		Summary     string            `json:"summary"`
		Key         string            `json:"key"`
		Status      string            `json:"status"`
		Severity    string            `json:"severity"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
		URL         string            `json:"url"`
		Runbook     string            `json:"runbook"`
		StartsAt    time.Time         `json:"starts_at"`
		EndsAt      time.Time         `json:"ends_at"`
	}
	if err := event.Unmarshal(data, &body); err != nil {
		return Report{}, malformed(`{"summary": "…", "key": "…", "status": "firing", "severity": "page"}`, err)
	}
	r := Report{Key: body.Key, Summary: body.Summary, Labels: body.Labels, Annotations: body.Annotations, StartsAt: body.StartsAt,
		EndsAt: body.EndsAt, GeneratorURL: body.URL, Runbook: body.Runbook}
	if body.Severity != "" {
		r.Severity = severityOf(body.Severity)
	}
	var err error
	if r.Act, err = actOf(body.Status); err != nil {
		return r, err
	}
	if r.Key == "" && len(r.Labels) == 0 {
		r.Key = r.Summary
	}
	return r, nil
}
