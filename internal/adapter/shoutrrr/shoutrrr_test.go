package shoutrrr

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
	"github.com/flyball-dev/flyball/internal/port/notify/notifytest"
)

// The library's generic service posts to a server of ours.
func TestSend(t *testing.T) {
	var got struct{ Title, Message string }
	status := http.StatusOK
	server := notifytest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		w.WriteHeader(status)
	})
	address := "generic+" + server + "/T0KEN?template=json"
	s := New(clock.Wall(), func(name string) (string, bool) { return address, name == "TAIL" })
	m := notify.Message{
		ID: "a", To: notify.Target{Settings: notify.Settings{Shoutrrr: &notify.Shoutrrr{URLEnv: "TAIL"}}, Class: notify.Declared},
		Text: notify.Text{Title: "SEV2 übermäßig", Lines: []string{"checkout"}, Links: []notify.Link{{Label: "Open", URL: "https://f.example/i"}}},
	}
	r, err := s.Send(t.Context(), m)
	if err != nil || r.Status != 200 || r.Answer != "generic" || got.Title != "SEV2 übermäßig" || got.Message != "SEV2 übermäßig\ncheckout\nOpen: https://f.example/i" {
		t.Fatalf("%+v, %v, %+v", r, err, got)
	}
	fails := func(name string, kind problem.Kind) {
		t.Helper()
		_, err := s.Send(t.Context(), m)
		if problem.KindOf(err) != kind || strings.Contains(err.Error(), "T0KEN") {
			t.Errorf("%s: %v", name, err)
		}
	}
	status = http.StatusInternalServerError
	fails("an error of the service's", problem.Unavailable)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	address = "generic+http://" + l.Addr().String() + "/T0KEN"
	fails("nobody listens", problem.Unavailable)
	address = "nonsense://T0KEN"
	fails("an unknown service", problem.Unavailable)
	m.To.Class = notify.Public
	fails("a user's own address", problem.Invalid)
}
