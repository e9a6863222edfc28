package channel

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Letter is one message on its way.
type Letter struct {
	ID   string    // stable over attempts; printable ASCII without spaces or dots
	To   []Contact // tried in order until one accepts
	Body []byte    // JSON, for programs
	Text notify.Text
	// Class says how far the addresses in To are trusted; empty is Public:
	// addresses that users supply at run time. Pages are Declared.
	Class notify.Class
	// Acts are what its reader may do about Incident: links are added to the
	// text, signed for Person.
	Acts     []string
	Incident string
	Person   string
	// Tries and Began are of the action it belongs to: what earlier attempts may
	// have delivered is counted as repeated. See Of.
	Tries int
	Began time.Time
}

// Of makes a letter for an action: its identifier is the action's.
func Of(a action.Action) Letter { return Letter{ID: a.ID, Tries: a.Attempts, Began: a.StartedAt} }

// Delivery is what is known of a letter that was accepted: an action's result.
type Delivery struct {
	notify.Receipt
	Channel string `json:"channel,omitempty"`  // empty for a webhook
	To      string `json:"to"`                 // masked
	Attempt int    `json:"attempt,omitempty"`  // from 1
	Failed  []Miss `json:"failed,omitempty"`   // contacts that were tried before
	Repeat  bool   `json:"repeated,omitempty"` // an earlier attempt may have arrived, and the channel cannot tell
	Skipped string `json:"skipped,omitempty"`  // why nothing was sent
}

// Miss is a contact that did not accept.
type Miss struct {
	Channel string `json:"channel,omitempty"`
	To      string `json:"to"` // masked
	Error   string `json:"error"`
}

// Post delivers letters. Reader and Notifier are required.
type Post struct {
	Reader   projection.Reader
	Notifier notify.Notifier
	Clock    clock.Clock
	Web      string    // address of the pages, for links; may be empty
	Key      Key       // signs links that act; without it there are none
	Log      event.Log // for channels that did not accept; may be nil

	lanes
	once    sync.Once
	began   time.Time // of this process, about
	mu      sync.Mutex
	unsure  map[string]bool // letters whose receiver may have them, by identifier and contact
	unsures []string        // in order
}

// Open notes when the process began: what was started before may have arrived.
func (p *Post) Open() { p.once.Do(func() { p.began = p.Clock.Now() }) }

// Deliver tries the contacts in order until one accepts. It fails for good only
// when every one of them does.
func (p *Post) Deliver(ctx context.Context, l Letter) (Delivery, error) {
	l.Text.Links = append(p.links(l), l.Text.Links...)
	var missed []Miss
	var last, later error
	for _, k := range l.To {
		d, err := p.one(ctx, l, k)
		if err == nil {
			d.Attempt, d.Failed = l.Tries+1, missed
			return d, nil
		}
		missed = append(missed, Miss{Channel: k.Channel, To: masked(k), Error: err.Error()})
		last = err
		if problem.KindOf(err) != problem.Invalid {
			later = err
		}
	}
	if last == nil {
		last = problem.New(problem.Invalid, "channel.deliver", "there is nobody to deliver to")
	}
	return Delivery{Failed: missed}, cmp.Or(later, last)
}

// links are what a letter's reader may do.
func (p *Post) links(l Letter) (out []notify.Link) {
	if len(p.Key) == 0 || p.Web == "" {
		return nil
	}
	for _, does := range l.Acts {
		token := p.Key.Seal(Act{Does: does, Incident: l.Incident, Person: l.Person, Expires: p.Clock.Now().Add(ActLife).Unix()})
		out = append(out, notify.Link{Label: strings.ToUpper(does[:1]) + does[1:], URL: p.Address(ActPath + token), Act: does, Token: token})
	}
	return out
}

// ActPath is where links that act are answered, below the address of the pages.
const ActPath = "/act/"

// Address is the address of a page; empty when the server knows none of its own.
func (p *Post) Address(path string) string {
	if p.Web == "" {
		return ""
	}
	return strings.TrimSuffix(p.Web, "/") + path
}

// one delivers to one contact.
func (p *Post) one(ctx context.Context, l Letter, k Contact) (Delivery, error) {
	targets, err := p.targets(ctx, l, k)
	if err != nil {
		return Delivery{}, err
	}
	var out Delivery
	for i, t := range targets {
		id := l.ID
		if i > 0 || len(targets) > 1 {
			id = l.ID + "-" + t.browser.ID
		}
		r, failed := p.send(ctx, notify.Message{ID: id, To: t.Target, Body: l.Body, Text: l.textFor(t.Target)})
		key := id + " " + k.Channel
		if failed == nil {
			out = Delivery{Receipt: r, Channel: k.Channel, To: masked(k), Repeat: p.repeats(l, t.Target, key)}
			continue
		}
		if notify.IsUncertain(failed) {
			p.doubt(key)
		}
		p.failed(ctx, l, k, t, failed)
		err = cmp.Or(err, failed)
	}
	if out.To != "" { // at least one of a person's browsers has it
		return out, nil
	}
	return out, err
}

