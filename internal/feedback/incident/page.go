package incident

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// The types of the actions that bring an incident to people; their parameters
// are Page.
const (
	ActionPage   = "notify.page"
	ActionRemind = "notify.remind" // later, unless somebody has answered: a further contact of a person
)

// The types of message.
const (
	PageOpened     = "incident.opened"
	PageWorse      = "incident.escalated"
	PageUnanswered = "incident.unanswered" // whoever was paged before has not answered
	PageWanted     = "incident.wanted"     // somebody who leads it wants more people
	PageByHand     = "page.requested"      // somebody wants people; there may be no incident
)

// Page is one message to one webhook or channel, or to one person. The secrets
// it needs are not in it.
type Page struct {
	Type      string            `json:"type"`
	URL       string            `json:"url,omitempty"`
	SecretEnv string            `json:"secret_env,omitempty"`
	Channel   string            `json:"channel,omitempty"`  // instead of URL
	To        string            `json:"to,omitempty"`       // address in the channel
	Contacts  []channel.Contact `json:"contacts,omitempty"` // instead of both: tried in order until one accepts
	At        time.Time         `json:"at"`
	Person    string            `json:"person,omitempty"` // who reads it, when it is one person
	Due       time.Time         `json:"due,omitzero"`     // not before, and only while nobody has answered
	Data      PageData          `json:"data"`
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
	Page     string    `json:"page,omitempty"`  // by hand: name of the page, which flyball page ack answers
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

// PageTypes declares the actions that page.
func PageTypes(post *channel.Post) []control.Type {
	return []control.Type{
		{
			Name: ActionPage, Attempts: pageAttempts,
			Run: func(ctx context.Context, a action.Action) (any, error) {
				p, err := params(a)
				if err != nil {
					return nil, err
				}
				return p.deliver(ctx, post, a)
			},
		},
		{
			Name: ActionRemind, Attempts: pageAttempts, Gate: RemindGate,
			Run: func(ctx context.Context, a action.Action) (any, error) {
				p, err := params(a)
				if err != nil {
					return nil, err
				}
				i, _, err := Get(ctx, post.Reader, p.Data.Incident)
				if err != nil {
					return nil, err
				}
				if why := answered(i); why != "" {
					return channel.Delivery{Skipped: why}, nil
				}
				return p.deliver(ctx, post, a)
			},
		},
	}
}

// RemindGate lets a reminder run when it is due.
func RemindGate(in control.GateInput, now time.Time) (action.Gated, time.Time) {
	p, err := params(in.Action)
	if err == nil && now.Before(p.Due) {
		return action.Gated{Phase: action.Blocked, Reason: "not before " + stamp(p.Due) + ", unless somebody answers"}, p.Due
	}
	return action.Gated{Phase: action.Allowed, Reason: "it is time"}, time.Time{}
}

func params(a action.Action) (p Page, err error) {
	if err := json.Unmarshal(a.Params, &p); err != nil {
		return p, problem.New(problem.Invalid, a.Type, "parameters: %w", err)
	}
	return p, nil
}

// answered says why nobody need be reminded of an incident any more.
func answered(i Incident) string {
	switch {
	case i.State == StateResolved:
		return "resolved by " + i.ResolvedBy
	case i.AcknowledgedBy != "":
		return i.AcknowledgedBy + " has it"
	case !i.MitigatedAt.IsZero():
		return "users are no longer hurt"
	}
	return ""
}

// deliver brings a page to its reader.
func (p Page) deliver(ctx context.Context, post *channel.Post, a action.Action) (any, error) {
	if p.Data.Incident != "" {
		p.Data.URL = post.Address("/incidents/" + p.Data.Incident)
	}
	body, err := json.Marshal(message{Type: p.Type, Timestamp: p.At, Data: p.Data})
	if err != nil {
		return nil, err
	}
	l := channel.Of(a)
	l.Body, l.Text, l.Incident, l.Person = body, p.text(), p.Data.Incident, p.Person
	l.To, l.Class = p.Contacts, notify.Declared // declared in git, reviewed like code
	if len(l.To) == 0 {
		l.To = []channel.Contact{{URL: p.URL, SecretEnv: p.SecretEnv, Channel: p.Channel, To: p.To}}
	}
	if p.Type != PageOverdue && p.Data.Incident != "" {
		l.Acts = []string{channel.Acknowledge, channel.Resolve}
	}
	return post.Deliver(ctx, l)
}

// text is a page in words: the first line says what hurts, the others where,
// since when, and why it came to its reader.
func (p Page) text() notify.Text {
	d := p.Data
	if p.Type == PageByHand {
		t := notify.Text{Title: d.Title, Thread: d.Page, Urgency: notify.High, Lines: []string{d.Paged.Reason}}
		if d.Service != "" {
			t.Lines = append(t.Lines, "about "+d.Service)
		}
		t.Lines = append(t.Lines, "answer: flyball page ack "+d.Page)
		if d.URL != "" {
			t.Links = append(t.Links, notify.Link{Label: "Open the incident", URL: d.URL})
		}
		return t
	}
	t := notify.Text{Title: fmt.Sprintf("SEV%d %s", d.Severity, d.Title), Thread: d.Incident, Urgency: notify.High}
	if d.Severity >= canWait {
		t.Urgency = notify.Low
	}
	switch p.Type {
	case PageWorse:
		t.Title = "Worse: " + t.Title
	case PageUnanswered:
		t.Title = "Unanswered: " + t.Title
	case PageWanted:
		t.Title = "You are wanted: " + t.Title
	case PageAssigned, PageOverdue:
		t.Title = strings.ToUpper(d.Paged.Reason[:1]) + d.Paged.Reason[1:] + ": " + t.Title
	}
	if d.Paged != nil && d.Paged.Low {
		t.Urgency = notify.Low
	}
	t.Lines = append(t.Lines, fmt.Sprintf("%s in %s, team %s, since %s", d.Service, d.Environment, d.Team, stamp(d.BeganAt)))
	for _, l := range d.Links[:min(len(d.Links), mostLines)] {
		if l.Text != "" {
			t.Lines = append(t.Lines, l.Role+": "+l.Text)
		}
	}
	if s := d.Paged; s != nil && s.Policy != "" {
		why := "You are paged by " + s.Reason
		if s.Via != "" {
			why += ", on " + s.Via
		}
		t.Lines = append(t.Lines, why)
	}
	if d.URL != "" {
		t.Links = append(t.Links, notify.Link{Label: "Open the incident", URL: d.URL})
	}
	if d.Runbook != "" {
		t.Links = append(t.Links, notify.Link{Label: "Runbook", URL: d.Runbook})
	}
	return t
}

// mostLines bounds what a page says of what it is linked to.
const mostLines = 5
