// Package ntfy pushes to telephones and desktops by ntfy: port/notify's adapter
// for its JSON way of publishing. Buttons that act post to their link by
// themselves; the others open a page.
package ntfy

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/flyball-dev/flyball/internal/adapter/outbound"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Sender publishes to topics.
type Sender struct {
	client *outbound.Client
	secret notify.Secrets
}

// New makes a sender that asks secret for access tokens.
func New(c clock.Clock, secret notify.Secrets) *Sender {
	return &Sender{client: outbound.NewClient(c), secret: secret}
}

// Send publishes one message. See notify.Notifier.
func (s *Sender) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	if err := notify.Check(m); err != nil {
		return notify.Receipt{}, err
	}
	to := m.To.Ntfy
	if to == nil || m.To.Address == "" {
		return notify.Receipt{}, problem.New(problem.Invalid, "ntfy.send", "the target is no topic of ntfy")
	}
	token, err := s.secret.Get(to.TokenEnv)
	if err != nil {
		return notify.Receipt{}, err
	}
	body, err := json.Marshal(publish(m))
	if err != nil {
		return notify.Receipt{}, err
	}
	r := outbound.Request{Op: "ntfy.send", Who: "ntfy", Class: m.To.Class, URL: strings.TrimSuffix(to.Server, "/") + "/", Body: body, Header: http.Header{"Content-Type": {"application/json"}}}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
	}
	a, err := s.client.Post(ctx, r)
	var said struct {
		ID string `json:"id"`
	}
	if err == nil && json.Unmarshal(a.Body, &said) == nil {
		a.Foreign = said.ID
	}
	return a.Receipt, err
}

type action struct {
	Action string `json:"action"`
	Label  string `json:"label"`
	URL    string `json:"url"`
	Method string `json:"method,omitempty"`
	Clear  bool   `json:"clear,omitempty"`
}

type message struct {
	Topic    string   `json:"topic"`
	Title    string   `json:"title"`
	Message  string   `json:"message"`
	Priority int      `json:"priority"`
	Tags     []string `json:"tags,omitempty"`
	Click    string   `json:"click,omitempty"`
	Actions  []action `json:"actions,omitempty"`
}

// Bounds and values of ntfy.
const (
	maxActions = 3
	maxMessage = 3500 // bytes; above 4,096 it would become an attachment
	urgent     = 5
	normal     = 3
)

func publish(m notify.Message) message {
	out := message{Topic: m.To.Address, Title: m.Text.Title, Message: strings.Join(m.Text.Lines, "\n"), Priority: urgent, Tags: []string{"rotating_light", m.ID}}
	if m.Text.Urgency == notify.Low {
		out.Priority, out.Tags[0] = normal, "information_source"
	}
	if len(out.Message) > maxMessage {
		out.Message = strings.ToValidUTF8(out.Message[:maxMessage], "") + "…"
	}
	for _, l := range m.Text.Links {
		if l.Act == "" && out.Click == "" {
			out.Click = l.URL
		}
		if len(out.Actions) == maxActions {
			continue
		}
		if l.Act != "" {
			out.Actions = append(out.Actions, action{Action: "http", Label: l.Label, URL: l.URL, Method: http.MethodPost, Clear: true})
		} else {
			out.Actions = append(out.Actions, action{Action: "view", Label: l.Label, URL: l.URL})
		}
	}
	return out
}
