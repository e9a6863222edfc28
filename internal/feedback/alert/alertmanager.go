package alert

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// ResolveTimeout is how long an alert without an end lives unless it is sent
// again: Alertmanager's default of resolve_timeout.
const ResolveTimeout = 5 * time.Minute

// posted is one alert of Alertmanager's API v2 and of its webhook.
type posted struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	// Grafana's own
	SilenceURL   string         `json:"silenceURL"`
	DashboardURL string         `json:"dashboardURL"`
	PanelURL     string         `json:"panelURL"`
	ImageURL     string         `json:"imageURL"`
	Values       map[string]any `json:"values"`
	ValueString  string         `json:"valueString"`
}

// DecodeAlertmanager reads what a Prometheus server posts to /api/v2/alerts.
func DecodeAlertmanager(data []byte, now time.Time) ([]Report, error) {
	var list []posted
	if err := event.Unmarshal(data, &list); err != nil {
		return nil, malformed("an array of alerts with labels, as of Alertmanager's API v2", err)
	}
	if err := few(len(list)); err != nil {
		return nil, err
	}
	out := make([]Report, len(list))
	for i, p := range list {
		out[i] = p.report()
		switch {
		case p.EndsAt.IsZero():
			out[i].EndsAt = latest(now, p.StartsAt).Add(ResolveTimeout)
		case !p.EndsAt.After(now):
			out[i].Act = Resolve
		}
	}
	return out, nil
}

// DecodeWebhook reads what Alertmanager (version 4) and Grafana post to a
// webhook. Such alerts do not end by themselves: their sender says so.
func DecodeWebhook(data []byte) ([]Report, error) {
	var body struct {
		Version     string `json:"version"`
		Status      string `json:"status"`
		ExternalURL string `json:"externalURL"`
		// Grafana's own
		OrgID   int64    `json:"orgId"`
		Title   string   `json:"title"`
		State   string   `json:"state"`
		Message string   `json:"message"`
		Alerts  []posted `json:"alerts"`
	}
	if err := event.Unmarshal(data, &body); err != nil {
		return nil, malformed("an object with alerts, as of Alertmanager's webhook version 4", err)
	}
	if len(body.Alerts) == 0 {
		return nil, problem.New(problem.Invalid, "alert.take", "the body has no alerts").
			WithNext("send Alertmanager's webhook version 4, or Grafana's")
	}
	if err := few(len(body.Alerts)); err != nil {
		return nil, err
	}
	out := make([]Report, len(body.Alerts))
	for i, p := range body.Alerts {
		out[i] = p.report()
		out[i].EndsAt = time.Time{}
		if body.OrgID != 0 && len(body.Alerts) == 1 {
			// Of several, title and message are about all of them.
			if out[i].Annotations == nil {
				out[i].Annotations = map[string]string{}
			}
			for name, text := range map[string]string{"title": body.Title, "message": body.Message} {
				if text != "" && out[i].Annotations[name] == "" {
					out[i].Annotations[name] = clip(text, maxValue)
				}
			}
		}
		if first(p.Status, body.Status) == "resolved" {
			out[i].Act = Resolve
		}
	}
	return out, nil
}

func (p posted) report() Report {
	r := Report{Labels: p.Labels, Annotations: p.Annotations, StartsAt: p.StartsAt, EndsAt: p.EndsAt,
		GeneratorURL: first(p.GeneratorURL, p.PanelURL, p.DashboardURL)}
	r.link("dashboard", p.DashboardURL)
	r.link("panel", p.PanelURL)
	r.link("image", p.ImageURL)
	r.link("silence at Grafana", p.SilenceURL)
	values := p.ValueString
	if len(p.Values) > 0 {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(p.Values)) {
			parts = append(parts, name+"="+textOf(p.Values[name]))
		}
		values = strings.Join(parts, " ")
	}
	if values != "" {
		if r.Annotations == nil {
			r.Annotations = map[string]string{}
		}
		r.Annotations["values"] = clip(values, maxValue)
	}
	return r
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func malformed(want string, err error) error {
	return problem.New(problem.Invalid, "alert.take", "the body cannot be read: %w", err).WithNext("send %s", want)
}

func few(n int) error {
	if n > MaxReports {
		return problem.New(problem.Invalid, "alert.take", "%d alerts in one request; at most %d", n, MaxReports).WithNext("send them in several requests")
	}
	return nil
}
