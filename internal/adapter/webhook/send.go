package webhook

import (
	"context"
	"net/http"
	"os"
	"strconv"

	"github.com/flyball-dev/flyball/internal/adapter/outbound"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Sender posts messages to webhooks.
type Sender struct {
	clock  clock.Clock
	secret notify.Secrets
	client *outbound.Client
}

// New makes a sender that finds signing secrets in this process's environment.
func New(c clock.Clock) *Sender { return NewWith(c, os.LookupEnv) }

// NewWith makes a sender that asks secret for the value of a signing secret.
func NewWith(c clock.Clock, secret notify.Secrets) *Sender {
	return &Sender{clock: c, secret: secret, client: outbound.NewClient(c)}
}

// Send posts one message. See notify.Notifier.
func (s *Sender) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	if err := notify.Check(m); err != nil {
		return notify.Receipt{}, err
	}
	header, err := s.header(m)
	if err != nil {
		return notify.Receipt{}, err
	}
	a, err := s.client.Post(ctx, outbound.Request{
		Op: "webhook.send", Who: "the webhook", Class: m.To.Class, URL: m.To.URL, Header: header, Body: m.Body,
	})
	return a.Receipt, err
}

// header is what a receiver recognises a message and its sender by.
func (s *Sender) header(m notify.Message) (http.Header, error) {
	now := s.clock.Now()
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set(HeaderID, m.ID)
	h.Set(HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	if m.To.SecretEnv == "" {
		return h, nil
	}
	secret, err := s.secret.Get(m.To.SecretEnv)
	if err != nil {
		return nil, err
	}
	signature, err := Sign(secret, m.ID, now, m.Body)
	if err != nil {
		return nil, err
	}
	h.Set(HeaderSignature, signature)
	return h, nil
}
