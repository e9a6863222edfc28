package api_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

// TestWhoMay goes through the matrix of who asks, from where and how, for a
// read, a write in a team's scope, and a write everywhere.
func TestWhoMay(t *testing.T) {
	f := start(t)
	const same, cross = "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"
	proxied := "X-Forwarded-For: 203.0.113.9"
	for _, c := range []struct {
		name                      string
		headers                   []string
		read, scoped, everywhere_ int
	}{
		{"this machine", nil, 200, 401, 401},
		{"behind a proxy on this machine", []string{proxied}, 401, 401, 401},
		{"unknown token", []string{bearer("guess")}, 401, 401, 401},
		{"empty token", []string{"Authorization: Bearer "}, 401, 401, 401},
		{"other scheme", []string{"Authorization: Basic YTpi"}, 401, 401, 401},
		{"store away", []string{bearer("broken-store")}, 503, 503, 503},
		{"no grants", []string{bearer("none")}, 403, 403, 403},
		{"viewer", []string{bearer("view")}, 200, 403, 403},
		{"viewer through a proxy", []string{bearer("view"), proxied}, 200, 403, 403},
		{"developer", []string{bearer("dev")}, 200, 403, 403},
		{"operator of the team", []string{bearer("op-team")}, 403, 200, 403},
		{"operator", []string{bearer("op")}, 200, 200, 403},
		{"admin", []string{bearer("admin")}, 200, 200, 200},
		{"admin, scheme in lower case", []string{"Authorization: bearer admin"}, 200, 200, 200},
		{"cookie from our page", []string{"Cookie: flyball_token=admin", same}, 200, 200, 200},
		{"cookie from our page, old browser", []string{"Cookie: flyball_token=admin", "Origin: {url}"}, 200, 200, 200},
		{"cookie from another site", []string{"Cookie: flyball_token=admin", cross}, 200, 403, 403},
		{"cookie from the same site", []string{"Cookie: flyball_token=admin", "Sec-Fetch-Site: same-site"}, 200, 403, 403},
		{"cookie, cross-site with our origin", []string{"Cookie: flyball_token=admin", cross, "Origin: {url}"}, 200, 403, 403},
		{"cookie from another origin", []string{"Cookie: flyball_token=admin", "Origin: http://evil.example"}, 200, 403, 403},
		{"cookie from a null origin", []string{"Cookie: flyball_token=admin", "Origin: null"}, 200, 403, 403},
		{"cookie from nowhere", []string{"Cookie: flyball_token=admin"}, 200, 403, 403},
		{"stale cookie", []string{"Cookie: flyball_token=guess", same}, 200, 401, 401},
		{"stale cookie through a proxy", []string{"Cookie: flyball_token=guess", same, proxied}, 401, 401, 401},
		{"viewer's token besides an admin's cookie", []string{bearer("view"), "Cookie: flyball_token=admin", same}, 200, 403, 403},
	} {
		for i := range c.headers {
			c.headers[i] = strings.ReplaceAll(c.headers[i], "{url}", f.url)
		}
		got := [3]int{
			f.do("GET", "/api/v1/widgets", "", c.headers...).status,
			f.do("POST", "/api/v1/widgets/pay-1/make", `{"size":1}`, c.headers...).status,
			f.do("POST", "/api/v1/widgets/mint", `{}`, c.headers...).status,
		}
		if want := [3]int{c.read, c.scoped, c.everywhere_}; got != want {
			t.Errorf("%s: read, scoped write, write everywhere: %v, want %v", c.name, got, want)
		}
		for _, path := range []string{"/api/v1/openapi.json", "/events?after=x"} {
			want := map[int]int{401: 401, 503: 503}[c.read]
			if got := f.do("GET", path, "", c.headers...).status; want != 0 && got != want {
				t.Errorf("%s: %s: %d, want %d", c.name, path, got, want)
			}
		}
	}
	if r := f.do("POST", "/api/v1/widgets/mint", `{}`); !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer") || r.problem.Next == "" {
		t.Errorf("401 without challenge or advice: %v %+v", r.header, r.problem)
	}
	for _, call := range f.calls() {
		if call.Caller == "" || call.Caller == "anonymous" {
			t.Errorf("a call by nobody was recorded: %+v", call)
		}
	}
}

