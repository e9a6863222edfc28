package app_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// PagerDuty may stay: it is triggered with the incident's name, what is
// acknowledged there is acknowledged here, what is resolved here is resolved
// there, and its own incidents are known here without being paged twice.
func TestPagerDuty(t *testing.T) {
	events := make(chan map[string]any, 20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e map[string]any
		if err := json.NewDecoder(r.Body).Decode(&e); err == nil && r.URL.Path == "/v2/enqueue" {
			events <- e
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	t.Setenv("PD_KEY", strings.Repeat("a", 32))
	t.Setenv("PD_WEBHOOK", "hush")
	y := newYard(t)
	y.write("flyball/service.yaml", `apiVersion: flyball.dev/v1
kind: Service
metadata: {name: web}
spec: {team: owners, run: sleep 3600}
---
{apiVersion: flyball.dev/v1, kind: Team, metadata: {name: owners}, spec: {page: [{channel: pagerduty}]}}
---
{apiVersion: flyball.dev/v1, kind: Environment, metadata: {name: prod}, spec: {delivery: automatic}}
---
{apiVersion: flyball.dev/v1, kind: Channel, metadata: {name: pagerduty}, spec: {pagerduty: {routingKeyEnv: PD_KEY, url: "`+server.URL+`"}}}
`)
	y.commit("deliver with Flyball")
	y.up()
	next := func(action string) map[string]any {
		t.Helper()
		select {
		case e := <-events:
			if e["event_action"] != action {
				t.Fatalf("PagerDuty got %v, want %s", e, action)
			}
			return e
		case <-time.After(limit):
			t.Fatalf("PagerDuty got no %s", action)
		}
		return nil
	}
	var made struct{ Key string }
	y.json(&made, "integration", "create", "pd", "--secret-env", "PD_WEBHOOK")
	hook := func(typ, id, key string) {
		t.Helper()
		body := fmt.Sprintf(`{"event":{"id":"01","event_type":"incident.%s","resource_type":"incident","occurred_at":"2026-11-02T12:00:00.000Z","agent":{"id":"P1","summary":"Earline Greenholt","type":"user_reference"},"data":{"id":%q,"type":"incident","html_url":"https://shop.pagerduty.com/incidents/%s","number":7,"status":"triggered","incident_key":%q,"created_at":"2026-11-02T12:00:00Z","title":"The server is on fire.","service":{"id":"PS","summary":"Web","type":"service_reference"},"urgency":"high","priority":null}}}`, typ, id, id, key)
		mac := hmac.New(sha256.New, []byte("hush"))
		mac.Write([]byte(body))
		r, err := http.NewRequest(http.MethodPost, "http://"+y.listen+"/ingest/"+made.Key+"/pagerduty", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-PagerDuty-Signature", "v1="+hex.EncodeToString(mac.Sum(nil)))
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if said, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %s", typ, res.Status, said)
		}
	}

	res, err := http.Post("http://"+y.listen+"/v2/alerts", "application/json", strings.NewReader(`{"message":"down","alias":"down","entity":"web","details":{"service":"web"},"priority":"P1"}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	sent := next("trigger")
	name := sent["dedup_key"].(string)
	if !strings.HasPrefix(name, "inc-web-") || sent["routing_key"] != strings.Repeat("a", 32) {
		t.Errorf("triggered %v", sent)
	}
	hook("triggered", "PT1", name)
	hook("acknowledged", "PT1", name)
	hook("acknowledged", "PT1", name)
	y.await([]string{"pagerduty:Earline Greenholt has it"}, "incident", "show", name)
	if out, errs, code := y.run("incident", "resolve", name, "--reason", "mended", "--anyway"); code != 0 {
		t.Fatal(out, errs)
	}
	if e := next("resolve"); e["dedup_key"] != name {
		t.Errorf("resolved %v", e)
	}
	hook("resolved", "PT1", name)
	if res, err = http.Post("http://"+y.listen+"/v2/alerts/down/close?identifierType=alias", "application/json", strings.NewReader(`{}`)); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()

	hook("triggered", "PT2", "baf7cf21b1da41b4b0221008339ff357")
	opened := func() string {
		t.Helper()
		var list struct {
			Items []struct {
				Incident, State string
				Elsewhere       bool
			}
		}
		y.json(&list, "incident", "list", "--state", "open")
		if len(list.Items) != 1 || !list.Items[0].Elsewhere {
			return ""
		}
		return list.Items[0].Incident
	}
	deadline := time.Now().Add(limit)
	for name = opened(); name == ""; name = opened() {
		if time.Now().After(deadline) {
			t.Fatal("PagerDuty's own incident is not known here")
		}
	}
	y.await([]string{"pages people itself"}, "incident", "show", name)
	hook("resolved", "PT2", "baf7cf21b1da41b4b0221008339ff357")
	y.await([]string{"pagerduty:Earline Greenholt"}, "incident", "show", name)
	select {
	case e := <-events:
		t.Errorf("PagerDuty was told of its own incident: %v", e)
	default:
	}
}
