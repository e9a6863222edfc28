package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/input"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// MaxAnswer bounds what a command takes from a server, in bytes.
const MaxAnswer = 64 << 20

var transport = &http.Client{
	Transport: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		ResponseHeaderTimeout: 2 * time.Minute,
		Proxy:                 http.ProxyFromEnvironment,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Call makes a call and gives the API's answer.
func (s *Session) Call(ctx context.Context, op operation.Operation, in any) ([]byte, error) {
	defer s.waiting(op)()
	body, err := s.open(ctx, op, in)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	raw, err := io.ReadAll(io.LimitReader(body, MaxAnswer+1))
	if err == nil && len(raw) > MaxAnswer {
		err = problem.New(problem.Invalid, op.Name(), "the answer is larger than %d bytes", MaxAnswer).WithNext("ask for less, with --limit")
	}
	if err != nil {
		return nil, s.unreachable(err)
	}
	return raw, nil
}

// open sends a call. What may be repeated without harm is, when the server is
// overloaded or the connection breaks: reads, and writes by their key.
func (s *Session) open(ctx context.Context, op operation.Operation, in any) (io.ReadCloser, error) {
	key := rand.Text()
	for attempt := 1; ; attempt++ {
		req, err := s.request(ctx, op, in)
		if err != nil {
			return nil, err
		}
		if op.Write {
			req.Header.Set("Idempotency-Key", key)
		}
		body, err := s.send(req)
		var p *problem.Error
		if err == nil || !errors.As(err, &p) || p.Kind != problem.Unavailable || p.RetryAfter == 0 || attempt == 3 {
			return body, err
		}
		if clock.Sleep(ctx, s.clock, min(p.RetryAfter, 3*time.Second)) != nil {
			return nil, err
		}
	}
}

func (s *Session) request(ctx context.Context, op operation.Operation, in any) (*http.Request, error) {
	method, path := op.Route()
	first := op.InPath()
	if first != "" {
		only, err := input.Query(op, in, func(f operation.Field) bool { return f.Name != first })
		if err != nil {
			return nil, err
		}
		path = strings.Replace(path, "{"+first+"}", url.PathEscape(only.Get(first)), 1)
	}
	rest := func(f operation.Field) bool { return f.Name == first }
	var body io.Reader
	if op.Body() {
		members, err := input.Object(op, in, rest)
		if err != nil {
			return nil, err
		}
		raw, err := json.Marshal(members)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	} else {
		query, err := input.Query(op, in, rest)
		if err != nil {
			return nil, err
		}
		if s.At != "" {
			query.Set("at", s.At)
		}
		if len(query) > 0 {
			path += "?" + query.Encode()
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, s.Server+path, body)
	if err == nil && op.Body() {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, err
}

// send gives the body of a successful answer, and the problem of any other.
func (s *Session) send(req *http.Request) (io.ReadCloser, error) {
	req.Header.Set("User-Agent", "flyball")
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	res, err := transport.Do(req)
	if err != nil {
		return nil, s.unreachable(err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	var p api.Problem
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(raw, &p) != nil || p.Kind == "" {
		return nil, problem.New(problem.Unavailable, "cli", "%s answered %s, which is not how Flyball answers", s.Server, res.Status).
			WithNext("check --server, FLYBALL_SERVER and .flyball/server.json")
	}
	return nil, p.Err()
}

func (s *Session) unreachable(err error) error {
	var known *problem.Error
	var dial *net.OpError
	switch {
	case errors.As(err, &known), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, syscall.ECONNREFUSED):
		return problem.New(problem.Unavailable, "cli", "no Flyball server answers at %s", s.Server).WithNext("start one with flyball up, or name another with --server")
	case errors.As(err, &dial) && dial.Op == "dial":
		return problem.New(problem.Unavailable, "cli", "%s cannot be reached: %w", s.Server, dial.Err).WithNext("check the address and the network, or name another server with --server")
	}
	e := problem.New(problem.Unavailable, "cli", "the connection to %s broke off: %w", s.Server, err).WithNext("try again; flyball status says whether the server is well")
	e.RetryAfter = time.Second
	return e
}

// waiting tells a person who waits longer than a second what for; the function
// it returns takes the line back.
func (s *Session) waiting(op operation.Operation) (done func()) {
	if !s.Talks {
		return func() {}
	}
	timer, stop, ended := s.clock.NewTimer(time.Second), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for seconds := 1; ; seconds++ {
			select {
			case <-stop:
				timer.Stop()
				if seconds > 1 {
					fmt.Fprint(s.Err, "\r\x1b[K")
				}
				return
			case <-timer.C():
				fmt.Fprintf(s.Err, "\r%s %s: waiting for %s, %d s", op.Noun, op.Verb, s.Server, seconds)
				timer = s.clock.NewTimer(time.Second)
			}
		}
	}()
	return func() { close(stop); <-ended }
}
