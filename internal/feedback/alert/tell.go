package alert

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// tellAttempts bounds the tries of one message; with the executor's back-off they
// last about an hour.
const tellAttempts = 60

// told is the body of a message about an alert, in the form Standard Webhooks
// recommends.
type told struct {
	Type      string           `json:"type"`      // alert.fired or alert.resolved
	Timestamp time.Time        `json:"timestamp"` // when that happened
	Data      slo.AlertChanged `json:"data"`
}

// TellType declares the action that tells the notification targets of an
// objective's alert policy.
func TellType(post *channel.Post) control.Type {
	return control.Type{Name: slo.ActionTell, Attempts: tellAttempts, Run: func(ctx context.Context, a action.Action) (any, error) {
		var t slo.Telling
		if err := json.Unmarshal(a.Params, &t); err != nil {
			return nil, problem.New(problem.Invalid, slo.ActionTell, "parameters: %w", err)
		}
		at := t.Fired
		if t.What == "resolved" {
			at = t.Resolved
		}
		body, err := json.Marshal(told{Type: "alert." + t.What, Timestamp: at, Data: t.AlertChanged})
		if err != nil {
			return nil, err
		}
		text := notify.Text{Title: t.Objective + ": " + t.Condition + " " + t.What, Lines: []string{t.Explanation}, Urgency: notify.Low, Thread: t.Objective}
		if t.Severity == Page && t.What == "fired" {
			text.Urgency = notify.High
		}
		if link := post.Address("/objectives/" + t.Objective); link != "" {
			text.Links = []notify.Link{{Label: "Objective", URL: link}}
		}
		to, address, _ := strings.Cut(t.To, ":")
		letter := channel.Of(a)
		letter.To, letter.Body, letter.Text, letter.Class = []channel.Contact{{Channel: to, To: address}}, body, text, notify.Declared
		return post.Deliver(ctx, letter)
	}}
}