// textFor is the text for a target. In a room nobody knows who reads it: links
// that answer a page are left to channels that say who has pressed them.
func (l Letter) textFor(t notify.Target) notify.Text {
	text := l.Text
	if l.Person == "" && (t.Slack == nil || t.Slack.SigningSecretEnv == "") {
		text.Links = slices.DeleteFunc(slices.Clone(text.Links), func(k notify.Link) bool { return k.Act == Acknowledge || k.Act == Resolve })
	}
	return text
}

// target is a target with what the room knows of it.
type target struct {
	notify.Target
	browser Browser // of a push
}

func (p *Post) targets(ctx context.Context, l Letter, k Contact) ([]target, error) {
	t := notify.Target{URL: k.URL, SecretEnv: k.SecretEnv, Class: l.Class}
	if k.Channel == "" {
		return []target{{Target: t}}, nil
	}
	spec, _, err := catalog.Get[Spec](ctx, p.Reader, Kind, k.Channel)
	if problem.KindOf(err) == problem.NotFound {
		return nil, problem.New(problem.Invalid, "channel.deliver", "there is no channel %q any more", k.Channel)
	}
	if err != nil {
		return nil, err
	}
	t.Settings, t.Channel, t.Address = spec.Settings, k.Channel, k.To
	// The address of a channel's service is declared in git, whoever the letter
	// is for; only a webhook's is the reader's own.
	t.Class = notify.Declared
	if spec.Voice != nil {
		t.Callback = p.Address("/telephone/" + k.Channel)
	}
	if spec.WebPush != nil {
		return p.browsersOf(ctx, t, k.To)
	}
	return []target{{Target: t}}, nil
}

// send delivers once, within bounds of time and of what is under way.
func (p *Post) send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	name := m.To.Channel
	if name == "" {
		name = host(m.To.URL)
	}
	leave, err := p.enter(ctx, p.Clock, name)
	if err != nil {
		return notify.Receipt{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	r, err := p.Notifier.Send(ctx, m)
	leave(err)
	return r, err
}

func masked(k Contact) string {
	if k.Channel == "" {
		return host(k.URL)
	}
	if k.To == "" {
		return k.Channel
	}
	return Mask(k.To)
}

// repeats reports whether an accepted letter may have been accepted before by a
// receiver that cannot tell.
func (p *Post) repeats(l Letter, t notify.Target, key string) bool {
	if t.Deduplicates() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.unsure[key]
	delete(p.unsure, key)
	// The server ended while an attempt was under way.
	return before || !l.Began.IsZero() && l.Began.Before(p.began)
}

// mostUnsure bounds what is remembered of lost answers.
const mostUnsure = 10_000

func (p *Post) doubt(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unsure == nil {
		p.unsure = map[string]bool{}
	}
	if !p.unsure[key] {
		p.unsure[key] = true
		p.unsures = append(p.unsures, key)
	}
	if n := len(p.unsures) - mostUnsure; n > 0 {
		for _, old := range p.unsures[:n] {
			delete(p.unsure, old)
		}
		p.unsures = slices.Clone(p.unsures[n:])
	}
}

// failed records that a channel did not accept, so that it shows; and that a
// browser is gone, if that is why.
func (p *Post) failed(ctx context.Context, l Letter, k Contact, t target, err error) {
	if p.Log == nil || k.Channel == "" {
		return
	}
	if t.browser.ID != "" && problem.KindOf(err) == problem.Invalid {
		_ = recordBrowser(ctx, p.Log, "controller:action", l.ID, EventUnsubscribed, Browser{ID: t.browser.ID, Channel: t.browser.Channel, Person: t.browser.Person})
	}
	// That it cannot be recorded is no reason not to try the next contact.
	_, _ = p.Log.Append(ctx, event.Batch{Stream: stream(k.Channel), Expect: event.AnyVersion, Drafts: []event.Draft{{
		Type: EventFailed, Subject: stream(k.Channel), Actor: "controller:action", Cause: l.ID,
		Data: Failed{Channel: k.Channel, To: masked(k), Message: l.ID, Error: err.Error(), Uncertain: notify.IsUncertain(err)},
	}}})
}
