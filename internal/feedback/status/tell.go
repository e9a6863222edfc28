package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// ActionTell is the type of the action that sends one message to one subscriber;
// its parameters are TellParams.
const ActionTell = "status.tell"

// tellAttempts bounds the tries of one message; with the executor's back-off
// they last some hours.
const tellAttempts = 80

// TellParams say what is sent to whom. The address is not in them: it is read
// when the message is sent, unless it has been erased by then.
type TellParams struct {
	Page       string    `json:"page"`
	Subscriber string    `json:"subscriber"`
	Confirm    bool      `json:"confirm,omitempty"` // a link to confirm; else an update
	Notice     string    `json:"notice,omitempty"`
	Number     int       `json:"number,omitempty"` // of the post
	At         time.Time `json:"at"`               // of the post, or the wish
}

// Told is what came of it: nothing in it says to whom.
type Told struct {
	Repeated bool   `json:"repeated,omitempty"` // it may have arrived before
	Skipped  string `json:"skipped,omitempty"`  // why nothing was sent
}

// TellType declares the action.
func (p *Pages) TellType() control.Type {
	return control.Type{Name: ActionTell, Attempts: tellAttempts, Run: p.tell}
}

func (p *Pages) tell(ctx context.Context, a action.Action) (any, error) {
	var t TellParams
	if err := json.Unmarshal(a.Params, &t); err != nil {
		return nil, problem.New(problem.Invalid, ActionTell, "parameters: %w", err)
	}
	spec, _, err := getPage(ctx, p.Reader, t.Page)
	if problem.KindOf(err) == problem.NotFound || err == nil && spec.Subscribe == nil {
		return Told{Skipped: "the page sends nothing any more"}, nil
	}
	if err != nil {
		return nil, err
	}
	s, ok, err := projection.Get[Subscriber](ctx, p.Reader, subscriberName, t.Page+"/"+t.Subscriber)
	if err != nil {
		return nil, err
	}
	if !ok || s.Ended || s.Address == "" || t.Confirm != s.ConfirmedAt.IsZero() {
		return Told{Skipped: "the subscription has ended, or was confirmed"}, nil
	}
	l := channel.Of(a)
	l.Class, l.To = notify.Public, []channel.Contact{{URL: s.Address}}
	if s.Way == Email {
		l.To = []channel.Contact{{Channel: spec.Subscribe.Email, To: s.Address}}
	}
	if l.Text, l.Body, err = p.message(ctx, spec, s, t); err != nil {
		return nil, err
	}
	done, err := p.Mail.Deliver(ctx, l)
	if err != nil {
		return nil, unnamed(err)
	}
	return Told{Repeated: done.Repeat}, nil
}

// unnamed is a failure without the words of whoever refused: they may repeat
// the address.
func unnamed(err error) error {
	out := problem.New(problem.KindOf(err), ActionTell, "a subscriber could not be reached")
	var p *problem.Error
	if errors.As(err, &p) {
		out.RetryAfter = p.RetryAfter
	}
	return out
}

// message is what is sent, for people and for programs.
func (p *Pages) message(ctx context.Context, spec PageSpec, s Subscriber, t TellParams) (notify.Text, []byte, error) {
	text := notify.Text{Urgency: notify.Low, Thread: t.Page + "-" + t.Notice}
	about := spec.Title
	if c := spec.component(s.Component); c != nil {
		about += ": " + c.Title
	}
	data := map[string]any{"page": t.Page, "title": spec.Title, "url": spec.URL}
	typ := "status.confirm"
	if t.Confirm {
		link := p.link(spec, DoConfirm, s, t.At)
		text.Title = "Confirm: updates of " + about
		text.Lines = []string{"Somebody, probably you, asked for updates of " + about + " to be sent here.", "Nothing more is sent unless you confirm it within two days."}
		text.Links = []notify.Link{{Label: "Confirm", URL: link, Act: DoConfirm}}
		data["confirm"] = link
	} else {
		n, _, err := projection.Get[Notice](ctx, p.Reader, noticeName, t.Page+"/"+t.Notice)
		if err != nil {
			return text, nil, err
		}
		i := slices.IndexFunc(n.Updates, func(u Update) bool { return u.At.Equal(t.At) })
		if i < 0 {
			return text, nil, problem.New(problem.Invalid, ActionTell, "the notice %s has no update of %s", t.Notice, t.At)
		}
		u, link := n.Updates[i], p.link(spec, DoUnsubscribe, s, t.At)
		typ = "status.update"
		text.Title = fmt.Sprintf("%s: %s (%s)", spec.Title, n.Title, u.Phase)
		text.Lines = []string{u.Text}
		if spec.URL != "" {
			text.Links = append(text.Links, notify.Link{Label: "Read more", URL: trimSlash(spec.URL) + "/notices/" + n.Name + ".html"})
		}
		text.Links = append(text.Links, notify.Link{Label: "Unsubscribe", URL: link, Act: DoUnsubscribe})
		data["notice"], data["name"], data["phase"], data["text"], data["components"], data["unsubscribe"] = n.Name, n.Title, u.Phase, u.Text, u.Components, link
	}
	body, err := json.Marshal(map[string]any{"type": typ, "timestamp": t.At.UTC(), "data": data})
	return text, body, err
}
