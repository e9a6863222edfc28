package incident

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// ActionPage is the type of the action that pages a team; its parameters are
// Page.
const ActionPage = "notify.page"

// The types of message.
const (
	PageOpened = "incident.opened"
	PageWorse  = "incident.escalated"
)

// Page is one message to one webhook. The secret that signs it is not in it.
type Page struct {
	Type      string    `json:"type"`
	URL       string    `json:"url"`
	SecretEnv string    `json:"secret_env,omitempty"`
	At        time.Time `json:"at"`
	Data      PageData  `json:"data"`
}

// PageData is what whoever is paged gets to know.
type PageData struct {
	Place
	Severity int       `json:"severity"`
	Title    string    `json:"title"`
	BeganAt  time.Time `json:"began_at"`
	OpenedAt time.Time `json:"opened_at"`
	Runbook  string    `json:"runbook,omitempty"`
	URL      string    `json:"url,omitempty"` // of the incident's page
	Links    []Link    `json:"links"`
}

// message is the body, in the form Standard Webhooks recommends.
type message struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"` // when it happened, the same on every attempt
	Data      PageData  `json:"data"`
}

// pageAttempts bounds the tries of one page; with the executor's back-off they
// last about an hour.
const pageAttempts = 60

// pageID is the same for the same page, however often it is decided or tried.
func pageID(incident string, severity, webhook int) string {
	// A message identifier has no dots: they separate what is signed.
	return fmt.Sprintf("page-%s-sev%d-%d", strings.ReplaceAll(incident, ".", "_"), severity, webhook+1)
}

// PageType declares the action notify.page. web is the address of the web face,
// for links; it may be empty.
func PageType(n notify.Notifier, web string) control.Type {
	return control.Type{
		Name: ActionPage, Attempts: pageAttempts,
		Run: func(ctx context.Context, a action.Action) (any, error) {
			var p Page
			if err := json.Unmarshal(a.Params, &p); err != nil {
				return nil, problem.New(problem.Invalid, ActionPage, "parameters: %w", err)
			}
			if web != "" {
				p.Data.URL = strings.TrimSuffix(web, "/") + "/incidents/" + p.Data.Incident
			}
			body, err := json.Marshal(message{Type: p.Type, Timestamp: p.At, Data: p.Data})
			if err != nil {
				return nil, err
			}
			// A team's page is declared in git, reviewed like code.
			to := notify.Target{URL: p.URL, SecretEnv: p.SecretEnv, Class: notify.Declared}
			return n.Send(ctx, notify.Message{ID: a.ID, To: to, Body: body})
		},
	}
}
