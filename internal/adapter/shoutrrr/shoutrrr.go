// Package shoutrrr reaches the long tail of services by the library of that
// name: port/notify's adapter for Telegram, Matrix, Discord, Pushover, Gotify and
// some dozens more. The library dials by itself, so its addresses come from the
// server's environment alone, never from users, and what it says when it fails is
// not passed on: it may hold the tokens of the address.
package shoutrrr

import (
	"context"
	"errors"
	"io"
	"log"
	"net/url"
	"strings"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// timeout bounds one delivery.
const timeout = 10 * time.Second

// Sender sends by the library.
type Sender struct {
	clock  clock.Clock
	secret notify.Secrets
}

// New makes a sender that asks secret for addresses.
func New(c clock.Clock, secret notify.Secrets) *Sender { return &Sender{clock: c, secret: secret} }

// Send sends one message. See notify.Notifier. The library says neither the
// status nor whether a failure is for good.
func (s *Sender) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	if err := notify.Check(m); err != nil {
		return notify.Receipt{}, err
	}
	if m.To.Shoutrrr == nil || m.To.Class != notify.Declared {
		return notify.Receipt{}, problem.New(problem.Invalid, "shoutrrr.send", "the target is no service that the server's environment names")
	}
	address, err := s.secret.Get(m.To.Shoutrrr.URLEnv)
	if err != nil {
		return notify.Receipt{}, err
	}
	address = strings.TrimSpace(address)
	service := "the service"
	if u, err := url.Parse(address); err == nil && u.Scheme != "" {
		service, _, _ = strings.Cut(u.Scheme, "+")
	}
	r, err := router.New(log.New(io.Discard, "", 0), address)
	if err != nil {
		return notify.Receipt{}, problem.New(problem.Unavailable, "shoutrrr.send", "the address in %s is none that the library knows", m.To.Shoutrrr.URLEnv).
			WithNext("see the library's documentation of %s", service)
	}
	r.Timeout = timeout
	start := s.clock.Now()
	// The library knows no context.
	failures := r.SendAsync(text(m.Text), &types.Params{"title": m.Text.Title})
	for {
		select {
		case failed, more := <-failures:
			switch {
			case failed != nil:
				return notify.Receipt{}, refused(service, failed)
			case !more:
				return notify.Receipt{Status: accepted, Answer: service, Elapsed: s.clock.Now().Sub(start)}, nil
			}
		case <-ctx.Done():
			return notify.Receipt{}, notify.Uncertain(problem.New(problem.Unavailable, "shoutrrr.send", "%s: %w", service, ctx.Err()))
		}
	}
}

// accepted stands for the status that the library does not tell.
const accepted = 200

func refused(service string, err error) error {
	out := problem.New(problem.Unavailable, "shoutrrr.send", "%s did not accept the message", service).
		WithNext("check the address with the library's own program: shoutrrr send")
	if errors.Is(err, router.ErrServiceTimeout) {
		return notify.Uncertain(out)
	}
	return out
}

// text is a message for services that have neither buttons nor a title.
func text(t notify.Text) string {
	lines := append([]string{t.Title}, t.Lines...)
	for _, l := range t.Links {
		lines = append(lines, l.Label+": "+l.URL)
	}
	return strings.Join(lines, "\n")
}
