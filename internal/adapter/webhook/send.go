package webhook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Bounds on one delivery.
const (
	timeout   = 10 * time.Second
	maxAnswer = 1 << 10 // bytes of the receiver's answer that are looked at
)

// Sender posts messages to webhooks.
type Sender struct {
	clock     clock.Clock
	secret    func(name string) (value string, ok bool)
	clients   map[notify.Class]*http.Client
	userAgent string
}

// New makes a sender that finds signing secrets in this process's environment.
func New(c clock.Clock) *Sender { return NewWith(c, os.LookupEnv) }

// NewWith makes a sender that asks secret for the value of a signing secret.
func NewWith(c clock.Clock, secret func(name string) (value string, ok bool)) *Sender {
	s := &Sender{clock: c, secret: secret, clients: map[notify.Class]*http.Client{}, userAgent: "flyball"}
	for _, class := range []notify.Class{notify.Public, notify.Declared} {
		dialer := &net.Dialer{Timeout: timeout / 2, Control: guard(class)}
		s.clients[class] = &http.Client{
			Timeout: timeout,
			Transport: &http.Transport{
				// No proxy: the guard must see the receiver's own address.
				DialContext: dialer.DialContext, TLSHandshakeTimeout: timeout / 2, ResponseHeaderTimeout: timeout,
				ForceAttemptHTTP2: true, MaxIdleConns: 16, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 16 << 10,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return s
}

// Send posts one message. See notify.Notifier.
func (s *Sender) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	if m.To.Class == "" {
		m.To.Class = notify.Public
	}
	req, err := s.request(ctx, m)
	if err != nil {
		return notify.Receipt{}, err
	}
	start := s.clock.Now()
	resp, err := s.clients[m.To.Class].Do(req)
	if err != nil {
		return notify.Receipt{}, unreachable(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	r := notify.Receipt{Status: resp.StatusCode, Answer: text(answer), Elapsed: s.clock.Now().Sub(start)}
	return r, refused(resp, r)
}

func (s *Sender) request(ctx context.Context, m notify.Message) (*http.Request, error) {
	if err := check(m); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.To.URL, bytes.NewReader(m.Body))
	if err != nil {
		return nil, problem.New(problem.Invalid, "webhook.send", "the address of the webhook is malformed")
	}
	now := s.clock.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", s.userAgent)
	req.Header.Set(HeaderID, m.ID)
	req.Header.Set(HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	if m.To.SecretEnv == "" {
		return req, nil
	}
	secret, ok := s.secret(m.To.SecretEnv)
	if !ok || secret == "" {
		// It may be set when the server is started next.
		return nil, problem.New(problem.Unavailable, "webhook.send", "the environment variable %s, which holds the signing secret, is not set", m.To.SecretEnv).
			WithNext("set it where the server runs, and restart the server")
	}
	signature, err := Sign(secret, m.ID, now, m.Body)
	if err != nil {
		return nil, err
	}
	req.Header.Set(HeaderSignature, signature)
	return req, nil
}

func check(m notify.Message) error {
	invalid := func(format string, args ...any) error {
		return problem.New(problem.Invalid, "webhook.send", format, args...)
	}
	if m.ID == "" || len(m.ID) > 256 {
		return invalid("a message has an identifier of up to 256 bytes")
	}
	for _, b := range []byte(m.ID) {
		if b <= ' ' || b > '~' || b == '.' {
			return invalid("the message identifier %q has a character that is not printable ASCII, or a dot", m.ID)
		}
	}
	if len(m.Body) > notify.MaxBody {
		return invalid("the message has %d bytes; at most %d are sent", len(m.Body), notify.MaxBody)
	}
	if m.To.Class != notify.Public && m.To.Class != notify.Declared {
		return invalid("%q is not a class of targets", m.To.Class)
	}
	u, err := url.Parse(m.To.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return invalid("the address of the webhook is not http:// or https:// with a host")
	}
	if u.User != nil {
		return invalid("the address of the webhook carries credentials; use a signing secret")
	}
	return nil
}

// unreachable classifies a failure to connect. The address is left out: it may
// hold a token.
func unreachable(err error) error {
	var p *problem.Error
	if errors.As(err, &p) {
		return p
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return problem.New(problem.Unavailable, "webhook.send", "the webhook cannot be reached: %w", err)
}

// refused turns an answer other than 2xx into an error. Only 410 says that it
// is for good; a page is worth another try for every other reason.
func refused(resp *http.Response, r notify.Receipt) error {
	switch {
	case r.Status >= 200 && r.Status < 300:
		return nil
	case r.Status == http.StatusGone:
		return problem.New(problem.Invalid, "webhook.send", "the webhook is gone for good (410)").WithNext("remove it from the Team's page, or replace it")
	case r.Status >= 300 && r.Status < 400:
		return problem.New(problem.Unavailable, "webhook.send", "the webhook points elsewhere (%d), which is not followed", r.Status).WithNext("declare the address it points to")
	}
	e := problem.New(problem.Unavailable, "webhook.send", "the webhook answered %d: %s", r.Status, r.Answer)
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 && seconds <= 3600 {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}

// text is what a receiver said, made fit for a record.
func text(b []byte) string {
	for len(b) > 0 && !utf8.Valid(b) {
		b = b[:len(b)-1]
	}
	return string(b)
}
