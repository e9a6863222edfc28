package demo

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/webhook"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// TestChangesOfTheStory builds and tests the shop after each commit that the
// story makes, in its order: bad changes pass their tests, or they would never
// reach a canary.
func TestChangesOfTheStory(t *testing.T) {
	ctx := t.Context()
	r, err := newRepository(ctx, t.TempDir(), strings.NewReplacer())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		patch string
		bad   bool
	}{{"1-delivery", false}, {"2-suggestion", true}, {"3-fresh-stock", true}, {"4-remember-totals", true}, {"5-search-words", false}, {"6-without-stock", false}} {
		commit, err := r.commit(ctx, c.patch)
		if err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"build", "-o", os.DevNull, "."}, {"test", "."}} {
			cmd := exec.CommandContext(ctx, "go", args...)
			cmd.Dir = r.clone
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: go %s: %v\n%s", c.patch, args[0], err, out)
			}
		}
		if err := r.push(ctx); err != nil {
			t.Fatal(err)
		}
		head, err := git(ctx, r.origin, "rev-parse", "main")
		if err != nil || head != commit {
			t.Fatalf("%s: main is %s (%v), pushed %s", c.patch, head, err, commit)
		}
		if c.bad {
			if err := r.revert(ctx, "Ana <ana@shop.example>"); err != nil {
				t.Fatal(err)
			}
		}
	}
	authors, err := git(ctx, r.origin, "shortlog", "--summary", "--no-merges", "main")
	if err != nil || strings.Count(authors, "\n") != 2 {
		t.Errorf("authors: %s (%v)", authors, err)
	}
}

func TestPagerTakesOnlyWhatIsSigned(t *testing.T) {
	p, err := newPager(clock.Wall())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	body := []byte(`{"type":"incident.opened","data":{"incident":"inc-shop-1","severity":2,"title":"it hurts"}}`)
	send := func(secret string) int {
		signature, err := webhook.Sign(secret, "m1", time.Now(), body)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.addr+"/page", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(webhook.HeaderID, "m1")
		req.Header.Set(webhook.HeaderTimestamp, strconv.FormatInt(time.Now().Unix(), 10))
		req.Header.Set(webhook.HeaderSignature, signature)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := send("whsec_" + strings.Repeat("QUJD", 8)); got != http.StatusUnauthorized {
		t.Errorf("a message signed with another secret: %d", got)
	}
	if got := send(p.secret()); got != http.StatusNoContent {
		t.Fatalf("a message signed with the secret: %d", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if m, err := p.paged(ctx, "inc-shop-1", 2); err != nil || m.Type != "incident.opened" || m.ID != "m1" {
		t.Errorf("%+v, %v", m, err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := p.paged(soon, "inc-shop-1", 1); err == nil {
		t.Error("severity 2 was taken for severity 1")
	}
}

// TestVisitorsDoNotWait checks that the load is an open model: that requests
// leave while those before them hang, and that every one is counted.
func TestVisitorsDoNotWait(t *testing.T) {
	release := make(chan struct{})
	arrived := make(chan string, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.Host
		<-release
		w.Header().Set("Shop-Revision", "r1")
		if r.URL.Path == "/cart" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer server.Close()
	v := newVisitors(clock.Wall(), server.Listener.Addr().String(), host, 500)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() { v.run(ctx); close(done) }()
	for range 40 {
		if h := <-arrived; h != host {
			t.Fatalf("Host: %s", h)
		}
	}
	if n := v.tally().total; n != 0 {
		t.Fatalf("%d have ended", n)
	}
	close(release)
	if err := v.pause(ctx); err != nil {
		t.Fatal(err)
	}
	before := v.tally()
	if before.total < 40 || len(before.failures) == 0 || before.failures[0].Revision != "r1" || before.failures[0].Status != http.StatusInternalServerError {
		t.Errorf("%d ended; %+v", before.total, before.failures)
	}
	v.resume()
	if err := until(ctx, clock.Wall(), func() bool { return v.tally().total > before.total }); err != nil {
		t.Error("nobody came after the pause")
	}
	cancel()
	<-done
}
