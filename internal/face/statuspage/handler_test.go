package statuspage_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/statuspage"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/maintenance"
	"github.com/flyball-dev/flyball/internal/feedback/status"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/port/notify"
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

// Subscribing by forms, as browsers and mail programs send them.
func TestSubscriptions(t *testing.T) {
	c := clock.NewVirtual(now)
	store := memory.New(memory.Options{Clock: c})
	defer store.Close()
	states := projection.NewRunner(store.Log(), store.States(), append(status.Projections(), catalog.Projection(), maintenance.Projection())...)
	_, err := store.Log().Append(t.Context(), event.Batch{Stream: "resources", Expect: event.AnyVersion, Drafts: []event.Draft{{Type: resource.EventApplied, Subject: "statuspage/public", Actor: "user:ana", Data: resource.Applied{
		APIVersion: resource.APIVersion, Kind: status.KindPage, Metadata: resource.Metadata{Name: "public"},
		Spec: json.RawMessage(`{"title":"Acme","timeZone":"UTC","components":[{"name":"pay","title":"Payments"}],"subscribe":{"webhook":true,"server":"https://flyball.acme.example"}}`)}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := states.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, err := api.New(api.Options{Log: store.Log(), Authenticator: nobody{}, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	sent := &sent{}
	pages := &status.Pages{Log: store.Log(), Reader: store.States(), Clock: c, Sync: states.CatchUp, Render: statuspage.Render, Key: []byte("0123456789abcdef0123456789abcdef"),
		Mail: &channel.Post{Reader: store.States(), Notifier: sent, Clock: c}}
	server := httptest.NewServer(a.Guard(statuspage.New(statuspage.Options{API: a, Pages: pages, Clock: c})))
	defer server.Close()
	post := func(path, body string) (int, string) {
		t.Helper()
		r, err := server.Client().Post(server.URL+path, "application/x-www-form-urlencoded", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(text)
	}
	if code, text := post("/status/public/subscribe", "webhook=https%3A%2F%2Fhooks.example.org%2Fx&component="); code != http.StatusOK || !strings.Contains(text, "Nearly done") {
		t.Fatalf("%d %s", code, text)
	}
	// The action that the server's executor would run.
	proposed, err := store.Log().Read(t.Context(), event.Query{Types: []string{action.EventProposed}})
	if err != nil || len(proposed) != 1 {
		t.Fatal(err, len(proposed))
	}
	p, err := event.Decode[action.Proposal](proposed[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := states.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := pages.TellType().Run(t.Context(), action.Action{Proposal: p}); err != nil {
		t.Fatal(err)
	}
	link, ok := sent.last.Text.Find(status.DoConfirm)
	path, own := strings.CutPrefix(link.URL, "https://flyball.acme.example")
	if !ok || !own {
		t.Fatalf("sent %+v", sent.last.Text)
	}
	r, err := server.Client().Get(server.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil || r.StatusCode != http.StatusOK || !strings.Contains(string(text), `<form method="post">`) {
		t.Errorf("looking at the link: %s %s", r.Status, text)
	}
	if confirmed, err := store.Log().Read(t.Context(), event.Query{Types: []string{status.EventConfirmed}}); err != nil || len(confirmed) != 0 {
		t.Errorf("a look at the link has confirmed it: %v", err)
	}
	if code, text := post(path, ""); code != http.StatusOK || !strings.Contains(text, "Subscribed") {
		t.Errorf("confirming: %d %s", code, text)
	}
	if confirmed, err := store.Log().Read(t.Context(), event.Query{Types: []string{status.EventConfirmed}}); err != nil || len(confirmed) != 1 {
		t.Errorf("it is not confirmed: %v", err)
	}
	if code, _ := post(strings.Replace(path, "k=", "k=x", 1), ""); code != http.StatusForbidden {
		t.Errorf("a forged link: %d", code)
	}
	if code, _ := post("/status/public/unsubscribe?s=x&k=y", "List-Unsubscribe=One-Click"); code != http.StatusForbidden {
		t.Errorf("a forged link to unsubscribe: %d", code)
	}
	for path, want := range map[string]int{"/status/public/subscribe": http.StatusUnprocessableEntity, "/status/other/subscribe": http.StatusNotFound} {
		if code, _ := post(path, "email=x"); code != want {
			t.Errorf("%s: %d", path, code)
		}
	}
	code := 0
	for range 20 {
		code, _ = post("/status/public/subscribe", "webhook=https%3A%2F%2Fhooks.example.org%2Fx")
	}
	if code != http.StatusTooManyRequests {
		t.Errorf("the 23rd wish: %d", code)
	}
	c.Advance(10 * time.Minute)
	if code, _ := post("/status/public/subscribe", "webhook=https%3A%2F%2Fhooks.example.org%2Fx"); code != http.StatusOK {
		t.Errorf("ten minutes later: %d", code)
	}
}

// sent is where messages go.
type sent struct{ last notify.Message }

func (s *sent) Send(_ context.Context, m notify.Message) (notify.Receipt, error) {
	s.last = m
	return notify.Receipt{}, nil
}
