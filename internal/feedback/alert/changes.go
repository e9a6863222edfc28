package alert

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// ChangeReport says that somebody's own tools changed something: a suspect when
// it hurts soon after.
type ChangeReport struct {
	Service     string    `json:"service"`
	Team        string    `json:"team"`
	Environment string    `json:"environment"`
	Summary     string    `json:"summary"`
	Source      string    `json:"source,omitempty"`
	Integration string    `json:"integration"`
	At          time.Time `json:"at"`
	Links       []Link    `json:"links,omitempty"`
}

// DecodePagerDutyChange reads a body posted to /v2/change/enqueue: a change
// event of PagerDuty's Events API v2. The report's labels say where it belongs.
func DecodePagerDutyChange(data []byte) (key string, r Report, err error) {
	var body struct {
		RoutingKey string `json:"routing_key"`
		Payload    *struct {
			Summary       string         `json:"summary"`
			Source        string         `json:"source"`
			Timestamp     string         `json:"timestamp"`
			CustomDetails map[string]any `json:"custom_details"`
		} `json:"payload"`
		Links []struct {
			Href string `json:"href"`
			Text string `json:"text"`
		} `json:"links"`
	}
	if err := event.Unmarshal(data, &body); err != nil {
		return "", r, malformed("a change event of PagerDuty's Events API v2", err)
	}
	p := body.Payload
	if p == nil || p.Summary == "" {
		return body.RoutingKey, r, problem.New(problem.Invalid, "alert.change", "'payload.summary' is missing")
	}
	r = Report{Summary: clip(p.Summary, maxText), Labels: labels("source", p.Source)}
	for _, name := range []string{"service", "environment", "team"} {
		if v, ok := p.CustomDetails[name].(string); ok && v != "" {
			r.Labels[name] = clip(v, maxValue)
		}
	}
	// An unreadable time is the time of arrival.
	r.StartsAt, _ = time.Parse(time.RFC3339, p.Timestamp)
	for _, l := range body.Links {
		r.link(l.Text, l.Href)
	}
	return body.RoutingKey, r, nil
}

// ReportChange records a change that a sender reports.
func (i *Intake) ReportChange(ctx context.Context, in Integration, r Report) error {
	c, err := i.look(ctx, in, []Report{r})
	if err != nil {
		return err
	}
	now := i.Clock.Now().UTC()
	if r.StartsAt.IsZero() || r.StartsAt.After(now) {
		r.StartsAt = now
	}
	at := i.place(in, r, c)
	report := ChangeReport{Service: at.service, Team: at.team, Environment: at.environment, Summary: r.Summary, Source: first(r.Labels["source"], in.Name),
		Integration: in.Name, At: r.StartsAt.UTC(), Links: r.Links}
	_, err = i.Log.Append(ctx, event.Batch{Stream: "alert/" + in.Name, Expect: event.AnyVersion, Drafts: []event.Draft{{
		Type: EventChangeReported, Subject: "service/" + report.Service, Actor: "integration:" + in.Name, Time: report.At, Data: report}}})
	return err
}
