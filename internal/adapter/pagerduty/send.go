package pagerduty

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/outbound"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Sender sends events. It is safe for concurrent use.
type Sender struct {
	secret notify.Secrets
	client *outbound.Client
}

// New makes a sender that asks secret for routing keys.
func New(c clock.Clock, secret notify.Secrets) *Sender {
	return &Sender{secret: secret, client: outbound.NewClient(c)}
}

// The types of message that end what a page began.
const (
	acknowledged = "incident.acknowledged"
	resolved     = "incident.resolved"
)

// event is a body of /v2/enqueue.
type event struct {
	RoutingKey  string   `json:"routing_key"`
	EventAction string   `json:"event_action"`
	DedupKey    string   `json:"dedup_key"`
	Payload     *payload `json:"payload,omitempty"`
	Client      string   `json:"client,omitempty"`
	ClientURL   string   `json:"client_url,omitempty"`
	Links       []link   `json:"links,omitempty"`
}

type payload struct {
	Summary       string         `json:"summary"`
	Source        string         `json:"source"`
	Severity      string         `json:"severity"`
	Timestamp     string         `json:"timestamp,omitempty"`
	Group         string         `json:"group,omitempty"`
	Component     string         `json:"component,omitempty"`
	CustomDetails map[string]any `json:"custom_details,omitempty"`
}

type link struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// told is the part of a message's JSON that an event is made of.
type told struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      struct {
		Incident    string `json:"incident"`
		Service     string `json:"service"`
		Team        string `json:"team"`
		Environment string `json:"environment"`
		Severity    int    `json:"severity"`
		URL         string `json:"url"`
	} `json:"data"`
}

const (
	maxSummary = 1024
	maxDedup   = 255
	maxLinks   = 20
)

// Send sends one message as an event. See notify.Notifier.
func (s *Sender) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	if err := notify.Check(m); err != nil {
		return notify.Receipt{}, err
	}
	if m.To.PagerDuty == nil {
		return notify.Receipt{}, problem.New(problem.Invalid, "pagerduty.send", "the target is no channel of PagerDuty")
	}
	key, err := s.secret.Get(m.To.PagerDuty.RoutingKeyEnv)
	if err != nil {
		return notify.Receipt{}, err
	}
	body, err := json.Marshal(eventOf(m, key))
	if err != nil {
		return notify.Receipt{}, err
	}
	a, err := s.client.Post(ctx, outbound.Request{
		Op: "pagerduty.send", Who: "PagerDuty", Class: m.To.Class, URL: strings.TrimSuffix(m.To.PagerDuty.URL, "/") + "/v2/enqueue",
		Header: http.Header{"Content-Type": {"application/json"}}, Body: body,
	})
	if a.Status == http.StatusBadRequest {
		err = problem.New(problem.Invalid, "pagerduty.send", "PagerDuty refuses the event: %s", a.Answer).
			WithNext("check the routing key in %s: it is that of an integration of the service, for the Events API v2", m.To.PagerDuty.RoutingKeyEnv)
	}
	return a.Receipt, err
}

// eventOf makes the event of a message: a trigger, unless its type says that
// the incident was acknowledged or resolved.
func eventOf(m notify.Message, key string) event {
	var t told
	// What is no incident of ours is told by its text alone.
	_ = json.Unmarshal(m.Body, &t)
	e := event{RoutingKey: key, EventAction: "trigger", DedupKey: t.Data.Incident}
	for _, known := range []string{m.Text.Thread, m.ID} {
		if e.DedupKey == "" {
			e.DedupKey = known
		}
	}
	e.DedupKey = clip(e.DedupKey, maxDedup)
	switch t.Type {
	case acknowledged:
		e.EventAction = "acknowledge"
		return e
	case resolved:
		e.EventAction = "resolve"
		return e
	}
	e.Client, e.ClientURL = "Flyball", t.Data.URL
	e.Payload = &payload{Summary: clip(m.Text.Title, maxSummary), Source: "flyball", Severity: severity(m.Text.Urgency, t.Data.Severity), Group: t.Data.Environment}
	if t.Data.Service != "" {
		e.Payload.Source, e.Payload.Component = t.Data.Service, t.Data.Service
	}
	if !t.Timestamp.IsZero() {
		e.Payload.Timestamp = t.Timestamp.UTC().Format(time.RFC3339)
	}
	if len(m.Text.Lines) > 0 || t.Data.Team != "" {
		e.Payload.CustomDetails = map[string]any{"message": strings.Join(m.Text.Lines, "\n"), "service": t.Data.Service, "team": t.Data.Team,
			"environment": t.Data.Environment, "message_id": m.ID}
	}
	for _, l := range m.Text.Links {
		// A link that acts is for one person; PagerDuty shows events to many.
		if l.Act == "" && len(e.Links) < maxLinks {
			e.Links = append(e.Links, link{Href: l.URL, Text: l.Label})
		}
	}
	return e
}

// severity is PagerDuty's word: what can wait is a warning.
func severity(u notify.Urgency, sev int) string {
	switch {
	case u == notify.Low:
		return "warning"
	case sev == 1 || sev == 2:
		return "critical"
	}
	return "error"
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}
