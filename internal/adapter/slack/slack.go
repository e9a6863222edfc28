// Package slack writes to Slack: port/notify's adapter for chat.postMessage
// with a bot's token, and for incoming webhooks.
//
// A message is Block Kit: a header, the lines, and buttons. Buttons that act
// carry a signed permission as their value, which Slack sends back to
// /ingest/slack with who has pressed them (package ingest checks that it was
// Slack). A bot's message has a client_msg_id
// made of the message's identifier, by which Slack drops what it has.
package slack

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/flyball-dev/flyball/internal/adapter/outbound"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Sender writes to Slack.
type Sender struct {
	client *outbound.Client
	secret notify.Secrets
}

// New makes a sender that asks secret for tokens and addresses of webhooks.
func New(c clock.Clock, secret notify.Secrets) *Sender {
	return &Sender{client: outbound.NewClient(c), secret: secret}
}

// Send writes one message. See notify.Notifier.
func (s *Sender) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	if err := notify.Check(m); err != nil {
		return notify.Receipt{}, err
	}
	to := m.To.Slack
	if to == nil {
		return notify.Receipt{}, problem.New(problem.Invalid, "slack.send", "the target is not in Slack")
	}
	r := outbound.Request{Op: "slack.send", Who: "Slack", Class: m.To.Class, Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}}
	var err error
	hook := to.TokenEnv == ""
	if m.To.URL != "" { // an answer to somebody who has pressed a button
		r.URL = m.To.URL
	} else if hook {
		r.URL, err = s.secret.Get(to.WebhookEnv)
		r.URL = strings.TrimSpace(r.URL)
	} else {
		var token string
		token, err = s.secret.Get(to.TokenEnv)
		r.URL = strings.TrimSuffix(to.API, "/") + "/chat.postMessage"
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
	}
	if err != nil {
		return notify.Receipt{}, err
	}
	if r.Body, err = json.Marshal(body(m)); err != nil {
		return notify.Receipt{}, err
	}
	a, err := s.client.Post(ctx, r)
	if err != nil || hook {
		return a.Receipt, err
	}
	return said(a)
}

// final are Slack's errors that a later attempt would meet as well.
var final = map[string]bool{
	"channel_not_found": true, "not_in_channel": true, "is_archived": true, "user_not_found": true, "invalid_blocks": true, "invalid_arguments": true,
	"msg_too_long": true, "restricted_action": true, "cannot_dm_bot": true, "no_text": true,
}

// said reads Slack's answer, which is 200 whatever it says.
func said(a outbound.Answer) (notify.Receipt, error) {
	var answer struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
		TS    string `json:"ts"`
	}
	switch err := json.Unmarshal(a.Body, &answer); {
	case err != nil && len(a.Body) < 1024:
		return a.Receipt, notify.Uncertain(problem.New(problem.Unavailable, "slack.send", "Slack's answer is no JSON: %w", err))
	case err != nil, answer.OK, answer.Error == "duplicate_message_not_found", answer.Error == "duplicate_channel_not_found":
		// It has a message with this identifier, though it may be gone.
		a.Foreign = answer.TS
		return a.Receipt, nil
	case final[answer.Error]:
		return a.Receipt, problem.New(problem.Invalid, "slack.send", "Slack refuses: %s", answer.Error).WithNext("correct the channel, or invite the bot to it")
	}
	e := problem.New(problem.Unavailable, "slack.send", "Slack refuses: %s", answer.Error)
	e.RetryAfter = outbound.RetryAfter(a.Header)
	return a.Receipt, e
}

type object = map[string]any

// Bounds of Block Kit, in characters.
const (
	maxHeader  = 150
	maxSection = 3000
	maxButtons = 5
	maxValue   = 2000
)

// body is a message in Block Kit.
func body(m notify.Message) object {
	blocks := []object{{"type": "header", "text": object{"type": "plain_text", "text": clip(m.Text.Title, maxHeader)}}}
	if len(m.Text.Lines) > 0 {
		blocks = append(blocks, object{"type": "section", "text": object{"type": "mrkdwn", "text": clip(escape.Replace(strings.Join(m.Text.Lines, "\n")), maxSection)}})
	}
	var buttons []object
	for i, l := range m.Text.Links[:min(len(m.Text.Links), maxButtons)] {
		b := object{"type": "button", "text": object{"type": "plain_text", "text": clip(l.Label, 75)}, "action_id": fmt.Sprintf("open_%d", i)}
		if l.Act != "" && len(l.Token) <= maxValue && m.To.Slack.SigningSecretEnv != "" {
			b["action_id"], b["value"] = l.Act, l.Token
		} else {
			b["url"] = l.URL
		}
		if i == 0 {
			b["style"] = "primary"
		}
		buttons = append(buttons, b)
	}
	if len(buttons) > 0 {
		blocks = append(blocks, object{"type": "actions", "elements": buttons})
	}
	out := object{"text": escape.Replace(m.Text.Title), "blocks": blocks}
	if m.To.Slack.TokenEnv != "" {
		out["channel"] = m.To.Address
		out["client_msg_id"] = uuid(m.ID)
		out["metadata"] = object{"event_type": "flyball_message", "event_payload": object{"id": m.ID, "thread": m.Text.Thread}}
		out["unfurl_links"] = false
	}
	return out
}

// escape keeps what we were told from being markup.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// uuid is an identifier in the form that client_msg_id has (RFC 9562, version 8).
func uuid(id string) string {
	h := sha256.Sum256([]byte(id))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}
