package remote_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/prometheus/prometheustest"
	"github.com/flyball-dev/flyball/internal/adapter/prometheus/remote"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric/metrictest"
)

func TestConformance(t *testing.T) {
	metrictest.Run(t, func(t *testing.T, data []metrictest.Series) metrictest.Engine {
		c, err := remote.New(remote.Config{URL: prometheustest.Start(t, "", data).URL, Clock: clock.Wall()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	})
}

// An address that cannot be one, or that carries secrets, is refused.
func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		cfg  remote.Config
		want string // part of the message; empty: fine
	}{
		{remote.Config{URL: "http://prometheus:9090/prefix/"}, ""},
		{remote.Config{URL: "ftp://prometheus"}, "not http://"},
		{remote.Config{URL: ""}, "not http://"},
		{remote.Config{URL: "http://me:secret@prometheus"}, "carries credentials"},
		{remote.Config{URL: "http://prometheus/?token=1"}, "carries credentials"},
		{remote.Config{URL: "http://p", BearerSecret: "A", User: "B"}, "both"},
	} {
		_, err := remote.New(c.cfg)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret@")) {
			t.Errorf("%s: %v, want %q", c.cfg.URL, err, c.want)
		}
	}
}

// What a server answers becomes a kind that says whether asking again helps.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		kind   problem.Kind
	}{
		{"fine", 200, `{"status":"success","data":{"resultType":"vector","result":[]}}`, ""},
		{"bad query", 400, `{"status":"error","errorType":"bad_data","error":"parse error"}`, problem.Invalid},
		{"too many samples", 422, `{"status":"error","errorType":"execution","error":"query processing would load too many samples"}`, problem.Invalid},
		{"timeout", 503, `{"status":"error","errorType":"timeout","error":"query timed out"}`, problem.Unavailable},
		{"credentials", 401, `no`, problem.Denied},
		{"not there", 404, `404 page not found`, problem.NotFound},
		{"elsewhere", 302, ``, problem.Invalid},
		{"gateway", 502, `<html>`, problem.Unavailable},
		{"another service", 200, `<html>`, problem.Invalid},
		{"nonsense", 200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1]]}]}}`, problem.Unavailable},
		{"too large", 200, `{"status":"success","data":{"resultType":"vector","result":[]},"pad":"` + strings.Repeat("x", 2000) + `"}`, problem.Invalid},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://elsewhere.example/")
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		}))
		client, err := remote.New(remote.Config{URL: s.URL, Clock: clock.Wall(), MaxBytes: 1000})
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Query(context.Background(), "up", time.Unix(0, 0))
		if problem.KindOf(err) != c.kind {
			t.Errorf("%s: %v of kind %q, want %q", c.name, err, problem.KindOf(err), c.kind)
		}
		client.Close()
		s.Close()
	}
}

// A server that is overloaded is left alone until it may be asked again.
func TestBackOff(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			w.Header().Set("Retry-After", "30")
		}
		if asked <= 3 {
			http.Error(w, "busy", http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[]}}`)
	}))
	defer s.Close()
	now := clock.NewVirtual(time.Unix(1_700_000_000, 0))
	client, err := remote.New(remote.Config{URL: s.URL, Clock: now})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i, step := range []struct {
		wait  time.Duration
		asked int
		fails bool
	}{
		{0, 1, true}, {29 * time.Second, 1, true}, {time.Second, 2, true}, // as asked for
		{time.Second, 2, true}, {time.Second, 3, true}, // no hint: doubled
		{3 * time.Second, 3, true}, {time.Second, 4, false}, {0, 5, false},
	} {
		now.Advance(step.wait)
		_, err := client.Query(context.Background(), "up", time.Unix(0, 0))
		if (err != nil) != step.fails || asked != step.asked {
			t.Errorf("step %d: asked %d times, %v; want %d, failing %v", i, asked, err, step.asked, step.fails)
		}
	}
}

// Credentials come from secrets, at each request, and are in no message.
func TestCredentials(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.Header.Get("Authorization") == "Bearer s3cret" && r.Header.Get("X-Scope-OrgID") == "team" || user == "me" && password == "s3cret" {
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[]}}`)
			return
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer s.Close()
	secrets := map[string]string{"GOOD": "s3cret", "BAD": "wrong"}
	secret := func(name string) (string, bool) { v, ok := secrets[name]; return v, ok }
	for _, c := range []struct {
		cfg  remote.Config
		kind problem.Kind
	}{
		{remote.Config{BearerSecret: "GOOD", Tenant: "team"}, ""},
		{remote.Config{User: "me", PasswordSecret: "GOOD"}, ""},
		{remote.Config{BearerSecret: "BAD"}, problem.Denied},
		{remote.Config{BearerSecret: "ABSENT"}, problem.Unavailable},
		{remote.Config{}, problem.Denied},
	} {
		c.cfg.URL, c.cfg.Secret, c.cfg.Clock = s.URL, secret, clock.Wall()
		client, err := remote.New(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Query(context.Background(), "up", time.Unix(0, 0))
		if problem.KindOf(err) != c.kind || err != nil && strings.Contains(err.Error(), "wrong") {
			t.Errorf("%+v: %v, want kind %q", c.cfg.BearerSecret+c.cfg.User, err, c.kind)
		}
		client.Close()
	}
}

// Link-local addresses hold the credentials of cloud machines.
func TestGuard(t *testing.T) {
	client, err := remote.New(remote.Config{URL: "http://169.254.169.254", Clock: clock.Wall(), Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Query(context.Background(), "up", time.Unix(0, 0)); problem.KindOf(err) != problem.Invalid {
		t.Errorf("%v, want a refusal", err)
	}
}
