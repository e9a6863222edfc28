package ingest_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

// sender posts to a face and says what came of it.
type sender struct {
	t       *testing.T
	address string
	intake  *alert.Intake
}

func (s sender) post(path, body string) (status int, header http.Header, text string) {
	s.t.Helper()
	res, err := http.Post(s.address+path, "application/json", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

// key makes an integration.
func (s sender) key(name string) string {
	s.t.Helper()
	for _, o := range s.intake.Operations() {
		if o.Name() == "integration.create" {
			out, err := o.Call(s.t.Context(), operation.Caller{Name: "user:ana", Grants: []operation.Grant{{Role: operation.Admin}}}, &alert.CreateInput{Integration: name})
			if err != nil {
				s.t.Fatal(err)
			}
			return out.(alert.CreatedIntegration).Key
		}
	}
	s.t.Fatal("there is no operation integration.create")
	return ""
}

// firing lists what fires, by integration and first line.
func (s sender) firing() []string {
	out := []string{}
	for _, f := range s.intake.Firing() {
		out = append(out, f.Integration+" "+f.Explanation)
	}
	slices.Sort(out)
	return out
}

// What is wrong with a body is the sender's to mend: 400, and nothing of it
// fires; what is right in the same request does.
func TestBadBodies(t *testing.T) {
	address, intake := newFace(t)
	if err := intake.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := sender{t, address, intake}
	key := s.key("sender")
	now := time.Now().UTC()
	at := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339) }
	bomb := func(labels, bytes int) string {
		var b strings.Builder
		for n := range labels {
			fmt.Fprintf(&b, `"l%d":%q,`, n, strings.Repeat("x", bytes))
		}
		return `[{"labels":{` + b.String() + `"alertname":"bomb"}}]`
	}
	alertmanager, events := "/ingest/"+key+"/api/v2/alerts", "/v2/enqueue"
	for _, c := range []struct {
		what, path, body string
		status           int
		fires            string
	}{
		{"many labels", alertmanager, bomb(10_000, 1), 400, ""},
		{"large labels", alertmanager, bomb(10, 100_000), 400, ""},
		{"labels that fit", alertmanager, bomb(63, 4096), 200, "sender bomb"},
		{"a body too large", alertmanager, bomb(3000, 4096), 413, ""},
		{"not UTF-8: mended, as it may be a page", alertmanager, "[{\"labels\":{\"alertname\":\"a\xffb\"}}]", 200, "sender a\ufffdb"},
		{"deeper than any alert", alertmanager, strings.Repeat("[", 100_000), 400, ""},
		{"from the future", alertmanager, `[{"labels":{"alertname":"future"},"startsAt":"` + at(48*time.Hour) + `"}]`, 400, ""},
		{"a clock that is ahead", alertmanager, `[{"labels":{"alertname":"ahead"},"startsAt":"` + at(time.Minute) + `","endsAt":"` + at(time.Hour) + `"}]`, 200, "sender ahead"},
		{"from the past", alertmanager, `[{"labels":{"alertname":"past"},"startsAt":"2001-01-01T00:00:00Z","endsAt":"` + at(time.Hour) + `"}]`, 200, "sender past"},
		{"over long ago", alertmanager, `[{"labels":{"alertname":"gone"},"startsAt":"2001-01-01T00:00:00Z","endsAt":"2001-01-02T00:00:00Z"}]`, 200, ""},
		{"no year", alertmanager, `[{"labels":{"alertname":"never"},"startsAt":"0000-00-00T00:00:00Z"}]`, 400, ""},
		{"one bad, one good", alertmanager, `[{"labels":{}},{"labels":{"alertname":"good"},"endsAt":"` + at(time.Hour) + `"}]`, 400, "sender good"},
		{"resolved before it was triggered", events, `{"routing_key":"` + key + `","event_action":"resolve","dedup_key":"early"}`, 202, ""},
		{"seen before it was triggered", events, `{"routing_key":"` + key + `","event_action":"acknowledge","dedup_key":"early"}`, 202, ""},
		{"then triggered", events, `{"routing_key":"` + key + `","event_action":"trigger","dedup_key":"early","payload":{"summary":"early","source":"x","severity":"info"}}`, 202, "sender early"},
		{"nobody's key", events, `{"routing_key":"` + strings.Repeat("0", 32) + `","event_action":"trigger","payload":{"summary":"s","source":"x","severity":"info"}}`, 400, ""},
	} {
		before := s.firing()
		status, _, text := s.post(c.path, c.body)
		if status != c.status {
			t.Errorf("%s: %d %.200s, want %d", c.what, status, text, c.status)
		}
		fresh := slices.DeleteFunc(s.firing(), func(f string) bool { return slices.Contains(before, f) })
		if got := strings.Join(fresh, ", "); got != c.fires {
			t.Errorf("%s: %q fires, want %q", c.what, got, c.fires)
		}
	}
}

// One dedup key of two integrations is two alerts: neither resolves the other.
func TestOneKeyOfTwoIntegrations(t *testing.T) {
	address, intake := newFace(t)
	if err := intake.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := sender{t, address, intake}
	one, other := s.key("one"), s.key("other")
	event := func(key, action string) {
		t.Helper()
		body := `{"routing_key":"` + key + `","event_action":"` + action + `","dedup_key":"disk","payload":{"summary":"disk","source":"x","severity":"error"}}`
		if status, _, text := s.post("/v2/enqueue", body); status != http.StatusAccepted {
			t.Fatalf("%s: %d %s", action, status, text)
		}
	}
	event(one, "trigger")
	event(other, "trigger")
	event(one, "trigger")
	if got := s.firing(); !slices.Equal(got, []string{"one disk", "other disk"}) {
		t.Errorf("%q fire, want one of each", got)
	}
	event(one, "resolve")
	if got := s.firing(); !slices.Equal(got, []string{"other disk"}) {
		t.Errorf("%q fire, want the other's", got)
	}
}

// A server that cannot take alerts yet, or no more of them, says so in a way
// that senders understand: come back later, never that what they sent is wrong.
func TestNotNow(t *testing.T) {
	address, intake := newFace(t)
	s := sender{t, address, intake}
	later := func(what string) {
		t.Helper()
		status, header, text := s.post("/api/v2/alerts", `[{"labels":{"alertname":"`+what+`"},"annotations":{"a":"`+strings.Repeat("x", 4000)+`"}}]`)
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
			t.Errorf("%s: %d, Retry-After %q, %s; want 503 and a time", what, status, header.Get("Retry-After"), text)
		}
	}
	later("starting")
	if err := intake.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	intake.MaxBytes = 1000
	later("full")
	intake.MaxBytes = 0
	if status, _, text := s.post("/api/v2/alerts", `[{"labels":{"alertname":"room"}}]`); status != http.StatusOK {
		t.Errorf("with room: %d %s", status, text)
	}
}
