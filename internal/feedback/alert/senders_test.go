package alert_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

func payload(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/senders/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func told(r alert.Report) string {
	started := ""
	if !r.StartsAt.IsZero() {
		started = " since " + r.StartsAt.UTC().Format("15:04:05")
	}
	return fmt.Sprintf("%d %s|%s|%s|%d links%s", r.Act, r.Key, r.Severity, r.Summary, len(r.Links), started)
}

// What senders really send, and what becomes of it.
func TestSenders(t *testing.T) {
	datadog := func(name string) alert.Report {
		r, err := alert.DecodeDatadog(payload(t, name))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	sentry := func(resource string) alert.Report {
		r, ok, err := alert.DecodeSentry(resource, payload(t, "sentry-"+resource))
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		return r
	}
	grafana, err := alert.DecodeWebhook(payload(t, "grafana"))
	if err != nil || len(grafana) != 1 {
		t.Fatal(err, grafana)
	}
	for want, r := range map[string]alert.Report{
		"0 |||4 links since 11:58:20": grafana[0],
		"0 1482300000000000|page|[Triggered] High error rate on checkout|2 links since 11:58:20":   datadog("datadog-triggered"),
		"2 1482300000000000|ticket|[Recovered] High error rate on checkout|0 links since 12:15:00": datadog("datadog-recovered"),
		"0 41234567 host:db1|ticket|[Warn] Disk|0 links":                                           datadog("datadog-warn"),
		"0 issue 1170820242|page|PaymentError: card declined for everybody|1 links since 11:59:17": sentry("event_alert"),
		"0 metric 4|page|Critical: Too many errors|1 links since 11:50:00":                         sentry("metric_alert"),
		"2 issue 1170820242|||0 links":                                                             sentry("issue"),
	} {
		if got := told(r); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if a := grafana[0].Annotations; a["values"] != "B=2.31 C=1" || a["title"] != "[FIRING:1] High latency Shop (checkout)" || a["summary"] != "p99 above 2 s" {
		t.Errorf("Grafana's annotations: %v", a)
	}
	if l := datadog("datadog-triggered").Labels; l["service"] != "checkout" || l["env"] != "prod" || l["monitor"] != "41234567" || l["host"] != "" {
		t.Errorf("Datadog's labels: %v", l)
	}
	if l := sentry("event_alert").Labels; l["service"] != "checkout" || l["environment"] != "prod" || l["alertname"] != "Many payment errors" {
		t.Errorf("Sentry's labels: %v", l)
	}
	if _, ok, err := alert.DecodeSentry("installation", []byte(`{}`)); ok || err != nil {
		t.Errorf("an installation: %t %v", ok, err)
	}
	for resource, body := range map[string]string{"": `{}`, "event_alert": `{}`, "metric_alert": `{"action":"shout","data":{"metric_alert":{"id":"1"}}}`, "issue": `{"action":"resolved"}`, "x": `[`} {
		if _, _, err := alert.DecodeSentry(resource, []byte(body)); problem.KindOf(err) != problem.Invalid {
			t.Errorf("Sentry's %s %s: %v", resource, body, err)
		}
	}
	for _, body := range []string{`{}`, `[]`, `{"key":"null","monitor":"$ALERT_ID"}`} {
		if _, err := alert.DecodeDatadog([]byte(body)); problem.KindOf(err) != problem.Invalid {
			t.Errorf("Datadog's %s: %v", body, err)
		}
	}
	// What Datadog fills in is what the template names.
	if n := strings.Count(alert.DatadogTemplate, `"$`); n != 14 {
		t.Errorf("the template has %d variables", n)
	}
}

func TestPagerDutyHook(t *testing.T) {
	h, err := alert.DecodePagerDutyHook(payload(t, "pagerduty-hook"))
	if err != nil || told(h.Report) != "1 pagerduty PT4KHLK|page|The server is on fire.|1 links since 14:00:00" || h.Key != "baf7cf21b1da41b4b0221008339ff357" || h.By != "Earline Greenholt" ||
		h.Report.Labels["service"] != "my-mail-service" || !h.Report.Elsewhere {
		t.Errorf("%+v %v", h, err)
	}
	for body, want := range map[string]string{`{}`: "event_type is missing", `{"event":{"event_type":"incident.resolved"}}`: "data.id is missing", `[]`: "cannot be read"} {
		if _, err := alert.DecodePagerDutyHook([]byte(body)); problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	if h, err := alert.DecodePagerDutyHook([]byte(`{"event":{"event_type":"pagey.ping"}}`)); err != nil || !h.Ignored {
		t.Errorf("a ping: %+v %v", h, err)
	}
	for name, want := range map[string]string{"My Mail Service": "my-mail-service", "  Ünïcode -- (EU)": "n-code-eu", "": "", strings.Repeat("x", 100): strings.Repeat("x", 63)} {
		if got := alert.PlainName(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

// What somebody's own tools did is a fact about a service.
func TestChangeReported(t *testing.T) {
	h := newHouse(t)
	key, r, err := alert.DecodePagerDutyChange(payload(t, "pagerduty-change"))
	if err != nil || key != "samplekeyhere" || r.Summary != "Build Success - Increase snapshot create timeout to 30 seconds" || len(r.Links) != 1 || r.Labels["service"] != "checkout" {
		t.Fatalf("%s %+v %v", key, r, err)
	}
	r.StartsAt = noon.Add(-time.Minute)
	h.ok(h.ReportChange(t.Context(), prometheus, r))
	events, err := h.Log.Read(t.Context(), event.Query{Types: []string{alert.EventChangeReported}})
	h.ok(err)
	if len(events) != 1 || !events[0].Time.Equal(noon.Add(-time.Minute)) {
		t.Fatalf("recorded %+v", events)
	}
	got, err := event.Decode[alert.ChangeReport](events[0])
	h.ok(err)
	h.equal("it is about", fmt.Sprint(got.Service, " ", got.Team, " ", got.Environment, " ", got.Source), "checkout payments prod acme-build-pipeline-tool-default-i-9999")
	for _, bad := range []string{`{}`, `{"payload":{}}`, `[`} {
		if _, _, err := alert.DecodePagerDutyChange([]byte(bad)); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestMapping(t *testing.T) {
	m := alert.MappingSpec{
		When: `headers["x-kind"] == "problem"`, Each: "body.problems", Key: "string(int(item.id))", Summary: "item.title + ' at ' + body.site",
		Severity: `item.level > 3 ? "critical" : "warning"`, Status: `item.over ? "closed" : "open"`,
		Labels: map[string]string{"service": "item.svc", "tag": `item.tags.join("+")`, "none": "null"}, Annotations: map[string]string{"n": "item.level"},
		URL: `"https://x.example/" + string(int(item.id))`,
	}
	body := []byte(`{"site":"fra","problems":[{"id":7,"title":"full","level":4,"over":false,"svc":"checkout","tags":["a","b"]},{"id":8,"title":"slow","level":2.5,"over":true,"svc":"","tags":[]}]}`)
	reports, err := m.Decode(body, map[string]string{"x-kind": "problem"})
	if err != nil || len(reports) != 2 {
		t.Fatal(err, reports)
	}
	for i, want := range []string{"0 7|page|full at fra|1 links map[service:checkout tag:a+b] map[n:4]", "2 8|ticket|slow at fra|1 links map[] map[n:2.5]"} {
		if got := fmt.Sprint(told(reports[i]), " ", reports[i].Labels, " ", reports[i].Annotations); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if reports, err := m.Decode(body, map[string]string{"x-kind": "news"}); err != nil || len(reports) != 0 {
		t.Errorf("what the mapping leaves out: %v %v", reports, err)
	}
	for want, c := range map[string]struct {
		m    alert.MappingSpec
		body string
	}{
		"cannot be read":      {m, `{`},
		"mapping's each":      {m, `{}`},
		"gives no list":       {alert.MappingSpec{Each: "body", Summary: "'x'"}, `{}`},
		"no such key: title":  {alert.MappingSpec{Key: "'x'", Summary: "body.title"}, `{}`},
		"status is \"maybe\"": {alert.MappingSpec{Key: "'x'", Status: "'maybe'"}, `{}`},
		"cost limit exceeded": {alert.MappingSpec{Key: "'x'", Summary: "string(body.map(a, body.map(b, body.map(c, a))).size())"}, "[" + strings.Repeat("1,", 60) + "1]"},
		"10001 alerts":        {alert.MappingSpec{Each: "body", Key: "'x'", Summary: "'x'"}, "[" + strings.Repeat("1,", 10_000) + "1]"},
	} {
		if _, err := c.m.Decode([]byte(c.body), nil); problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// An integration with a mapping finds it in the catalog.
func TestMappingOfIntegration(t *testing.T) {
	h := newHouse(t)
	h.declare("apiVersion: flyball.dev/v1\nkind: AlertMapping\nmetadata: {name: own}\nspec: {key: body.id, summary: body.title}\n")
	if _, err := h.ask("integration.create", chief, `{"integration":"a","mapping":"none"}`); problem.KindOf(err) != problem.NotFound {
		t.Errorf("a mapping that is not declared: %v", err)
	}
	if _, err := h.ask("integration.create", chief, `{"integration":"a","secret_env":"not a name"}`); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a secret's name: %v", err)
	}
	out, err := h.ask("integration.create", chief, `{"integration":"a","mapping":"own"}`)
	h.ok(err)
	in, err := h.Authenticate(t.Context(), out.(alert.CreatedIntegration).Key)
	h.ok(err)
	m, ok, err := h.Mapping(t.Context(), in)
	if err != nil || !ok || m.Summary != "body.title" {
		t.Errorf("%+v %t %v", m, ok, err)
	}
	reports, err := m.Decode([]byte(`{"id":"x","title":"it burns"}`), nil)
	h.ok(err)
	_, err = h.Take(t.Context(), in, reports)
	h.ok(err)
	h.equal("fires", h.fired("it burns").Key, "x")
}

func FuzzSenders(f *testing.F) {
	for _, name := range []string{"grafana", "datadog-triggered", "datadog-warn", "sentry-event_alert", "sentry-metric_alert", "sentry-issue", "pagerduty-hook", "pagerduty-change"} {
		f.Add(payload(f, name))
	}
	m := alert.MappingSpec{Each: "body.alerts", Key: "item.fingerprint", Summary: "item.labels.alertname", Labels: map[string]string{"a": "item.labels"}}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = alert.DecodeWebhook(data)
		_, _ = alert.DecodeDatadog(data)
		for _, resource := range []string{"event_alert", "metric_alert", "issue"} {
			_, _, _ = alert.DecodeSentry(resource, data)
		}
		_, _ = m.Decode(data, nil)
		_, _ = alert.DecodePagerDutyHook(data)
		_, _, _ = alert.DecodePagerDutyChange(data)
	})
}
