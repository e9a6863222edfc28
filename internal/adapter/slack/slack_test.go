package slack

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
	"github.com/flyball-dev/flyball/internal/port/notify/notifytest"
)

func secrets(url string) notify.Secrets {
	return func(name string) (string, bool) {
		v, ok := map[string]string{"TOKEN": "xoxb-1", "HOOK": url + "/services/T/B/X"}[name]
		return v, ok
	}
}

// posted is what chat.postMessage takes, as its reference has it.
type posted struct {
	Channel     string
	Text        string
	ClientMsgID string `json:"client_msg_id"`
	Metadata    struct {
		EventType    string            `json:"event_type"`
		EventPayload map[string]string `json:"event_payload"`
	}
	Blocks []struct {
		Type     string
		Text     struct{ Type, Text string }
		Elements []struct {
			Type, Value, URL, Style string
			ActionID                string `json:"action_id"`
			Text                    struct{ Type, Text string }
		}
	}
}

func read(t *testing.T, r *http.Request) (p posted, raw []byte) {
	t.Helper()
	raw, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		t.Errorf("%v, %q: %s", err, r.Header.Get("Content-Type"), raw)
	}
	return p, raw
}

func TestConformance(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Fixture {
		return notifytest.HTTP(t, func(url string) (notify.Notifier, notify.Target) {
			return New(clock.Wall(), secrets(url)), notify.Target{
				Settings: notify.Settings{Slack: &notify.Slack{TokenEnv: "TOKEN", API: url + "/api"}}, Address: "C1", Class: notify.Declared,
			}
		}, notifytest.Service{
			Read: func(r *http.Request) notifytest.Delivery {
				p, _ := read(t, r)
				return notifytest.Delivery{ID: p.Metadata.EventPayload["id"], Body: []byte(p.Text), Authentic: r.URL.Path == "/api/chat.postMessage" && r.Header.Get("Authorization") == "Bearer xoxb-1" && len(p.ClientMsgID) == 36}
			},
			Accept: `{"ok":true,"channel":"C1","ts":"1503435956.000247"}`,
		})
	})
}

func TestMessage(t *testing.T) {
	var got posted
	answer := `{"ok":true,"ts":"1.2"}`
	f := notifytest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ = read(t, r)
		io.WriteString(w, answer)
	})
	m := notify.Message{
		ID: "page-1", Text: notify.Text{
			Title: "SEV1 <b> & co", Lines: []string{"one", "<!channel> two"},
			Links: []notify.Link{{Label: "Acknowledge", Act: "acknowledge", URL: "https://f.example/act/t", Token: "t"}, {Label: "Open", URL: "https://f.example/i"}},
		},
		To: notify.Target{Address: "U1", Class: notify.Declared, Settings: notify.Settings{Slack: &notify.Slack{TokenEnv: "TOKEN", API: f, SigningSecretEnv: "S"}}},
	}
	s := New(clock.Wall(), secrets(f))
	r, err := s.Send(t.Context(), m)
	if err != nil || r.Foreign != "1.2" {
		t.Fatal(r, err)
	}
	if got.Channel != "U1" || got.Text != "SEV1 &lt;b&gt; &amp; co" || got.Blocks[1].Text.Text != "one\n&lt;!channel&gt; two" || got.Blocks[0].Text.Text != "SEV1 <b> & co" {
		t.Errorf("%+v", got)
	}
	buttons := got.Blocks[2].Elements
	if len(buttons) != 2 || buttons[0].ActionID != "acknowledge" || buttons[0].Value != "t" || buttons[0].URL != "" || buttons[1].URL != "https://f.example/i" {
		t.Errorf("buttons %+v", buttons)
	}
	first := got.ClientMsgID
	if _, err := s.Send(t.Context(), m); err != nil || got.ClientMsgID != first {
		t.Errorf("the identifier changed from %s to %s (%v)", first, got.ClientMsgID, err)
	}
	for said, want := range map[string]problem.Kind{
		"channel_not_found": problem.Invalid, "ratelimited": problem.Unavailable, "invalid_auth": problem.Unavailable, "duplicate_message_not_found": "",
	} {
		answer = `{"ok":false,"error":"` + said + `"}`
		if _, err := s.Send(t.Context(), m); problem.KindOf(err) != want {
			t.Errorf("%s: %v", said, err)
		}
	}
	// An incoming webhook writes to its own channel and answers ok.
	answer = "ok"
	m.To.Address, m.To.Slack = "", &notify.Slack{WebhookEnv: "HOOK"}
	if _, err := s.Send(t.Context(), m); err != nil || got.Channel != "" || got.ClientMsgID != "" || got.Blocks[2].Elements[0].URL == "" {
		t.Errorf("incoming webhook: %v, %+v", err, got)
	}
}
