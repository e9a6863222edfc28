package teams

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/port/notify"
	"github.com/flyball-dev/flyball/internal/port/notify/notifytest"
)

// message is what a workflow takes.
type message struct {
	Type, ID    string
	Attachments []struct {
		ContentType string
		Content     struct {
			Type, Version string
			Body          []struct {
				Type, Text string
				Wrap       bool
			}
			Actions []struct{ Type, Title, URL string }
		}
	}
}

func TestConformance(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Fixture {
		return notifytest.HTTP(t, func(url string) (notify.Notifier, notify.Target) {
			secret := func(name string) (string, bool) { return url + "/workflows/1?sig=x", name == "FLOW" }
			return New(clock.Wall(), secret), notify.Target{Settings: notify.Settings{Teams: &notify.Teams{URLEnv: "FLOW"}}, Class: notify.Declared}
		}, notifytest.Service{
			Read: func(r *http.Request) notifytest.Delivery {
				var m message
				if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
					t.Error(err)
					return notifytest.Delivery{}
				}
				a := m.Attachments[0]
				ok := m.Type == "message" && a.ContentType == "application/vnd.microsoft.card.adaptive" && a.Content.Type == "AdaptiveCard" &&
					len(a.Content.Actions) == 1 && a.Content.Actions[0].Type == "Action.OpenUrl" && r.URL.Query().Get("sig") == "x"
				return notifytest.Delivery{ID: m.ID, Body: []byte(a.Content.Body[0].Text), Authentic: ok}
			},
		})
	})
}