func TestForeignHostNamesAreRefused(t *testing.T) {
	f := start(t)
	for host, status := range map[string]int{
		"127.0.0.1:7600": 200, "localhost": 200, "LocalHost:7600": 200, "[::1]:7600": 200, "10.1.2.3": 200, "flyball.example": 200, "Flyball.Example:443": 200,
		"evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example:7600": 421, "checkout.localhost": 421, "flyball.example.evil": 421,
	} {
		if r := f.do("GET", "/api/v1/widgets", "", "Host: "+host); r.status != status {
			t.Errorf("Host %s: %d, want %d", host, r.status, status)
		}
	}
}

func TestLoginCookie(t *testing.T) {
	f := start(t)
	signIn := func(token string, headers ...string) (*httptest.ResponseRecorder, operation.Caller, error) {
		r := httptest.NewRequest("POST", "http://localhost/login", nil)
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		c, err := f.api.SignIn(w, r, token)
		return w, c, err
	}
	w, c, err := signIn("op", "Sec-Fetch-Site: same-origin")
	if err != nil || c.Name != "user:olga" {
		t.Fatal(c, err)
	}
	cookie := w.Result().Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Value != "op" {
		t.Errorf("cookie %v", cookie)
	}
	for _, refused := range [][]string{{"guess", "Sec-Fetch-Site: same-origin"}, {"op", "Sec-Fetch-Site: cross-site"}, {"op", "Origin: http://evil.example"}} {
		if w, _, err := signIn(refused[0], refused[1]); err == nil || len(w.Result().Cookies()) > 0 {
			t.Errorf("%v: signed in", refused)
		}
	}
	out := httptest.NewRecorder()
	f.api.SignOut(out, httptest.NewRequest("POST", "/logout", nil))
	if c := out.Result().Cookies()[0]; c.MaxAge >= 0 || c.Value != "" {
		t.Errorf("signing out leaves %v", c)
	}
}

func TestBodyLimits(t *testing.T) {
	f := start(t, func(o *api.Options) { o.Limits = api.Limits{Body: 1000, BodyTime: 50 * time.Millisecond} })
	if r := f.do("POST", "/api/v1/widgets/pay-1/make", `{"size":1,"key":"`+strings.Repeat("x", 1000)+`"}`, bearer("admin")); r.status != 413 || r.problem.Next == "" {
		t.Errorf("oversize body: %d %+v", r.status, r.problem)
	}
	if r := f.do("POST", "/api/v1/widgets/pay-1/make", `{"size":1}`, bearer("admin"), "Content-Type: text/plain"); r.status != 415 {
		t.Errorf("form-like body: %d", r.status)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /api/v1/widgets/pay-1/make HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer admin\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"size\"")
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
		t.Errorf("trickling body: %v\n%s", err, answer)
	}
	if f.made != 0 {
		t.Error("a widget was made from half a body")
	}
}

func TestOverload(t *testing.T) {
	f := start(t, func(o *api.Options) { o.Limits = api.Limits{InFlight: 3, PerClient: 2} })
	f.hold = make(chan struct{})
	done := make(chan int, 2)
	for i := range 2 {
		go func() {
			done <- f.do("POST", fmt.Sprintf("/api/v1/widgets/pay-%d/make", i), `{"size":1}`, bearer("admin")).status
		}()
	}
	f.until("two calls are under way", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.made == 2 })
	r := f.do("GET", "/api/v1/widgets", "")
	if r.status != 429 || r.header.Get("Retry-After") != "1" {
		t.Errorf("one client too many: %d %v", r.status, r.header)
	}
	other := httptest.NewRequest("GET", "http://localhost/api/v1/widgets", nil)
	other.RemoteAddr = "127.0.0.2:99"
	blocked := f.api.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w2 := httptest.NewRecorder()
		third := other.Clone(other.Context())
		third.RemoteAddr = "127.0.0.3:99"
		f.api.Guard(f.api).ServeHTTP(w2, third)
		if w2.Code != 503 || w2.Header().Get("Retry-After") == "" {
			t.Errorf("one request too many: %d %v", w2.Code, w2.Header())
		}
	}))
	blocked.ServeHTTP(httptest.NewRecorder(), other)
	close(f.hold)
	for range 2 {
		if status := <-done; status != 200 {
			t.Errorf("a call in the limits: %d", status)
		}
	}
	if r := f.do("GET", "/api/v1/widgets", ""); r.status != 200 {
		t.Errorf("after the rush: %d", r.status)
	}
}

// until waits for a condition that other goroutines bring about.
func (f *fixture) until(what string, ok func() bool) {
	f.t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			f.t.Fatalf("not within 10 s: %s", what)
		}
	}
}
