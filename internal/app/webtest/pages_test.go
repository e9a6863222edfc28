package webtest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// told is the story, told once for all tests that only look.
var told struct {
	sync.Once
	*house
}

func storied(t *testing.T) *house {
	t.Helper()
	told.Do(func() { told.house = tell(t) })
	if told.house == nil {
		t.Fatal("the story failed in an earlier test")
	}
	told.house.t = t
	return told.house
}

// shown is a page that is looked at.
type shown struct{ name, path string }

// pages is every page there is, filled by the story.
func (h *house) pages() []shown {
	h.t.Helper()
	ctx := context.Background()
	var back, moving, slow rollout.Rollout
	list, _, err := projection.List[rollout.Rollout](ctx, h.store.States(), rollout.ProjectionName, projection.Filter{Index: "all", Value: "yes", Newest: true, Limit: 100})
	h.do(err)
	for _, r := range list {
		switch {
		case r.Outcome == "" && r.Service == "checkout":
			moving = r
		case r.Outcome == "rolled_back" && r.Service == "checkout":
			back = r
		case r.Outcome == "rolled_back":
			slow = r
		}
	}
	incidents, _, err := projection.List[incident.Incident](ctx, h.store.States(), incident.ProjectionName, projection.Filter{Index: "state", Value: "open", Newest: true, Limit: 1})
	h.do(err)
	if moving.Rollout == "" || back.Rollout == "" || slow.Rollout == "" || len(incidents) == 0 {
		h.t.Fatalf("the story has moving %q, back %q, slow %q and %d open incidents", moving.Rollout, back.Rollout, slow.Rollout, len(incidents))
	}
	return []shown{
		{"now", "/"}, {"services", "/services"}, {"service", "/services/checkout"}, {"changes", "/changes"}, {"change", "/changes/" + back.Change},
		{"change-moving", "/changes/" + moving.Change}, {"run", "/pipelines/" + back.Change + "-r1"}, {"rollouts", "/rollouts"},
		{"rollout", "/rollouts/" + back.Rollout}, {"rollout-moving", "/rollouts/" + moving.Rollout}, {"rollout-slow", "/rollouts/" + slow.Rollout},
		{"objectives", "/objectives"}, {"objectives-team", "/objectives?sort=team"}, {"objective", "/objectives/accounts.prod.availability"},
		{"objective-spent", "/objectives/search.prod.availability"}, {"incidents", "/incidents"}, {"incident", "/incidents/" + incidents[0].Place.Incident},
		{"insights", "/insights"}, {"policies", "/policies"}, {"audit", "/audit"}, {"audit-verify", "/audit?types=rollout.&verify=now"}, {"fact", "/audit/40"},
		{"why", "/why/rollout/" + back.Rollout}, {"why-release", "/why/release/" + back.Release}, {"search", "/search?q=search"}, {"operations", "/operations"},
		{"operation", "/operations/override.grant"}, {"operation-read", "/operations/dora.show"}, {"keys", "/keys"}, {"sign-in", "/sign-in"},
		{"past", "/?at=2026-11-16T12:00:00Z"}, {"missing", "/services/nothing-like-it"},
	}
}

// client is a browser's part that keeps cookies, signed in or not.
func (h *house) client(signedIn bool) *http.Client {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	h.do(err)
	c := &http.Client{Jar: jar}
	if signedIn {
		at, err := url.Parse(h.server.URL)
		h.do(err)
		jar.SetCookies(at, []*http.Cookie{{Name: api.CookieName, Value: h.token, Path: "/"}})
	}
	return c
}

func (h *house) get(c *http.Client, path string) (int, string) {
	h.t.Helper()
	res, err := c.Get(h.server.URL + path)
	h.do(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	h.do(err)
	return res.StatusCode, string(body)
}

// TestEveryPageAnswers reads each page as it comes, without a script.
func TestEveryPageAnswers(t *testing.T) {
	h := storied(t)
	for _, p := range h.pages() {
		for _, signedIn := range []bool{false, true} {
			status, body := h.get(h.client(signedIn), p.path)
			want := http.StatusOK
			if p.name == "missing" {
				want = http.StatusNotFound
			}
			if status != want {
				t.Errorf("%s: status %d, want %d", p.path, status, want)
			}
			if !strings.Contains(body, "<h1>") || strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "%!") || strings.Contains(body, " style=") {
				t.Errorf("%s: no heading, or a value that was not rendered, or an inline style", p.path)
			}
		}
	}
}
