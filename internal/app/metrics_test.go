package app

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/golang/snappy"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/adapter/prometheus/embedded"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

// The paths of Prometheus' protocols are of no operation.
func TestMetricsPathsAreFree(t *testing.T) {
	paths := append([]string{strings.TrimPrefix(remoteWritePath, "POST ")}, embedded.Paths...)
	for _, op := range Declarations() {
		_, route := op.Route()
		for _, path := range paths {
			if overlap(strings.Split(route, "/"), strings.Split(path, "/")) {
				t.Errorf("operation %s is at %s, which is taken by %s: give it another noun or verb", op.Name(), route, path)
			}
		}
	}
}

// overlap reports whether two patterns match a common path.
func overlap(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !strings.HasPrefix(a[i], "{") && !strings.HasPrefix(b[i], "{") {
			return false
		}
	}
	return true
}

// Viewers may ask, by POST too; writing takes a token of a developer.
func TestMetricsPermissions(t *testing.T) {
	store := embedded.New(embedded.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { store.Close() })
	st := memory.New(memory.Options{})
	a, err := New(Config{Clock: clock.Wall(), Logger: slog.New(slog.DiscardHandler)}, Ports{Store: st, Metrics: store})
	if err != nil {
		t.Fatal(err)
	}
	a.stepped = true // states are folded when they are asked for
	face, err := a.Face("test")
	if err != nil {
		t.Fatal(err)
	}
	token := func(role operation.Role) string {
		_, secret, err := a.parts.access.Create(context.Background(), "user:test", "ci", []operation.Grant{{Role: role}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	viewer, developer := token(operation.Viewer), token(operation.Developer)
	empty := string(snappy.Encode(nil, nil))
	const here, there = "127.0.0.1:1234", "192.0.2.7:1234"
	for _, c := range []struct {
		method, path, body, from, token string
		want                            int
	}{
		{"GET", "/api/v1/query?query=up", "", here, "", 200},
		{"POST", "/api/v1/query", "query=up", here, "", 200},
		{"GET", "/api/v1/label/job/values", "", here, "", 200},
		{"GET", "/api/v1/status/buildinfo", "", here, "", 200},
		{"GET", "/api/v1/query?query=up", "", there, "", 401},
		{"POST", "/api/v1/query", "query=up", there, "", 401},
		{"POST", "/api/v1/query", "query=up", there, viewer, 200},
		{"POST", "/api/v1/write", empty, here, "", 401},
		{"POST", "/api/v1/write", empty, here, "flyball_wrong", 401},
		{"POST", "/api/v1/write", empty, here, viewer, 403},
		{"POST", "/api/v1/write", empty, there, developer, 204},
		{"POST", "/v1/metrics", "", here, "", 401},
		{"POST", "/v1/metrics", "", there, developer, 415},
		{"POST", "/api/v1/otlp/v1/metrics", "", there, viewer, 403},
		{"DELETE", "/api/v1/query", "", here, developer, 405},
	} {
		r := httptest.NewRequest(c.method, "http://127.0.0.1:7600"+c.path, strings.NewReader(c.body))
		r.RemoteAddr = c.from
		if c.body == "query=up" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		w := httptest.NewRecorder()
		face.Handler.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s %s from %s: %d %.200s, want %d", c.method, c.path, c.from, w.Code, w.Body, c.want)
		}
	}
}

// The bounds of the store are read from flags.
func TestMetricsKept(t *testing.T) {
	k, err := parseMetricsKept("90d", "1.5GB")
	if err != nil || k.Retention.Hours() != 90*24 || k.MaxBytes != 1_500_000_000 {
		t.Errorf("%+v, %v", k, err)
	}
	for _, bad := range [][2]string{{"", "2GB"}, {"1h", "2GB"}, {"30", "2GB"}, {"30d", ""}, {"30d", "2"}, {"30d", "2GiB"}, {"30d", "-2GB"}, {"30d", "1MB"}, {"30d", "NaNGB"}, {"30d", "GB"}, {"9999d", "2GB"}} {
		if _, err := parseMetricsKept(bad[0], bad[1]); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

var _ Metrics = (*embedded.Store)(nil)
