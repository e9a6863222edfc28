package twilio

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
	"github.com/flyball-dev/flyball/internal/port/notify/notifytest"
)

func secrets(name string) (string, bool) { return "t0ken", name == "TOKEN" }

func gatewayAt(url string) *notify.Gateway {
	return &notify.Gateway{URL: url, AccountSID: "AC1", TokenEnv: "TOKEN", From: "+4930123456"}
}

// form reads a request as Twilio's reference has it.
func form(t *testing.T, r *http.Request, resource string) (url.Values, bool) {
	t.Helper()
	user, password, _ := r.BasicAuth()
	if err := r.ParseForm(); err != nil {
		t.Error(err)
	}
	return r.PostForm, user == "AC1" && password == "t0ken" && r.URL.Path == "/2010-04-01/Accounts/AC1/"+resource+".json" &&
		r.PostForm.Get("From") == "+4930123456" && r.PostForm.Get("To") == "+491701234567"
}

func TestConformance(t *testing.T) {
	for resource, settings := range map[string]func(*notify.Gateway) notify.Settings{
		"Messages": func(g *notify.Gateway) notify.Settings { return notify.Settings{SMS: g} },
		"Calls":    func(g *notify.Gateway) notify.Settings { return notify.Settings{Voice: g} },
	} {
		t.Run(resource, func(t *testing.T) {
			notifytest.Run(t, func(t *testing.T) notifytest.Fixture {
				return notifytest.HTTP(t, func(url string) (notify.Notifier, notify.Target) {
					return New(clock.Wall(), secrets), notify.Target{Settings: settings(gatewayAt(url)), Address: "+491701234567", Class: notify.Declared}
				}, notifytest.Service{
					Read: func(r *http.Request) notifytest.Delivery {
						f, ok := form(t, r, resource)
						return notifytest.Delivery{ID: r.Header.Get("Idempotency-Key"), Body: []byte(f.Get("Body") + f.Get("Twiml")), Authentic: ok}
					},
					Accept: `{"sid":"SM1","status":"queued"}`, Status: http.StatusCreated,
				})
			})
		})
	}
}

// A call waits for a key and sends it to the callback, with the permission.
func TestCall(t *testing.T) {
	var got url.Values
	status, answer := http.StatusCreated, `{"sid":"CA1"}`
	server := notifytest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ = form(t, r, "Calls")
		w.WriteHeader(status)
		io.WriteString(w, answer)
	})
	m := notify.Message{
		ID: "a", To: notify.Target{Settings: notify.Settings{Voice: gatewayAt(server)}, Address: "+491701234567", Class: notify.Declared, Callback: "https://f.example/ingest/voice/call"},
		Text: notify.Text{Title: "a < b & c", Links: []notify.Link{{Act: "acknowledge", Token: "T0K"}}},
	}
	r, err := New(clock.Wall(), secrets).Send(t.Context(), m)
	if err != nil || r.Foreign != "CA1" {
		t.Fatal(r, err)
	}
	var said struct {
		Gather struct {
			Action    string `xml:"action,attr"`
			NumDigits int    `xml:"numDigits,attr"`
			Say       []string
		}
		Say []string
	}
	if err := xml.Unmarshal([]byte(got.Get("Twiml")), &said); err != nil {
		t.Fatal(err, got.Get("Twiml"))
	}
	if said.Gather.Action != "https://f.example/ingest/voice/call/answer?act=T0K" || said.Gather.NumDigits != 1 || !strings.HasPrefix(said.Gather.Say[0], "a < b & c.") {
		t.Errorf("%+v", said)
	}
	status, answer = http.StatusBadRequest, `{"code":21211,"message":"Invalid 'To' Phone Number"}`
	if _, err := New(clock.Wall(), secrets).Send(t.Context(), m); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a wrong number: %v", err)
	}
	status, answer = http.StatusUnauthorized, `{"code":20003,"message":"Authenticate"}`
	if _, err := New(clock.Wall(), secrets).Send(t.Context(), m); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("a wrong token: %v", err)
	}
}
