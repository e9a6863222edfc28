package webtest_test

import (
	"context"
	"encoding/json"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/feedback/runbook"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
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

// retold is the story for tests that go on with it.
var retold struct {
	sync.Once
	*house
}

func changed(t *testing.T) *house {
	t.Helper()
	retold.Do(func() { retold.house = tell(t) })
	if retold.house == nil {
		t.Fatal("the story failed in an earlier test")
	}
	retold.house.t = t
	return retold.house
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
	written, _, err := projection.List[postmortem.Postmortem](ctx, h.store.States(), postmortem.ProjectionName, projection.Filter{Index: "all", Value: "yes", Limit: 1})
	h.do(err)
	if moving.Rollout == "" || back.Rollout == "" || slow.Rollout == "" || len(incidents) == 0 || len(written) == 0 {
		h.t.Fatalf("the story has moving %q, back %q, slow %q %d open incidents and %d postmortems", moving.Rollout, back.Rollout, slow.Rollout, len(incidents), len(written))
	}
	runs, _, err := projection.List[runbook.Run](ctx, h.store.States(), runbook.ProjectionName, projection.Filter{Index: "all", Value: "yes", Newest: true, Limit: 1})
	h.do(err)
	if len(runs) == 0 {
		h.t.Fatal("the story goes through no runbook")
	}
	return []shown{
		{"runbooks", "/runbooks"}, {"statuspages", "/statuspages"}, {"statuspage", "/statuspages/public?incident=" + incidents[0].Place.Incident},
		{"alerts", "/alerts"}, {"alerts-all", "/alerts?state=all"}, {"alert", alertOf(incidents[0])}, {"escalations", "/escalations"}, {"escalation", "/escalations/payments"},
		{"runbook", "/runbooks/runs/" + runs[0].Place.Run},
		{"now", "/"}, {"services", "/services"}, {"service", "/services/checkout"}, {"changes", "/changes"}, {"change", "/changes/" + back.Change},
		{"change-moving", "/changes/" + moving.Change}, {"run", "/pipelines/" + back.Change + "-r1"}, {"rollouts", "/rollouts"},
		{"rollout", "/rollouts/" + back.Rollout}, {"rollout-moving", "/rollouts/" + moving.Rollout}, {"rollout-slow", "/rollouts/" + slow.Rollout},
		{"objectives", "/objectives"}, {"objectives-team", "/objectives?group=team"}, {"objective", "/objectives/accounts.prod.availability"},
		{"objective-spent", "/objectives/search.prod.availability"}, {"report", "/reports?team=payments&period=2026-11&zone=Europe/Vienna"}, {"reports", "/reports"}, {"objective-preview", "/objectives/checkout.prod.availability/preview?target=99.99&window=28d"}, {"incidents", "/incidents"}, {"incident", "/incidents/" + incidents[0].Place.Incident},
		{"postmortems", "/postmortems"}, {"postmortem", "/postmortems/" + written[0].Postmortem}, {"postmortem-edit", "/postmortems/" + written[0].Postmortem + "?edit=lessons"}, {"incident-written", "/incidents/" + written[0].Incident},
		{"oncall", "/oncall"}, {"oncall-dst", "/oncall?from=2027-03-28"}, {"insights", "/insights"}, {"policies", "/policies"}, {"audit", "/audit"}, {"audit-verify", "/audit?types=rollout.&verify=now"}, {"fact", "/audit/40"},
		{"why", "/why/rollout/" + back.Rollout}, {"why-release", "/why/release/" + back.Release}, {"search", "/search?q=search"}, {"operations", "/operations"},
		{"operation", "/operations/override.grant"}, {"operation-read", "/operations/dora.show"}, {"keys", "/keys"}, {"sign-in", "/sign-in"},
		{"past", "/?at=2026-11-16T12:00:00Z"}, {"missing", "/services/nothing-like-it"},
	}
}

// alertOf is the page of the first alert of an incident.
func alertOf(i incident.Incident) string {
	for _, l := range i.Links {
		if l.Kind == incident.KindAlert {
			return (&url.URL{Path: "/alerts/" + l.Alert}).EscapedPath()
		}
	}
	return "/alerts/none"
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

// TestRunOutput: a run's page shows the end of what its last step printed.
func TestRunOutput(t *testing.T) {
	h := storied(t)
	for _, p := range h.pages() {
		if p.name == "run" {
			if _, body := h.get(h.client(false), p.path); !strings.Contains(body, "/build/1: built bin/checkout") || !strings.Contains(body, "of build, step 2") {
				t.Errorf("%s does not show the output of its second step", p.path)
			}
		}
	}
}

// TestHeaders: the policy stands on every answer, and files may be kept for good.
func TestHeaders(t *testing.T) {
	h := storied(t)
	_, body := h.get(h.client(false), "/rollouts")
	files := regexp.MustCompile(`(?:href|src)="(/static/[^"]+)"`).FindAllStringSubmatch(body, -1)
	if len(files) < 3 {
		t.Fatalf("the page links to %d files, want style, scripts and icon", len(files))
	}
	for _, path := range []string{"/", "/services/nothing-like-it", "/sign-in", files[0][1]} {
		res, err := h.client(false).Get(h.server.URL + path)
		h.do(err)
		res.Body.Close()
		policy := res.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q lacks %s", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", path, res.Header)
		}
		kept := strings.Contains(res.Header.Get("Cache-Control"), "immutable")
		if kept != strings.HasPrefix(path, "/static/") {
			t.Errorf("%s: Cache-Control is %q", path, res.Header.Get("Cache-Control"))
		}
	}
}

