package statuspage_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/statuspage"
	"github.com/flyball-dev/flyball/internal/feedback/maintenance"
	"github.com/flyball-dev/flyball/internal/feedback/status"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// nobody is an authenticator that knows no token.
type nobody struct{}

func (nobody) Authenticate(context.Context, string) (operation.Caller, error) {
	return operation.Caller{}, problem.New(problem.Denied, "test", "unknown")
}

// Everybody may read the page, without a token, and keep it until it changes.
func TestServed(t *testing.T) {
	c := clock.NewVirtual(now)
	store := memory.New(memory.Options{Clock: c})
	defer store.Close()
	states := projection.NewRunner(store.Log(), store.States(), append(status.Projections(), catalog.Projection(), maintenance.Projection())...)
	record := func(stream, typ, subject string, data any) {
		t.Helper()
		if _, err := store.Log().Append(t.Context(), event.Batch{Stream: stream, Expect: event.AnyVersion, Drafts: []event.Draft{{Type: typ, Subject: subject, Actor: "user:ana", Time: c.Now(), Data: data}}}); err != nil {
			t.Fatal(err)
		}
		if err := states.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	record("resources", resource.EventApplied, "statuspage/public", resource.Applied{APIVersion: resource.APIVersion, Kind: status.KindPage, Metadata: resource.Metadata{Name: "public"},
		Spec: json.RawMessage(`{"title":"Acme","timeZone":"UTC","components":[{"name":"pay","title":"Payments"}]}`)})
	a, err := api.New(api.Options{Log: store.Log(), Authenticator: nobody{}, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	pages := &status.Pages{Log: store.Log(), Reader: store.States(), Clock: c, Sync: states.CatchUp, Render: statuspage.Render}
	server := httptest.NewServer(a.Guard(statuspage.New(statuspage.Options{API: a, Pages: pages, Clock: c})))
	defer server.Close()
	get := func(path, tag string) (*http.Response, string) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("If-None-Match", tag)
		r, err := server.Client().Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r, string(body)
	}
	first, body := get("/status/", "")
	if first.StatusCode != http.StatusOK || first.Header.Get("Content-Type") != "text/html; charset=utf-8" || first.Request.URL.Path != "/status/public/" {
		t.Fatalf("%s %v\n%s", first.Status, first.Header, body)
	}
	tag := first.Header.Get("ETag")
	if again, body := get("/status/public/index.html", tag); again.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("the same again: %s %q", again.Status, body)
	}
	if feed, _ := get("/status/public/feed.atom", ""); feed.Header.Get("Content-Type") != "application/atom+xml; charset=utf-8" || feed.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("the feed: %v", feed.Header)
	}
	record("status/public", status.EventPosted, "status/public", status.Post{Page: "public", Opens: true, Said: status.Said{Notice: "n1", Title: "Down", Text: "x", Phase: status.Investigating, Components: map[string]status.State{"pay": status.Major}}})
	c.Advance(time.Minute)
	if changed, _ := get("/status/public/", tag); changed.StatusCode != http.StatusOK || changed.Header.Get("ETag") == tag {
		t.Errorf("after a post: %s", changed.Status)
	}
	for path, want := range map[string]int{"/status/other/": http.StatusNotFound, "/status/public/none.html": http.StatusNotFound, "/status/public/../x": http.StatusNotFound, "/status/public": http.StatusOK, "/status/public/history/": http.StatusOK} {
		if r, _ := get(path, ""); r.StatusCode != want {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	r, err := server.Client().Post(server.URL+"/status/public/", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", r.Status)
	}
}
