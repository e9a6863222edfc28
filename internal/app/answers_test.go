package app_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A page arrives in Slack and by telephone at services that check it as the real
// ones do, and is answered by a button and by a key. Who calls reaches whoever is
// on call.
func TestAnswers(t *testing.T) {
	y := newYard(t)
	for name, v := range map[string]string{"SLACK_TOKEN": "xoxb-1", "SLACK_SECRET": "s1gned", "TWILIO_TOKEN": "t0ken"} {
		t.Setenv(name, v)
	}
	messages, calls, replies := make(chan []byte, 10), make(chan url.Values, 10), make(chan string, 10)
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/slack/chat.postMessage" && r.Header.Get("Authorization") == "Bearer xoxb-1":
			messages <- data
			io.WriteString(w, `{"ok":true,"ts":"1.0"}`)
		case r.URL.Path == "/slack/reply":
			replies <- string(data)
		case r.URL.Path == "/2010-04-01/Accounts/AC1/Calls.json":
			form, _ := url.ParseQuery(string(data))
			calls <- form
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, `{"sid":"CA1"}`)
		default:
			http.Error(w, "unexpected "+r.URL.Path, http.StatusTeapot)
		}
	}))
	defer outside.Close()
	for _, service := range []string{"web", "api"} {
		y.write("flyball/"+service+".yaml", "{apiVersion: flyball.dev/v1, kind: Service, metadata: {name: "+service+"}, spec: {team: owners, run: sleep 3600}}\n")
	}
	y.write("flyball/all.yaml", fmt.Sprintf(`{apiVersion: flyball.dev/v1, kind: Team, metadata: {name: owners}, spec: {escalation: owners}}
---
{apiVersion: flyball.dev/v1, kind: Environment, metadata: {name: prod}, spec: {delivery: automatic}}
---
{apiVersion: flyball.dev/v1, kind: EscalationPolicy, metadata: {name: owners}, spec: {steps: [{notify: [{schedule: always}, {channel: chat, to: "#incidents"}]}], lastResort: [{person: ana}]}}
---
apiVersion: flyball.dev/v1
kind: Schedule
metadata: {name: always}
spec: {timeZone: UTC, layers: [{name: all, start: 2026-01-01, every: 1 day, members: [ana]}]}
---
apiVersion: flyball.dev/v1
kind: Person
metadata: {name: ana}
spec: {contacts: [{channel: call, to: "+491701234567"}, {channel: chat, to: U0ANA}]}
---
apiVersion: flyball.dev/v1
kind: Channel
metadata: {name: chat}
spec: {slack: {tokenEnv: SLACK_TOKEN, signingSecretEnv: SLACK_SECRET, api: %[1]q}}
---
apiVersion: flyball.dev/v1
kind: Channel
metadata: {name: call}
spec: {voice: {url: %[2]q, accountSid: AC1, tokenEnv: TWILIO_TOKEN, from: "+4930123456", answers: always}}
`, outside.URL+"/slack", outside.URL))
	y.commit("declare")
	y.up()
	y.run("incident", "declare", "web", "--environment", "prod", "--title", "users wait", "--severity", "1")
	y.run("incident", "declare", "api", "--environment", "prod", "--title", "errors", "--severity", "1")

	// The button in Slack, pressed by ana in the room.
	var first struct {
		Text   string
		Blocks []struct {
			Elements []struct {
				ActionID string `json:"action_id"`
				Value    string
			}
		}
	}
	for first.Text != "SEV1 users wait" {
		if err := json.Unmarshal(arrived(t, messages), &first); err != nil {
			t.Fatal(err)
		}
	}
	button := first.Blocks[len(first.Blocks)-1].Elements[0]
	press := func(member, secret string) *http.Response {
		payload, _ := json.Marshal(map[string]any{
			"type": "block_actions", "user": map[string]string{"id": member}, "response_url": outside.URL + "/slack/reply",
			"actions": []map[string]string{{"action_id": button.ActionID, "value": button.Value}},
		})
		data := url.Values{"payload": {string(payload)}}.Encode()
		at := strconv.FormatInt(time.Now().Unix(), 10)
		h := hmac.New(sha256.New, []byte(secret))
		h.Write([]byte("v0:" + at + ":" + data))
		return y.send("/ingest/slack", data, "X-Slack-Request-Timestamp", at, "X-Slack-Signature", "v0="+hex.EncodeToString(h.Sum(nil)))
	}
	if res := press("U0ANA", "f0rged"); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a forged button: %s", res.Status)
	}
	if res := press("U0BEN", "s1gned"); res.StatusCode != http.StatusOK {
		t.Errorf("a stranger's button: %s", res.Status)
	}
	y.says(arrived(t, replies), "no Person has U0BEN of chat")
	if res := press("U0ANA", "s1gned"); res.StatusCode != http.StatusOK {
		t.Errorf("the button: %s", res.Status)
	}
	y.says(arrived(t, replies), "You have it since")

	// The key of the telephone.
	action := regexp.MustCompile(`action="([^"]+)"`)
	var gather string
	for {
		form := arrived(t, calls)
		if strings.Contains(form.Get("Twiml"), "errors") {
			gather = strings.ReplaceAll(action.FindStringSubmatch(form.Get("Twiml"))[1], "&amp;", "&")
			break
		}
	}
	ring := func(address, token string, form url.Values) string {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		h := hmac.New(sha1.New, []byte(token))
		h.Write([]byte(address))
		for _, k := range slices.Sorted(func(yield func(string) bool) {
			for k := range form {
				if !yield(k) {
					return
				}
			}
		}) {
			h.Write([]byte(k + form.Get(k)))
		}
		res := y.send(u.RequestURI(), form.Encode(), "X-Twilio-Signature", base64.StdEncoding.EncodeToString(h.Sum(nil)))
		text, _ := io.ReadAll(res.Body)
		return res.Status + " " + string(text)
	}
	y.says(ring(gather, "f0rged", url.Values{"Digits": {"1"}}), "403")
	y.says(ring(gather, "t0ken", url.Values{"Digits": {"2"}}), "200", "Nobody has it yet")
	y.says(ring(gather, "t0ken", url.Values{"Digits": {"1"}, "CallSid": {"CA1"}}), "200", "Thank you. You have it since")
	y.says(ring("http://"+y.listen+"/telephone/call", "t0ken", url.Values{"From": {"+4940999999"}}), "200", "<Number>+491701234567</Number>")

	var list struct {
		Items []struct {
			Service        string
			AcknowledgedBy string `json:"acknowledged_by"`
		}
	}
	y.json(&list, "incident", "list")
	for _, i := range list.Items {
		if i.AcknowledgedBy != "user:ana" {
			t.Errorf("%s is with %q", i.Service, i.AcknowledgedBy)
		}
	}
	if len(list.Items) != 2 {
		t.Errorf("%d incidents", len(list.Items))
	}
}

// arrived is what comes through a channel before the limit.
func arrived[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(limit):
		t.Fatal("nothing came")
	}
	return v
}

// send posts a form as a service outside would.
func (y *yard) send(path, form string, header ...string) *http.Response {
	y.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+y.listen+path, strings.NewReader(form))
	if err != nil {
		y.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		y.t.Fatal(err)
	}
	y.t.Cleanup(func() { res.Body.Close() })
	return res
}
