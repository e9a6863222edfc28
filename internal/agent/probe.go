package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/agent/supervise"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// errForeign says that a process outside the instance answers on its port.
var errForeign = errors.New("its port is held by a process that does not belong to it")

// probe asks the instance whether it is ready, in the background.
func (a *agent) probe(ctx context.Context, i *instance) {
	i.probing = true
	run, ready, address := i.run, i.Readiness, i.address()
	go func() {
		err := ask(ctx, address, ready)
		if err == nil {
			if owned, known := run.OwnsPort(i.Port); known && !owned {
				err = errForeign
			}
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		i.probing = false
		i.nextProbe = a.clk.Now().Add(ready.Interval)
		i.foreign = errors.Is(err, errForeign)
		if err != nil {
			i.complaint = err.Error()
			return
		}
		i.complaint, i.ready = "", run.PidStart
		// Only a later agent reads it, and would else ask the instance again.
		if err := os.WriteFile(filepath.Join(i.dir, "ready"), []byte(run.PidStart), 0o600); err != nil {
			a.log.Warn("readiness not recorded", "instance", i.Ref.String()+"/"+i.id(), "err", err)
		}
		a.kick()
	}()
}

// ask is nil when the instance is ready.
func ask(ctx context.Context, address string, r workload.Readiness) error {
	ctx, stop := context.WithTimeout(ctx, r.Timeout)
	defer stop()
	if r.Path == "" {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("nothing listens on its PORT (%w)", err)
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+r.Path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "flyball-agent")
	resp, err := probeClient.Do(req)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, 64<<10)
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		return fmt.Errorf("GET %s answered %s", r.Path, resp.Status)
	}
	return nil
}

var probeClient = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, Proxy: nil},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// why explains in a sentence why an instance is not ready, with the last lines
// it printed.
func (i *instance) why(now time.Time) string {
	var b strings.Builder
	switch s := i.run; {
	case !i.launched && i.complaint == "":
		b.WriteString("its supervisor has not started yet")
	case !i.launched:
		b.WriteString(i.complaint)
	case s.State == supervise.Backoff || s.State == supervise.Starting:
		b.WriteString(howEnded(s))
		if s.Failures > 1 {
			fmt.Fprintf(&b, ", %d times in a row", s.Failures)
		}
	default:
		fmt.Fprintf(&b, "not ready after %s", now.Sub(i.quest).Round(time.Second))
		if i.complaint != "" {
			b.WriteString(": " + i.complaint)
		}
	}
	if tail := i.lastLines(); tail != "" {
		b.WriteString("; last output: " + tail)
	}
	return b.String()
}

func howEnded(s supervise.Status) string {
	switch s.End {
	case supervise.EndExited:
		return fmt.Sprintf("exited with code %d", s.ExitCode)
	case supervise.EndSignalled:
		return "killed by " + s.Signal
	case "":
		return "not started yet"
	}
	return s.End + ": " + s.Detail
}

// lastLines is the end of what the instance printed: five lines, printable.
func (i *instance) lastLines() string {
	chunk, err := supervise.Read(i.dir, -2000, 0)
	if err != nil {
		return ""
	}
	text := strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\n' || r >= ' ' && r != 0x7f && r != '\uFFFD' {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(string(chunk.Data), " ")))
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}
