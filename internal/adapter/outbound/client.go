package outbound

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Bounds on one request.
const (
	Timeout   = 10 * time.Second
	maxAnswer = 1 << 10  // bytes of the answer that a receipt keeps
	maxRead   = 64 << 10 // bytes of the answer that are read
)

// Client makes requests to addresses that a class of targets may have.
type Client struct {
	clock   clock.Clock
	clients map[notify.Class]*http.Client
}

// NewClient makes a client.
func NewClient(c clock.Clock) *Client {
	out := &Client{clock: c, clients: map[notify.Class]*http.Client{}}
	for class, allowed := range map[notify.Class]func(netip.Addr) bool{notify.Public: Public, notify.Declared: Declared} {
		dialer := &net.Dialer{Timeout: Timeout / 2, Control: Control(allowed)}
		out.clients[class] = &http.Client{
			Timeout: Timeout,
			Transport: &http.Transport{
				// No proxy: the guard must see the receiver's own address.
				DialContext: dialer.DialContext, TLSHandshakeTimeout: Timeout / 2, ResponseHeaderTimeout: Timeout,
				ForceAttemptHTTP2: true, MaxIdleConns: 16, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 16 << 10,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return out
}

// Request is one POST.
type Request struct {
	Op     string // for errors, such as "slack.send"
	Who    string // in errors, such as "Slack"
	Class  notify.Class
	URL    string // http or https, without credentials
	Header http.Header
	Body   []byte
}

// Answer is what came back.
type Answer struct {
	notify.Receipt
	Header http.Header
	Body   []byte // its beginning
}

// Post makes one POST. It fails as notify.Notifier's Send says; whatever the
// status, the answer is returned with the error.
func (c *Client) Post(ctx context.Context, r Request) (Answer, error) {
	if r.Class == "" {
		r.Class = notify.Public
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return Answer{}, problem.New(problem.Invalid, r.Op, "the address of %s is not http:// or https:// with a host", r.Who)
	}
	if u.User != nil {
		return Answer{}, problem.New(problem.Invalid, r.Op, "the address of %s carries credentials; use a signing secret", r.Who)
	}
	var sent atomic.Bool // then it may have arrived
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return Answer{}, problem.New(problem.Invalid, r.Op, "the address of %s is malformed", r.Who)
	}
	if r.Header != nil {
		req.Header = r.Header
	}
	req.Header.Set("User-Agent", "flyball")
	start := c.clock.Now()
	resp, err := c.clients[r.Class].Do(req)
	if err != nil {
		return Answer{}, r.unreachable(err, sent.Load())
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRead))
	a := Answer{Header: resp.Header, Body: body}
	a.Receipt = notify.Receipt{Status: resp.StatusCode, Answer: Text(body), Elapsed: c.clock.Now().Sub(start)}
	return a, r.refused(a)
}

// unreachable classifies a failure to connect, or to get an answer. The address
// is left out: it may hold a token.
func (r Request) unreachable(err error, sent bool) error {
	if errors.Is(err, ErrAddress) {
		return problem.New(problem.Invalid, r.Op, "%s is not an address that a %s target may have", host(err), r.Class).
			WithNext("declare the target in git (a Team's page, a Channel) if it is on your own network")
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	out := problem.New(problem.Unavailable, r.Op, "%s cannot be reached: %w", r.Who, err)
	if sent {
		return notify.Uncertain(out)
	}
	return out
}

// host is the address in an error of the guard.
func host(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		return op.Addr.String()
	}
	return "that"
}

// refused turns an answer other than 2xx into an error. Only 410 says that it
// is for good; a page is worth another try for every other reason.
func (r Request) refused(a Answer) error {
	switch status := a.Status; {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusGone:
		return problem.New(problem.Invalid, r.Op, "%s is gone for good (410)", r.Who).WithNext("remove its address, or replace it")
	case status >= 300 && status < 400:
		return problem.New(problem.Unavailable, r.Op, "%s points elsewhere (%d), which is not followed", r.Who, status).WithNext("declare the address it points to")
	}
	e := problem.New(problem.Unavailable, r.Op, "%s answered %d: %s", r.Who, a.Status, a.Answer)
	e.RetryAfter = RetryAfter(a.Header)
	return e
}

// RetryAfter is how long an answer asks to be left alone, up to an hour; 0 when
// it does not say.
func RetryAfter(h http.Header) time.Duration {
	if seconds, err := strconv.Atoi(h.Get("Retry-After")); err == nil && seconds > 0 && seconds <= 3600 {
		return time.Duration(seconds) * time.Second
	}
	return 0
}

// Text is the beginning of what a receiver said, fit for a record.
func Text(b []byte) string {
	b = b[:min(len(b), maxAnswer)]
	for len(b) > 0 && !utf8.Valid(b) {
		b = b[:len(b)-1]
	}
	return string(b)
}
