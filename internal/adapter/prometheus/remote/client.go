package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/outbound"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Config says where a server is and how it is asked.
type Config struct {
	URL string // http:// or https://, with the prefix that comes before /api/v1
	// Credentials, by the name of a secret: a bearer token, or a user with a password.
	BearerSecret   string
	User           string
	PasswordSecret string
	// Tenant is sent as X-Scope-OrgID, for Mimir and others.
	Tenant string

	Secret    func(name string) (string, bool)
	Timeout   time.Duration // of one request; default 30 s
	MaxBytes  int64         // of one answer; default 128 MiB
	Clock     clock.Clock
	UserAgent string
}

// Client is a server somewhere else. It implements metric.Engine and
// metric.Discovery.
type Client struct {
	cfg  Config
	base *url.URL
	http *http.Client

	mu      sync.Mutex
	rest    time.Time     // before it the server is left alone
	backoff time.Duration // of the next refusal without Retry-After
	able    bool          // whether samples are had by remote read
	known   time.Time     // until when that is believed
}

// Bounds of backing off.
const (
	firstBackoff = time.Second
	maxBackoff   = 2 * time.Minute
)

// New makes a client; nothing is asked yet.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(cfg.URL, "/"))
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, problem.New(problem.Invalid, "metric.remote", "the address of the metrics server is not http:// or https:// with a host").
			WithNext("write connectionDetails: {url: http://prometheus:9090}")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, problem.New(problem.Invalid, "metric.remote", "the address of the metrics server carries credentials or a query").
			WithNext("write bearerTokenSecret, or username and passwordSecret, naming a secret")
	case cfg.BearerSecret != "" && cfg.User != "":
		return nil, problem.New(problem.Invalid, "metric.remote", "both a bearer token and a user are given").WithNext("remove one")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 128 << 20
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "flyball"
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: guard}
	return &Client{cfg: cfg, base: u, http: &http.Client{
		Transport:     &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// guard sees the address that is about to be connected to, whatever the name
// was that led there.
func guard(network, address string, c syscall.RawConn) error {
	err := outbound.Control(func(a netip.Addr) bool {
		a = a.Unmap()
		return (a.IsGlobalUnicast() || a.IsLoopback()) && !outbound.Forbidden(a)
	})(network, address, c)
	if errors.Is(err, outbound.ErrAddress) {
		return problem.New(problem.Invalid, "metric.remote", "the metrics server has a wrong address: %w", err)
	}
	return err
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// envelope is what every endpoint answers in.
type envelope struct {
	Status    string          `json:"status"`
	Data      json.RawMessage `json:"data"`
	ErrorType string          `json:"errorType"`
	Error     string          `json:"error"`
	Warnings  []string        `json:"warnings"`
	Infos     []string        `json:"infos"`
	Partial   bool            `json:"isPartial"` // VictoriaMetrics
}

// call asks an endpoint below /api/v1.
func (c *Client) call(ctx context.Context, method, path string, form url.Values) (envelope, error) {
	if err := c.resting(); err != nil {
		return envelope{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := c.request(ctx, method, path, form)
	if err != nil {
		return envelope{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return envelope{}, unreachable(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.cfg.MaxBytes+1))
	if err != nil {
		return envelope{}, unreachable(err)
	}
	if int64(len(body)) > c.cfg.MaxBytes {
		return envelope{}, c.tooLarge()
	}
	var e envelope
	readable := json.Unmarshal(body, &e) == nil && e.Status != ""
	if resp.StatusCode/100 != 2 || readable && e.Status != "success" {
		return e, c.refused(resp, e)
	}
	if !readable {
		return e, problem.New(problem.Invalid, "metric.remote", "the answer is not that of a Prometheus API").
			WithNext("check the address: GET %s/api/v1/query?query=1 answers {\"status\":\"success\",…}", c.base.Redacted())
	}
	c.mu.Lock()
	c.backoff = 0
	c.mu.Unlock()
	return e, nil
}

func (c *Client) tooLarge() error {
	return problem.New(problem.Invalid, "metric.remote", "the answer is larger than %d MiB", c.cfg.MaxBytes>>20).
		WithNext("ask for a shorter time, or for fewer series")
}

func (c *Client) request(ctx context.Context, method, path string, form url.Values) (*http.Request, error) {
	target := c.base.JoinPath("api", "v1").String() + "/" + path
	var body io.Reader
	if method == http.MethodPost {
		body = bytes.NewReader([]byte(form.Encode()))
	} else if len(form) > 0 {
		target += "?" + form.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, problem.New(problem.Invalid, "metric.remote", "the address of the metrics server is malformed")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	if c.cfg.Tenant != "" {
		req.Header.Set("X-Scope-OrgID", c.cfg.Tenant)
	}
	return req, c.authorize(req)
}

func (c *Client) authorize(req *http.Request) error {
	name := c.cfg.BearerSecret + c.cfg.PasswordSecret
	if name == "" {
		return nil
	}
	secret, ok := "", false
	if c.cfg.Secret != nil {
		secret, ok = c.cfg.Secret(name)
	}
	if !ok || secret == "" {
		// It may be set when the server is started next.
		return problem.New(problem.Unavailable, "metric.remote", "the secret %s is not there", name).
			WithNext("set the environment variable FLYBALL_SECRET_%s where the server runs, and restart the server", name)
	}
	if c.cfg.BearerSecret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	} else {
		req.SetBasicAuth(c.cfg.User, secret)
	}
	return nil
}

// unreachable classifies a failure to connect or to read.
func unreachable(err error) error {
	var p *problem.Error
	if errors.As(err, &p) {
		return p
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return problem.New(problem.Unavailable, "metric.remote", "the metrics server cannot be reached: %w", err)
}

// resting refuses to ask while the server is to be left alone.
func (c *Client) resting() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait := c.rest.Sub(c.cfg.Clock.Now())
	if wait <= 0 {
		return nil
	}
	e := problem.New(problem.Unavailable, "metric.remote", "the metrics server asked to be left alone for another %s", wait.Round(time.Second))
	e.RetryAfter = wait
	return e
}

// refused turns an answer that is no success into a problem.
func (c *Client) refused(resp *http.Response, e envelope) error {
	why := e.Error
	if len(why) > 500 {
		why = why[:500]
	}
	if why == "" {
		why = http.StatusText(resp.StatusCode)
	}
	say := func(kind problem.Kind) *problem.Error {
		return problem.New(kind, "metric.remote", "the metrics server answered %d: %s", resp.StatusCode, why)
	}
	switch status := resp.StatusCode; {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		out := say(problem.Unavailable)
		out.RetryAfter = c.leaveAlone(resp.Header.Get("Retry-After"))
		return out
	case status/100 == 3:
		return problem.New(problem.Invalid, "metric.remote", "the metrics server points elsewhere (%d), which is not followed", status).WithNext("declare the address it points to")
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return say(problem.Denied).WithNext("check the credentials of the data source")
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		return say(problem.NotFound).WithNext("check the address: %s/api/v1/query should exist", c.base.Redacted())
	case status/100 == 4 && e.ErrorType != "timeout" && e.ErrorType != "canceled":
		return say(problem.Invalid).WithNext("correct the query, or ask for a shorter time")
	}
	return say(problem.Unavailable)
}

// leaveAlone remembers that the server is overloaded and returns for how long.
func (c *Client) leaveAlone(header string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.backoff = min(max(2*c.backoff, firstBackoff), maxBackoff)
	wait := c.backoff
	if seconds, err := strconv.Atoi(header); err == nil && seconds > 0 {
		wait = min(time.Duration(seconds)*time.Second, 10*time.Minute)
	}
	c.rest = c.cfg.Clock.Now().Add(wait)
	return wait
}

func seconds(t time.Time) string { return fmt.Sprintf("%.3f", float64(t.UnixMilli())/1000) }
