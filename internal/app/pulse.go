package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

const (
	pulseEvery = 5 * time.Second
	// pulseLate is how old a pulse may be before the controllers count as stuck.
	pulseLate = 60 * time.Second
	// foldPatience is how long the states may be behind the log.
	foldPatience = 5 * time.Second
	// beatTimeout is of one heartbeat sent elsewhere.
	beatTimeout = 10 * time.Second
)

// pulseName is the pulse's among processors. It decides nothing.
const pulseName = "pulse"

// pulse is a processor that only says that processors still get their turn: it
// waits in the same queue as every controller.
type pulse struct {
	clock clock.Clock
	last  *atomic.Int64 // Unix nanoseconds
}

func (pulse) Name() string                                                { return pulseName }
func (pulse) Wakes(event.Event) []string                                  { return nil }
func (pulse) Active(context.Context, projection.Reader) ([]string, error) { return nil, nil }

// Process notes the time.
func (p pulse) Process(context.Context, *control.Env, string, control.Waking) (time.Time, error) {
	p.last.Store(p.clock.Now().UnixNano())
	return time.Time{}, nil
}

// beat has the pulse felt again and again.
func (a *App) beat(ctx context.Context) error {
	for {
		a.controls.Wake(pulseName, "server")
		if err := clock.Sleep(ctx, a.cfg.Clock, pulseEvery); err != nil {
			return err
		}
	}
}

// Ready says what keeps this server from doing its work, nil when nothing does:
// it has the lease, which it renews by a durable write every few seconds; its
// controllers get their turn; and its states follow the log.
func (a *App) Ready(ctx context.Context) error {
	now := a.cfg.Clock.Now()
	unready := func(format string, args ...any) error {
		return problem.New(problem.Unavailable, "ready", format, args...).WithNext("see what the server prints")
	}
	if until := a.leadsUntil.Load(); now.UnixNano() >= until {
		return unready("the server's lease could not be renewed: its store does not take writes, or another server has taken over")
	}
	if last := a.pulsed.Load(); last == 0 || now.Sub(time.Unix(0, last)) > pulseLate {
		return unready("the controllers do not get their turn")
	}
	ctx, cancel := context.WithTimeout(ctx, foldPatience)
	defer cancel()
	if err := a.sync(ctx); err != nil {
		return unready("the states do not follow the log: %v", err)
	}
	return nil
}

// Readiness is what /readyz answers.
type Readiness struct {
	Ready bool `json:"ready"`
	// Beat moves on while the server works: who sees the same one for long sees
	// a copy.
	Beat   time.Time `json:"beat,omitzero"`
	Reason string    `json:"reason,omitempty"`
}

// readyPath is where whoever watches asks, without a token.
const readyPath = "/readyz"

func (a *App) serveReady(w http.ResponseWriter, r *http.Request) {
	out, status := Readiness{Ready: true, Beat: time.Unix(0, a.pulsed.Load()).UTC()}, http.StatusOK
	if err := a.Ready(r.Context()); err != nil {
		out, status = Readiness{Beat: out.Beat, Reason: err.Error()}, http.StatusServiceUnavailable
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out)
}

// heartbeat tells an address elsewhere that the server is well: a dead man's
// switch, which raises the alarm when nothing comes. While the server is not
// ready it stays silent.
func (a *App) heartbeat(ctx context.Context) error {
	if err := a.Ready(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.cfg.Heartbeat, nil)
	if err != nil {
		return problem.New(problem.Invalid, "heartbeat", "the address for heartbeats is malformed")
	}
	req.Header.Set("User-Agent", "flyball")
	res, err := beatClient.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address, which is a secret
		}
		return problem.New(problem.Unavailable, "heartbeat", "the heartbeat does not arrive: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return problem.New(problem.Unavailable, "heartbeat", "whoever takes heartbeats answered %d", res.StatusCode)
	}
	return nil
}

var beatClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// heartbeatAddress is the address that was given, or that of the environment.
func heartbeatAddress(flag string) (string, error) {
	if flag == "" {
		flag, _ = secret("FLYBALL_HEARTBEAT")
	}
	if flag == "" {
		return "", nil
	}
	u, err := url.Parse(strings.TrimSpace(flag))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", problem.New(problem.Invalid, "up", "the address for heartbeats is not http:// or https:// with a host").WithNext("give --heartbeat https://hc-ping.com/UUID, or set FLYBALL_HEARTBEAT")
	}
	return u.String(), nil
}

// splitAddress reads host:port.
func splitAddress(s string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(s)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	return host, port, err
}

// digest tells secrets apart without telling them.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}
