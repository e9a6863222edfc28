package calendar_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	ics "github.com/arran4/golang-ical"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/calendar"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// known is an authenticator with one token.
type known string

func (k known) Authenticate(_ context.Context, token string) (operation.Caller, error) {
	if token != string(k) {
		return operation.Caller{}, problem.New(problem.Denied, "test", "unknown")
	}
	return operation.Caller{Name: "token:calendar", Grants: []operation.Grant{{Role: operation.Viewer}}}, nil
}

// A calendar program subscribes with a token as password, and its parser reads
// what comes.
func TestFeed(t *testing.T) {
	c := clock.NewVirtual(time.Date(2026, 11, 4, 12, 0, 0, 0, time.UTC))
	store := memory.New(memory.Options{Clock: c})
	defer store.Close()
	states := projection.NewRunner(store.Log(), store.States(), oncall.Projection(), catalog.Projection())
	applied := resource.Applied{
		APIVersion: resource.APIVersion, Kind: oncall.KindSchedule, Metadata: resource.Metadata{Name: "weekly"},
		Spec: json.RawMessage(`{"timeZone":"Europe/Berlin","layers":[{"name":"l","start":"2026-11-02T09:00:00","every":"1 week","members":[{"person":"ana"},{"person":"ben"}]}]}`),
	}
	_, err := store.Log().Append(t.Context(), event.Batch{Stream: "resources", Expect: event.AnyVersion, Drafts: []event.Draft{
		{Type: resource.EventApplied, Subject: "schedule/weekly", Actor: "user:ana", Time: c.Now(), Data: applied},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := states.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, err := api.New(api.Options{Log: store.Log(), Authenticator: known("right"), Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	handler := calendar.New(calendar.Options{API: a, Clock: c, Schedules: &oncall.Desk{Log: store.Log(), Reader: store.States(), Clock: c, Sync: states.CatchUp}})
	server := httptest.NewServer(a.Guard(handler))
	defer server.Close()
	get := func(path, password string) *http.Response {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.SetBasicAuth("anybody", password)
		r, err := server.Client().Do(q)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Body.Close() })
		return r
	}
	r := get("/calendars/weekly.ics", "right")
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "text/calendar; charset=utf-8" {
		t.Fatal(r.Status, r.Header)
	}
	cal, err := ics.ParseCalendar(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	events := cal.Events()
	if len(events) != 27 {
		t.Fatalf("%d weeks, want 27", len(events))
	}
	start, err := events[1].GetStartAt()
	if err != nil || !start.Equal(time.Date(2026, 11, 9, 8, 0, 0, 0, time.UTC)) || events[1].GetProperty(ics.ComponentPropertySummary).Value != "ben" {
		t.Errorf("second week: %s, %v", start, err)
	}
	for path, want := range map[string]int{"/calendars/nobody.ics": http.StatusNotFound, "/calendars/weekly": http.StatusNotFound} {
		if r := get(path, "right"); r.StatusCode != want {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	if r := get("/calendars/weekly.ics", "wrong"); r.StatusCode != http.StatusUnauthorized || r.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("a wrong token: %s", r.Status)
	}
}
