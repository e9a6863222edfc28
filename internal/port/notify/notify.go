// Package notify is the port to whoever must be told: it delivers one message
// to one target.
//
// A message says the same thing twice: as JSON for programs, and as a short
// text for people, with links some of which act (acknowledge, resolve). Each
// adapter takes what its channel can carry: a webhook the JSON, a mail the
// text, a telephone call the title. settings.go has the settings of each kind
// of channel, router.go picks the adapter by kind.
//
// Delivery is at least once. A message carries a stable identifier, the same on
// every attempt, by which a receiver drops what it has seen; when to try again
// is the caller's business (the executor of actions retries with back-off).
// Adapters pass the suite in notifytest.
package notify

import (
	"context"
	"errors"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// MaxBody is the most bytes a message's JSON may have, and its text.
const MaxBody = 64 << 10

// Class says how far a target's address is trusted.
type Class string

// The classes of targets.
const (
	// Public is for addresses that users supply at run time: only public
	// addresses are connected to.
	Public Class = "public"
	// Declared is for addresses declared in git, reviewed like code: they may
	// also be on this machine or in a private network.
	Declared Class = "declared"
)

// Target is where a message goes.
type Target struct {
	// Settings say by which kind of channel; none means a signed webhook at URL.
	Settings
	Channel string // name of the channel, for records; empty for a webhook
	Address string // to whom, in the channel's own words: a mail address, a telephone number, a topic
	// Callback is the address at which the channel's service reaches this server
	// with what people answer; empty when it cannot.
	Callback string
	Class    Class // empty is Public

	URL string // of a webhook
	// SecretEnv names the environment variable that holds a webhook's signing
	// secret. The secret itself is in no message, event or log. Empty: unsigned.
	SecretEnv string
}

// Message is one thing to tell.
type Message struct {
	ID   string // stable over attempts; printable ASCII without spaces or dots
	To   Target
	Body []byte // JSON, for programs
	Text Text   // for people
}

// Text is a message in words.
type Text struct {
	Title   string   // one line
	Lines   []string // a few; plain text
	Links   []Link   // what one may do next, the most useful first
	Urgency Urgency  // empty is High
	// Thread is what it is about, such as the name of an incident: messages with
	// the same one are shown together where a channel can.
	Thread string
}

// Urgency says whether somebody is to be disturbed.
type Urgency string

// The urgencies.
const (
	High Urgency = "high" // wake them
	Low  Urgency = "low"  // it can wait for the morning
)

// Link leads from a message to a page.
type Link struct {
	Label string // a word or two, such as Acknowledge
	URL   string
	// Act is set on links that do something: "acknowledge", "resolve", "confirm" or "unsubscribe". A POST
	// to the address does it, a GET asks first, since mail scanners follow links.
	Act string
	// Token is the signed permission inside the address of such a link, for
	// channels that send it back themselves (buttons, keys of a telephone).
	Token string
}

// Find is the first link that does act.
func (t Text) Find(act string) (Link, bool) {
	for _, l := range t.Links {
		if l.Act == act {
			return l, true
		}
	}
	return Link{}, false
}

// Receipt is what is known of a delivery.
type Receipt struct {
	Status  int           `json:"status"`            // of the protocol, such as 204
	Answer  string        `json:"answer,omitempty"`  // the beginning of what the receiver said
	Foreign string        `json:"foreign,omitempty"` // how the receiver calls the message, such as a Slack timestamp
	Elapsed time.Duration `json:"elapsed"`           // in nanoseconds
}

// Notifier delivers messages. Implementations are safe for concurrent use.
type Notifier interface {
	// Send delivers once and returns when the receiver has accepted. It fails
	// with problem.Invalid when no attempt can succeed (a malformed target or
	// message, an address the target's class forbids, a receiver that is gone
	// for good), and with problem.Unavailable when a later one may; RetryAfter
	// is then set if the receiver said so. It never outlives ctx, and gives up
	// by itself after a bounded time. IsUncertain tells failures after which the
	// receiver may have the message all the same.
	Send(ctx context.Context, m Message) (Receipt, error)
}

// Uncertain marks a failure after which the receiver may have the message: the
// request went out, the answer was lost. Trying again may repeat it.
func Uncertain(err error) error { return &uncertain{err} }

// IsUncertain reports whether err was marked by Uncertain.
func IsUncertain(err error) bool {
	var u *uncertain
	return errors.As(err, &u)
}

type uncertain struct{ err error }

func (u *uncertain) Error() string { return u.err.Error() }
func (u *uncertain) Unwrap() error { return u.err }

// Secrets finds the value of a secret by the name of its environment variable.
type Secrets func(name string) (value string, ok bool)

// Get gives a secret, or says what to do about one that is missing. The name of
// an optional one may be empty.
func (s Secrets) Get(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	if v, ok := s(name); ok && v != "" {
		return v, nil
	}
	// It may be set when the server is started next.
	return "", problem.New(problem.Unavailable, "notify.secret", "the environment variable %s, which holds a secret of the channel, is not set", name).
		WithNext("set it where the server runs, and restart the server")
}

// Check refuses messages that no adapter can send.
func Check(m Message) error {
	invalid := func(format string, args ...any) error {
		return problem.New(problem.Invalid, "notify.send", format, args...)
	}
	if m.ID == "" || len(m.ID) > 256 {
		return invalid("a message has an identifier of up to 256 bytes")
	}
	for _, b := range []byte(m.ID) {
		if b <= ' ' || b > '~' || b == '.' {
			return invalid("the message identifier %q has a character that is not printable ASCII, or a dot", m.ID)
		}
	}
	size := len(m.Text.Title)
	for _, l := range m.Text.Lines {
		size += len(l)
	}
	if len(m.Body) > MaxBody || size > MaxBody {
		return invalid("the message has %d bytes; at most %d are sent", max(len(m.Body), size), MaxBody)
	}
	if c := m.To.Class; c != "" && c != Public && c != Declared {
		return invalid("%q is not a class of targets", c)
	}
	return nil
}
