package alert

import (
	"fmt"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// PagerDutyEvent is an event of PagerDuty's Events API v2.
type PagerDutyEvent struct {
	RoutingKey string
	DedupKey   string // empty for a trigger: one is to be made up, and told
	Report     Report
}

var pagerDutySeverities = []string{"critical", "error", "warning", "info"}

// DecodePagerDuty reads a body posted to /v2/enqueue.
func DecodePagerDuty(data []byte) (PagerDutyEvent, error) {
	var body struct {
		RoutingKey  string `json:"routing_key"`
		ServiceKey  string `json:"service_key"` // of version 1, which old senders still use
		EventAction string `json:"event_action"`
		DedupKey    string `json:"dedup_key"`
		Client      string `json:"client"`
		ClientURL   string `json:"client_url"`
		Payload     *struct {
			Summary       string         `json:"summary"`
			Source        string         `json:"source"`
			Severity      string         `json:"severity"`
			Timestamp     string         `json:"timestamp"`
			Component     string         `json:"component"`
			Group         string         `json:"group"`
			Class         string         `json:"class"`
			CustomDetails map[string]any `json:"custom_details"`
		} `json:"payload"`
		Links []struct {
			Href string `json:"href"`
			Text string `json:"text"`
		} `json:"links"`
		Images []struct {
			Src  string `json:"src"`
			Href string `json:"href"`
			Alt  string `json:"alt"`
		} `json:"images"`
	}
	if err := event.Unmarshal(data, &body); err != nil {
		return PagerDutyEvent{}, malformed("an event of PagerDuty's Events API v2", err)
	}
	out := PagerDutyEvent{RoutingKey: first(body.RoutingKey, body.ServiceKey), DedupKey: body.DedupKey}
	bad := func(field, format string, args ...any) (PagerDutyEvent, error) {
		return out, problem.New(problem.Invalid, "alert.take", "'"+field+"' "+format, args...)
	}
	if len(body.DedupKey) > 255 {
		return bad("dedup_key", "has %d characters; at most 255", len(body.DedupKey))
	}
	out.Report.Key = body.DedupKey
	switch body.EventAction {
	case "trigger":
	case "acknowledge", "resolve":
		if body.DedupKey == "" {
			return bad("dedup_key", "is missing: it says which alert to %s", body.EventAction)
		}
		out.Report.Act = map[string]Act{"acknowledge": Acknowledge, "resolve": Resolve}[body.EventAction]
		return out, nil
	default:
		return bad("event_action", "is %q; it must be trigger, acknowledge or resolve", clip(body.EventAction, 40))
	}
	p := body.Payload
	switch {
	case p == nil:
		return bad("payload", "is missing")
	case p.Summary == "":
		return bad("payload.summary", "is missing")
	case p.Source == "":
		return bad("payload.source", "is missing")
	case !slices.Contains(pagerDutySeverities, p.Severity):
		return bad("payload.severity", "is %q; it must be critical, error, warning or info", clip(p.Severity, 40))
	}
	if p.Timestamp != "" {
		// Senders write the time in several of ISO 8601's forms; an unreadable one
		// is the time of arrival, never a reason to lose an alert.
		out.Report.StartsAt, _ = time.Parse(time.RFC3339, p.Timestamp)
	}
	out.Report.Summary, out.Report.Severity, out.Report.GeneratorURL = p.Summary, severityOf(p.Severity), body.ClientURL
	out.Report.Labels = labels("source", p.Source, "severity", p.Severity, "component", p.Component, "group", p.Group, "class", p.Class, "client", body.Client)
	out.Report.Annotations = details(p.CustomDetails)
	for _, l := range body.Links {
		out.Report.link(l.Text, l.Href)
		out.Report.Runbook = first(out.Report.Runbook, l.Href)
	}
	for _, m := range body.Images {
		out.Report.link(first(m.Alt, "image"), first(m.Href, m.Src))
	}
	for _, name := range []string{"service", "environment", "team"} {
		if v, ok := p.CustomDetails[name].(string); ok && v != "" {
			out.Report.Labels[name] = clip(v, maxValue)
		}
	}
	return out, nil
}

// labels is a set of pairs, without the empty ones.
func labels(pairs ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out[pairs[i]] = clip(pairs[i+1], maxValue)
		}
	}
	return out
}

// details is what a sender adds, as text; what is too much is left out.
func details(in map[string]any) map[string]string {
	names := make([]string, 0, len(in))
	for name := range in {
		names = append(names, name)
	}
	slices.Sort(names)
	out := map[string]string{}
	for _, name := range names {
		if name == "" || len(out) == maxLabels {
			continue
		}
		text, ok := in[name].(string)
		if !ok {
			text = fmt.Sprint(in[name])
		}
		out[clip(name, maxName)] = clip(text, maxValue)
	}
	return out
}