// post sends a form as a browser does from a page of this server, or from elsewhere.
func (h *house) post(c *http.Client, path, site string, form url.Values) (int, string, string) {
	h.t.Helper()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	req, err := http.NewRequest(http.MethodPost, h.server.URL+path, strings.NewReader(form.Encode()))
	h.do(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", site)
	res, err := c.Do(req)
	h.do(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	h.do(err)
	return res.StatusCode, res.Header.Get("Location"), string(body)
}

// TestForms: what a form sends is an operation, with the caller's permission.
func TestForms(t *testing.T) {
	h := storied(t)
	grant := url.Values{"service": {"mail"}, "environment": {"prod"}, "reason": {"a test says so"}, "for": {"1h"}, "_back": {"/policies"}, "_key": {"one"}}
	with := func(name, value string) url.Values {
		out := maps.Clone(grant)
		out[name] = []string{value}
		return out
	}
	for _, c := range []struct {
		name     string
		signedIn bool
		site     string
		verb     string
		form     url.Values
		status   int
		says     string
	}{
		{"nobody may write", false, "same-origin", "override.grant", grant, 401, "Sign in"},
		{"not from elsewhere", true, "cross-site", "override.grant", grant, 403, "must come from a page of this server"},
		{"a reason is required", true, "same-origin", "override.grant", with("reason", ""), 422, "is required: why, for the record"},
		{"a duration that is none", true, "same-origin", "override.grant", with("for", "soon"), 422, "is not a duration"},
		{"an incident that is not there", true, "same-origin", "incident.ack", url.Values{"incident": {"inc-nothing"}}, 404, "here is no incident named"},
		{"an operation that is not there", true, "same-origin", "incident.sing", url.Values{}, 404, "here is no operation named"},
		{"a read is not sent by a form", true, "same-origin", "rollout.list", url.Values{}, 404, "that a form could send"},
		{"a field that is not there", true, "same-origin", "override.grant", with("colour", "red"), 422, "colour"},
	} {
		status, _, body := h.post(h.client(c.signedIn), "/operations/"+c.verb, c.site, c.form)
		if status != c.status || !strings.Contains(html.UnescapeString(body), c.says) {
			t.Errorf("%s: status %d, want %d with %q in\n%.2000s", c.name, status, c.status, c.says, body)
		}
	}
	head, err := h.store.Log().Head(context.Background())
	h.do(err)
	for range 2 {
		status, to, body := h.post(h.client(true), "/operations/override.grant", "same-origin", grant)
		if status != http.StatusSeeOther || to != "/policies" {
			t.Fatalf("status %d to %q, want 303 to /policies: %.600s", status, to, body)
		}
	}
	granted, err := h.store.Log().Read(context.Background(), event.Query{After: head.Position, Types: []string{policy.EventOverridden}})
	h.do(err)
	if len(granted) != 1 || granted[0].Actor != "user:ana" {
		t.Errorf("sending the form twice recorded %d overrides: %+v", len(granted), granted)
	}
	status, to, _ := h.post(h.client(true), "/operations/override.grant", "same-origin", with("_back", "//elsewhere.example/"))
	if status != http.StatusUnprocessableEntity && to != "/" {
		t.Errorf("a form sends people to %q", to)
	}
}

// TestSignInForm refuses what is no token, and leaves no cookie.
func TestSignInForm(t *testing.T) {
	h := storied(t)
	c := h.client(false)
	status, _, body := h.post(c, "/sign-in", "same-origin", url.Values{"token": {"wrong"}, "to": {"/audit"}})
	if status != http.StatusUnauthorized || !strings.Contains(body, `role="alert"`) || strings.Contains(body, "wrong\"") {
		t.Errorf("a wrong token gives %d: %.400s", status, body)
	}
	status, to, _ := h.post(c, "/sign-in", "same-origin", url.Values{"token": {h.token}, "to": {"https://elsewhere.example/"}})
	if status != http.StatusSeeOther || to != "/" {
		t.Errorf("signing in leads to %q with %d", to, status)
	}
	if _, body := h.get(c, "/"); !strings.Contains(body, "Sign out") {
		t.Error("after signing in, the page does not say who it is for")
	}
	if status, _, _ := h.post(c, "/sign-out", "same-origin", nil); status != http.StatusSeeOther {
		t.Errorf("signing out gives %d", status)
	}
	if _, body := h.get(c, "/"); strings.Contains(body, "Sign out") {
		t.Error("after signing out, the page still knows who it is for")
	}
}

// TestAuditPages walks through the whole log, page by page: every event once.
func TestAuditPages(t *testing.T) {
	h := storied(t)
	c := h.client(false)
	events, err := h.store.Log().Read(context.Background(), event.Query{Types: []string{"rollout."}, Limit: 100_000})
	h.do(err)
	row, older := regexp.MustCompile(`<a href="/audit/(\d+)">`), regexp.MustCompile(`rel="next" href="([^"]+)"`)
	seen := map[string]int{}
	for path := "/audit?types=rollout."; path != ""; {
		status, body := h.get(c, path)
		if status != http.StatusOK {
			t.Fatalf("%s: %d", path, status)
		}
		for _, m := range row.FindAllStringSubmatch(body, -1) {
			seen[m[1]]++
		}
		path = ""
		if m := older.FindStringSubmatch(body); m != nil {
			path = html.UnescapeString(m[1])
		}
	}
	if len(seen) != len(events) {
		t.Errorf("%d events of rollouts on the pages, %d in the log", len(seen), len(events))
	}
	for position, n := range seen {
		if n != 1 {
			t.Errorf("event %s is shown %d times", position, n)
		}
	}
}

// TestTimeTravel: a page shows what was known at a moment, and offers nothing to do.
func TestTimeTravel(t *testing.T) {
	h := storied(t)
	for _, p := range h.pages() {
		if p.name != "rollout-moving" {
			continue
		}
		if status, _ := h.get(h.client(true), p.path+"?at=2026-11-20T12:00:00Z"); status != http.StatusNotFound {
			t.Errorf("two hours before it began, the rollout's page gives %d", status)
		}
		_, body := h.get(h.client(true), p.path+"?at=2026-11-20T14:30:10Z")
		if !strings.Contains(body, "has 5 % of the traffic") || strings.Contains(body, "Take it back") {
			t.Errorf("at 14:30:10 the rollout had 5 %%; the page says\n%.3000s", body)
		}
	}
	for _, p := range h.pages() {
		if strings.ContainsAny(p.path, "?") || p.name == "sign-in" || p.name == "missing" {
			continue
		}
		if status, _ := h.get(h.client(true), p.path+"?at=2026-11-20T14:31:00Z"); status != http.StatusOK {
			t.Errorf("%s a minute ago: %d", p.path, status)
		}
	}
}

// TestReportFiles: a report can be taken away, with the numbers of its page.
func TestReportFiles(t *testing.T) {
	h := storied(t)
	c := h.client(false)
	status, body := h.get(c, "/reports/objectives.csv?team=payments&period=2026-11&zone=Europe/Vienna")
	lines := strings.Split(body, "\r\n")
	if status != http.StatusOK || len(lines) != 5 || !strings.HasPrefix(lines[0], "objective,service,environment,team,unit,target,achieved,") || !strings.HasPrefix(lines[1], "accounts.prod.availability,accounts,prod,payments,event,0.999,0.99") {
		t.Errorf("the file has status %d:\n%s", status, body)
	}
	status, body = h.get(c, "/reports/objectives.json?service=search&period=2026-W47")
	var report slo.PeriodReport
	h.do(json.Unmarshal([]byte(body), &report))
	if status != http.StatusOK || len(report.Items) != 2 || report.Items[0].Met || report.Items[0].Incidents == 0 || report.Items[0].WorstDay != "2026-11-20" {
		t.Errorf("the week of search has status %d: %+v", status, report)
	}
	for path, want := range map[string]int{"/reports/objectives.xls?team=payments": 404, "/reports/objectives.csv": 422, "/reports?team=payments&period=soon": 422, "/reports?team=nobody": 404} {
		if status, _ := h.get(c, path); status != want {
			t.Errorf("%s gives %d, want %d", path, status, want)
		}
	}
}
