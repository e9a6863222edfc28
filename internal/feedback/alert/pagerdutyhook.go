package alert

import (
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// PagerDutyHook is what a webhook of PagerDuty's, version 3, says about one of
// its incidents (developer.pagerduty.com/docs/webhooks-overview).
type PagerDutyHook struct {
	Type    string // of the event, such as incident.acknowledged
	By      string // who did it there
	Key     string // incident_key: for what was sent by the Events API, its dedup_key
	Report  Report // the incident as an alert, when it is not one of ours
	Ignored bool   // it says nothing about where an incident stands
}

// DecodePagerDutyHook reads a body that PagerDuty posts to a webhook
// subscription.
func DecodePagerDutyHook(data []byte) (PagerDutyHook, error) {
	var body struct {
		Event *struct {
			EventType  string `json:"event_type"`
			OccurredAt string `json:"occurred_at"`
			Agent      *struct {
				Summary string `json:"summary"`
			} `json:"agent"`
			Data struct {
				ID          string `json:"id"`
				Type        string `json:"type"`
				HTMLURL     string `json:"html_url"`
				Title       string `json:"title"`
				IncidentKey string `json:"incident_key"`
				Urgency     string `json:"urgency"`
				CreatedAt   string `json:"created_at"`
				Service     *struct {
					ID      string `json:"id"`
					Summary string `json:"summary"`
				} `json:"service"`
				Priority *struct {
					Summary string `json:"summary"`
				} `json:"priority"`
			} `json:"data"`
		} `json:"event"`
	}
	if err := event.Unmarshal(data, &body); err != nil {
		return PagerDutyHook{}, malformed("a webhook of PagerDuty's, version 3", err)
	}
	if body.Event == nil || body.Event.EventType == "" {
		return PagerDutyHook{}, problem.New(problem.Invalid, "alert.take", "event.event_type is missing").WithNext("make a webhook subscription of version 3")
	}
	e, d := body.Event, body.Event.Data
	out := PagerDutyHook{Type: clip(e.EventType, maxName), By: "somebody", Key: clip(d.IncidentKey, maxKey)}
	if e.Agent != nil {
		out.By = clip(first(e.Agent.Summary, out.By), maxName)
	}
	var act Act
	switch out.Type {
	case "incident.triggered", "incident.reopened", "incident.unacknowledged", "incident.escalated", "incident.delegated", "incident.reassigned", "incident.priority_updated":
	case "incident.acknowledged":
		act = Acknowledge
	case "incident.resolved":
		act = Resolve
	default:
		out.Ignored = true
		return out, nil
	}
	if d.ID == "" {
		return out, problem.New(problem.Invalid, "alert.take", "event.data.id is missing")
	}
	out.Report = Report{Key: clip("pagerduty "+d.ID, maxKey), Act: act, Summary: d.Title, Severity: Page, GeneratorURL: d.HTMLURL, Elsewhere: true,
		Labels: labels("alertname", "PagerDuty", "urgency", d.Urgency)}
	if d.Urgency == "low" {
		out.Report.Severity = Ticket
	}
	if d.Service != nil {
		out.Report.Labels["pagerduty_service"] = clip(d.Service.Summary, maxValue)
		out.Report.Labels["service"] = PlainName(d.Service.Summary)
	}
	if d.Priority != nil && d.Priority.Summary != "" {
		out.Report.Labels["priority"] = clip(d.Priority.Summary, maxValue)
	}
	// An unreadable time is the time of arrival.
	out.Report.StartsAt, _ = time.Parse(time.RFC3339, d.CreatedAt)
	out.Report.link("PagerDuty", d.HTMLURL)
	return out, nil
}

// PlainName makes a name of ours of somebody else's: My Mail Service is
// my-mail-service.
func PlainName(s string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(s) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= maxPlain {
			break
		}
	}
	return strings.Trim(b.String(), "-")
}
