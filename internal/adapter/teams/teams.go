// Package teams writes to Microsoft Teams: port/notify's adapter for workflows
// that begin with "When a Teams webhook request is received". A message is an
// Adaptive Card 1.4; its buttons open pages, since a workflow has no way to say
// who has pressed one.
package teams

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

// Sender posts to workflows.
type Sender struct {
	client *outbound.Client
	secret notify.Secrets
}

// New makes a sender that asks secret for the addresses of workflows.
func New(c clock.Clock, secret notify.Secrets) *Sender {
	return &Sender{client: outbound.NewClient(c), secret: secret}
}

// Send posts one message. See notify.Notifier.
func (s *Sender) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	if err := notify.Check(m); err != nil {
		return notify.Receipt{}, err
	}
	if m.To.Teams == nil {
		return notify.Receipt{}, problem.New(problem.Invalid, "teams.send", "the target is no workflow of Teams")
	}
	address, err := s.secret.Get(m.To.Teams.URLEnv)
	if err != nil {
		return notify.Receipt{}, err
	}
	body, err := json.Marshal(envelope(m))
	if err != nil {
		return notify.Receipt{}, err
	}
	a, err := s.client.Post(ctx, outbound.Request{
		Op: "teams.send", Who: "the workflow", Class: m.To.Class, URL: strings.TrimSpace(address), Body: body, Header: http.Header{"Content-Type": {"application/json"}},
	})
	return a.Receipt, err
}

type object = map[string]any

// maxActions is what Teams shows of a card's buttons.
const maxActions = 6

// envelope is a message with one card. The identifier travels with it for flows
// that want to drop what they have seen.
func envelope(m notify.Message) object {
	body := []object{{"type": "TextBlock", "text": plain.Replace(m.Text.Title), "weight": "Bolder", "size": "Large", "wrap": true}}
	for _, l := range m.Text.Lines {
		body = append(body, object{"type": "TextBlock", "text": plain.Replace(l), "wrap": true})
	}
	card := object{"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": body}
	var actions []object
	for _, l := range m.Text.Links[:min(len(m.Text.Links), maxActions)] {
		actions = append(actions, object{"type": "Action.OpenUrl", "title": l.Label, "url": l.URL})
	}
	if len(actions) > 0 {
		card["actions"] = actions
	}
	return object{
		"type": "message", "id": m.ID,
		"attachments": []object{{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card}},
	}
}

// plain keeps what we were told from being Markdown links and emphasis.
var plain = strings.NewReplacer("[", `\[`, "]", `\]`, "*", `\*`, "_", `\_`)
