package incident

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/oncall"
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
	PageOpened     = "incident.opened"
	PageWorse      = "incident.escalated"
	PageUnanswered = "incident.unanswered" // whoever was paged before has not answered
	PageWanted     = "incident.wanted"     // somebody who leads it wants more people
)

// Page is one message to one webhook, or to one person. The secrets that sign
// it are not in it.
type Page struct {
	Type      string           `json:"type"`
	URL       string           `json:"url,omitempty"`
	SecretEnv string           `json:"secret_env,omitempty"`
	Contacts  []oncall.Contact `json:"contacts,omitempty"` // instead of URL: tried in order until one accepts
	At        time.Time        `json:"at"`
	Data      PageData         `json:"data"`
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
	Paged    *Summons  `json:"paged,omitempty"` // by a policy: who, and why they
}

// Summons says why a page came to somebody.
type Summons struct {
	Person  string `json:"person"`
	Via     string `json:"via,omitempty"` // such as schedule payments
	Policy  string `json:"policy,omitempty"`
	Step    int    `json:"step"`    // from 1; 0 is the last resort, or no policy
	Attempt int    `json:"attempt"` // from 1
	Reason  string `json:"reason"`
	Low     bool   `json:"low,omitempty"` // of low urgency: nobody need be woken
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
func pageID(p Paged, webhook int) string {
	// A message identifier has no dots: they separate what is signed.
	return fmt.Sprintf("page-%s-sev%d%s-%d", strings.ReplaceAll(p.Incident, ".", "_"), p.Severity, again(p.Again), webhook+1)
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
			if len(p.Contacts) == 0 {
				p.Contacts = []oncall.Contact{{URL: p.URL, SecretEnv: p.SecretEnv}}
			}
			return reach(ctx, n, a.ID, body, p.Contacts)
		},
	}
}

// reach tries contacts in order until one accepts. It fails for good only when
// every one of them does.
func reach(ctx context.Context, n notify.Notifier, id string, body []byte, contacts []oncall.Contact) (receipt notify.Receipt, err error) {
	var later error
	for _, c := range contacts {
		// Contacts are declared in git, reviewed like code.
		to := notify.Target{URL: c.URL, SecretEnv: c.SecretEnv, Class: notify.Declared}
		if receipt, err = n.Send(ctx, notify.Message{ID: id, To: to, Body: body}); err == nil {
			return receipt, nil
		}
		if problem.KindOf(err) != problem.Invalid {
			later = err
		}
	}
	return receipt, cmp.Or(later, err)
}
