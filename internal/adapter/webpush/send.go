package webpush

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/flyball-dev/flyball/internal/adapter/outbound"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Sender pushes.
type Sender struct {
	clock  clock.Clock
	client *outbound.Client
	key    *ecdsa.PrivateKey
}

// New makes a sender that identifies itself with a key of P-256. Browsers that
// have signed up under another key cannot be reached with it.
func New(c clock.Clock, key *ecdsa.PrivateKey) *Sender {
	return &Sender{clock: c, client: outbound.NewClient(c), key: key}
}

// Notification is what the service worker gets.
type Notification struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Body    string   `json:"body"`
	URL     string   `json:"url,omitempty"` // of the page a click opens
	Urgent  bool     `json:"urgent"`
	Actions []Action `json:"actions,omitempty"`
}

// Action is a button that posts to its address.
type Action struct {
	Action string `json:"action"`
	Title  string `json:"title"`
	URL    string `json:"url"`
}

// Seconds for which a push service keeps a message for a browser that is away.
const keep = "3600"

// Send pushes one message. See notify.Notifier.
func (s *Sender) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	if err := notify.Check(m); err != nil {
		return notify.Receipt{}, err
	}
	var to Subscription
	if m.To.WebPush == nil || json.Unmarshal([]byte(m.To.Address), &to) != nil {
		return notify.Receipt{}, problem.New(problem.Invalid, "webpush.send", "the target is no browser's subscription")
	}
	u, err := url.Parse(to.Endpoint)
	if err != nil || u.Host == "" {
		return notify.Receipt{}, problem.New(problem.Invalid, "webpush.send", "the address of the push service is malformed")
	}
	body, err := encrypt(to, notification(m))
	if err != nil {
		return notify.Receipt{}, problem.New(problem.Invalid, "webpush.send", "the browser's subscription is malformed")
	}
	authorization, err := vapid(s.key, u.Scheme+"://"+u.Host, m.To.WebPush.Contact, s.clock.Now())
	if err != nil {
		return notify.Receipt{}, problem.New(problem.Internal, "webpush.send", "%w", err)
	}
	urgency := "high"
	if m.Text.Urgency == notify.Low {
		urgency = "normal"
	}
	a, err := s.client.Post(ctx, outbound.Request{
		Op: "webpush.send", Who: "the push service", Class: m.To.Class, URL: to.Endpoint, Body: body,
		Header: http.Header{
			"Content-Type": {"application/octet-stream"}, "Content-Encoding": {"aes128gcm"}, "Ttl": {keep}, "Urgency": {urgency},
			// A message with the same topic replaces one that waits.
			"Topic": {topic(m.ID)}, "Authorization": {authorization},
		},
	})
	if a.Status == http.StatusNotFound {
		return a.Receipt, problem.New(problem.Invalid, "webpush.send", "the browser has signed off (404)")
	}
	return a.Receipt, err
}

// topic is an identifier in the 32 characters that a topic may have.
func topic(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}

// notification is what fits into a push of a message, the buttons before the
// words.
func notification(m notify.Message) []byte {
	n := Notification{ID: m.ID, Title: first(m.Text.Title, 300), Body: strings.Join(m.Text.Lines, "\n"), Urgent: m.Text.Urgency != notify.Low}
	for _, l := range m.Text.Links {
		switch {
		case l.Act != "":
			n.Actions = append(n.Actions, Action{Action: l.Act, Title: l.Label, URL: l.URL})
		case n.URL == "":
			n.URL = l.URL
		}
	}
	for {
		b, err := json.Marshal(n)
		if err == nil && len(b) <= maxPlain {
			return b
		}
		if n.Body == "" {
			n.Actions, n.URL = nil, "" // addresses that long are none
		}
		n.Body = first(n.Body, len([]rune(n.Body))/2)
	}
}

func first(s string, n int) string {
	r := []rune(s)
	return string(r[:min(n, len(r))])
}
