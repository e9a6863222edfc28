package ntfy

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/port/notify"
	"github.com/flyball-dev/flyball/internal/port/notify/notifytest"
)

func secrets(name string) (string, bool) { return "tk_1", name == "TOKEN" }

func target(url string) notify.Target {
	return notify.Target{Settings: notify.Settings{Ntfy: &notify.Ntfy{Server: url, TokenEnv: "TOKEN"}}, Address: "ana-pager", Class: notify.Declared}
}

func TestConformance(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Fixture {
		return notifytest.HTTP(t, func(url string) (notify.Notifier, notify.Target) { return New(clock.Wall(), secrets), target(url) }, notifytest.Service{
			Read: func(r *http.Request) notifytest.Delivery {
				var m message
				if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
					t.Error(err)
				}
				return notifytest.Delivery{
					ID: m.Tags[1], Body: []byte(m.Title),
					Authentic: r.URL.Path == "/" && m.Topic == "ana-pager" && m.Priority == 5 && r.Header.Get("Authorization") == "Bearer tk_1" && m.Click == "https://flyball.example/incidents/1",
				}
			},
			Accept: `{"id":"sPs71M8A2T","event":"message"}`,
		})
	})
}

// A button that acts posts to its link.
func TestActions(t *testing.T) {
	var got message
	url := notifytest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		io.WriteString(w, `{"id":"x1"}`)
	})
	r, err := New(clock.Wall(), secrets).Send(t.Context(), notify.Message{ID: "a", To: target(url), Text: notify.Text{
		Title: "t", Urgency: notify.Low, Links: []notify.Link{
			{Label: "Acknowledge", Act: "acknowledge", URL: "https://f.example/act/1"}, {Label: "Resolve", Act: "resolve", URL: "https://f.example/act/2"},
			{Label: "Open", URL: "https://f.example/i"}, {Label: "Runbook", URL: "https://r.example"},
		},
	}})
	if err != nil || r.Foreign != "x1" {
		t.Fatal(r, err)
	}
	want := []action{
		{"http", "Acknowledge", "https://f.example/act/1", "POST", true}, {"http", "Resolve", "https://f.example/act/2", "POST", true}, {"view", "Open", "https://f.example/i", "", false},
	}
	if got.Priority != 3 || len(got.Actions) != 3 || got.Actions[0] != want[0] || got.Actions[1] != want[1] || got.Actions[2] != want[2] || got.Click != "https://f.example/i" {
		t.Errorf("%+v", got)
	}
}
