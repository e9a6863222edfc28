package alert

import (
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// sentryBody is what Sentry's integration platform posts, as far as alerts need
// it (docs.sentry.io, integration platform, webhooks).
type sentryBody struct {
	Action string `json:"action"`
	Data   struct {
		Event struct {
			Title       string     `json:"title"`
			Culprit     string     `json:"culprit"`
			Level       string     `json:"level"`
			Environment string     `json:"environment"`
			WebURL      string     `json:"web_url"`
			IssueID     string     `json:"issue_id"`
			Datetime    string     `json:"datetime"`
			Platform    string     `json:"platform"`
			Release     string     `json:"release"`
			Tags        [][]string `json:"tags"`
		} `json:"event"`
		TriggeredRule string `json:"triggered_rule"`
		MetricAlert   struct {
			ID          any    `json:"id"`
			DateStarted string `json:"date_started"`
			AlertRule   struct {
				Name        string   `json:"name"`
				Environment string   `json:"environment"`
				Projects    []string `json:"projects"`
			} `json:"alert_rule"`
		} `json:"metric_alert"`
		DescriptionTitle string `json:"description_title"`
		DescriptionText  string `json:"description_text"`
		WebURL           string `json:"web_url"`
		Issue            struct {
			ID        string `json:"id"`
			Title     string `json:"title"`
			Level     string `json:"level"`
			ShortID   string `json:"shortId"`
			Permalink string `json:"permalink"`
			WebURL    string `json:"web_url"`
			Project   struct {
				Slug string `json:"slug"`
			} `json:"project"`
		} `json:"issue"`
	} `json:"data"`
}

// DecodeSentry reads a webhook of Sentry's. resource is its header
// Sentry-Hook-Resource. ok is false for what says nothing about alerts, such as
// an installation or an issue that was assigned.
func DecodeSentry(resource string, data []byte) (r Report, ok bool, err error) {
	var body sentryBody
	if err := event.Unmarshal(data, &body); err != nil {
		return r, false, malformed("a webhook of Sentry's integration platform", err)
	}
	switch resource {
	case "event_alert":
		r, err = body.issueAlert()
	case "metric_alert":
		r, err = body.metricAlert()
	case "issue":
		// An issue that was resolved, or put away, ends what its alerts began.
		if body.Action != "resolved" && body.Action != "archived" && body.Action != "ignored" {
			return r, false, nil
		}
		if body.Data.Issue.ID == "" {
			return r, false, problem.New(problem.Invalid, "alert.take", "data.issue.id is missing")
		}
		return Report{Key: "issue " + body.Data.Issue.ID, Act: Resolve}, true, nil
	case "":
		return r, false, problem.New(problem.Invalid, "alert.take", "the header Sentry-Hook-Resource is missing")
	default:
		return r, false, nil
	}
	return r, err == nil, err
}

func (b sentryBody) issueAlert() (Report, error) {
	e := b.Data.Event
	if e.IssueID == "" || e.Title == "" {
		return Report{}, problem.New(problem.Invalid, "alert.take", "data.event.issue_id or data.event.title is missing")
	}
	r := Report{Key: "issue " + e.IssueID, Summary: e.Title, GeneratorURL: e.WebURL, Severity: Ticket,
		Labels:      labels("alertname", b.Data.TriggeredRule, "level", e.Level, "environment", strings.ToLower(e.Environment), "platform", e.Platform, "release", e.Release),
		Annotations: labels("description", e.Culprit)}
	if e.Level == "fatal" || e.Level == "error" {
		r.Severity = Page
	}
	for _, t := range e.Tags {
		if len(t) == 2 && t[0] != "" && len(t[0]) <= maxName && r.Labels[t[0]] == "" && len(r.Labels) < maxLabels {
			r.Labels[t[0]] = clip(t[1], maxValue)
		}
	}
	// An unreadable time is the time of arrival, never a reason to lose an alert.
	r.StartsAt, _ = time.Parse(time.RFC3339Nano, e.Datetime)
	r.link("Sentry", e.WebURL)
	return r, nil
}

func (b sentryBody) metricAlert() (Report, error) {
	m := b.Data.MetricAlert
	if m.ID == nil {
		return Report{}, problem.New(problem.Invalid, "alert.take", "data.metric_alert.id is missing")
	}
	r := Report{Key: clip("metric "+fmt.Sprint(m.ID), maxKey), Summary: first(b.Data.DescriptionTitle, m.AlertRule.Name), GeneratorURL: b.Data.WebURL,
		Labels: labels("alertname", m.AlertRule.Name, "environment", strings.ToLower(m.AlertRule.Environment)), Annotations: labels("description", b.Data.DescriptionText)}
	if len(m.AlertRule.Projects) > 0 {
		r.Labels["project"] = clip(m.AlertRule.Projects[0], maxValue)
	}
	switch b.Action {
	case "critical":
		r.Severity = Page
	case "warning":
		r.Severity = Ticket
	case "resolved":
		r.Act = Resolve
	default:
		return r, problem.New(problem.Invalid, "alert.take", "action is %q; it must be critical, warning or resolved", clip(b.Action, 40))
	}
	r.StartsAt, _ = time.Parse(time.RFC3339Nano, m.DateStarted)
	r.link("Sentry", b.Data.WebURL)
	return r, nil
}
