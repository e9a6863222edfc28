package app_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/webhook"
)

// pager is a real receiver of webhooks; what comes is checked and passed on.
func pager(t *testing.T, secret string) (url string, got <-chan string) {
	t.Helper()
	c := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := webhook.Verify(secret, r.Header, body, time.Now()); err != nil {
			t.Error(err)
		}
		var m struct{ Type string }
		if err := json.Unmarshal(body, &m); err != nil {
			t.Error(err)
		}
		c <- m.Type + " " + r.Header.Get(webhook.HeaderID)
	}))
	t.Cleanup(server.Close)
	return server.URL, c
}

// within waits for what comes next.
func within(t *testing.T, got <-chan string) string {
	t.Helper()
	select {
	case s := <-got:
		return s
	case <-time.After(limit):
		t.Fatal("nothing came")
		return ""
	}
}

// When the server is killed, the watcher outside pages once, by itself; when it
// is back, the watcher says so.
func TestWatcherPagesWhenTheServerIsKilled(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.declare("  run: sleep 600\n")
	y.up()
	const secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDxAEzMDEyMzQ="
	url, got := pager(t, secret)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := y.command(ctx, "watch", "http://"+y.listen, "--every", "1s", "--page", url, "--secret-env", "FLYBALL_TEST_PAGE_SECRET")
	cmd.Env = append(cmd.Env, "FLYBALL_TEST_PAGE_SECRET="+secret)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !strings.Contains(err.Error(), "canceled") {
			t.Errorf("the watcher: %v %v", err, exit)
		}
	}()
	y.until("the server is ready", func() bool { return strings.Contains(get("http://"+y.listen+"/readyz"), `"ready":true`) })
	y.kill()
	silent := within(t, got)
	if !strings.HasPrefix(silent, "flyball.silent silent-127_0_0_1_") {
		t.Errorf("first came %q", silent)
	}
	y.up()
	if back, want := within(t, got), strings.Replace(silent, "flyball.silent", "flyball.back", 1)+"-over"; back != want {
		t.Errorf("then came %q, want %q", back, want)
	}
	select {
	case more := <-got:
		t.Errorf("and %q came", more)
	default:
	}
}

// A server that is well tells so to an address elsewhere, until it is killed.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.declare("  run: sleep 600\n")
	beats := make(chan string, 1000)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { beats <- r.Method + " " + r.URL.Path }))
	defer elsewhere.Close()
	y.up("--heartbeat", elsewhere.URL+"/ping/uuid", "--heartbeat-every", "1s")
	for range 3 {
		if got := within(t, beats); got != "POST /ping/uuid" {
			t.Errorf("came %q", got)
		}
	}
	y.kill()
	for len(beats) > 0 {
		<-beats
	}
	select {
	case <-beats:
		t.Error("a heartbeat of a server that is dead")
	case <-time.After(1500 * time.Millisecond):
	}
}
