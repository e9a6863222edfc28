package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A real Prometheus server reports to us as it would to an Alertmanager, a
// PagerDuty sender as it would to PagerDuty, and amtool works as ever.
func TestForeignSenders(t *testing.T) {
	y := newYard(t)
	y.declare("  run: sleep 3600\n")
	y.up()
	var made struct{ Key string }
	y.json(&made, "integration", "create", "prometheus", "--team", "owners")
	y.prometheus(made.Key)
	fired := y.event("alert.fired")
	if fired["service"] != "web" || fired["severity"] != "page" || fired["explanation"] != "nobody is home" {
		t.Errorf("alert.fired says %v", fired)
	}
	if opened := y.event("incident.opened"); opened["service"] != "web" || opened["environment"] != "prod" || opened["title"] != "web: nobody is home" {
		t.Errorf("incident.opened says %v", opened)
	}

	y.says(y.amtool("alert", "query", "service=web"), "AlwaysBad", "nobody is home")
	y.says(y.amtool("alert", "query", "-o", "json", "service=elsewhere"), "[]")
	var token struct{ Secret string }
	y.json(&token, "token", "create", "--name", "user:ana", "--role", "operator")
	y.write("amtool.yml", "authorization: {credentials: "+token.Secret+"}\n")
	id := strings.TrimSpace(y.amtool("--http.config.file", filepath.Join(y.dir, "amtool.yml"), "silence", "add", "--comment", "repairs", "--author", "ana", "service=web"))
	y.says(y.amtool("silence", "query"), id, "repairs")
	y.says(y.amtool("alert", "query", "--silenced", "-o", "json"), "AlwaysBad", `"state":"suppressed"`, id)
	y.amtool("--http.config.file", filepath.Join(y.dir, "amtool.yml"), "silence", "expire", id)
	y.says(y.amtool("silence", "query", "--expired", "-o", "json"), id, `"state":"expired"`)

	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"/v2/enqueue", `{"routing_key":"` + made.Key + `","event_action":"trigger","dedup_key":"d","payload":{"summary":"s","source":"x","severity":"critical"}}`, http.StatusAccepted},
		{"/v2/enqueue", `{"routing_key":"nobody","event_action":"trigger","payload":{"summary":"s","source":"x","severity":"critical"}}`, http.StatusBadRequest},
		{"/ingest/" + made.Key + "/alertmanager", `{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"W"}}]}`, http.StatusOK},
		{"/ingest/nobody/alertmanager", `{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"W"}}]}`, http.StatusUnauthorized},
		{"/api/v2/silences", `{"comment":"x","createdBy":"x","matchers":[{"name":"a","value":"b"}],"startsAt":"2026-01-01T00:00:00Z","endsAt":"2099-01-01T00:00:00Z"}`, http.StatusUnauthorized},
		{"/v2/alerts", `{"message":"from this machine, without a key"}`, http.StatusAccepted},
		{"/api/v2/alerts", strings.Repeat(" ", 9<<20), http.StatusRequestEntityTooLarge},
	} {
		res, err := http.Post("http://"+y.listen+c.path, "application/json", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.status {
			t.Errorf("POST %s %.60s: %s, want %d", c.path, c.body, res.Status, c.status)
		}
	}
	for header, value := range map[string]string{"Origin": "https://evil.example", "X-Forwarded-For": "203.0.113.9", "X-Real-Ip": "203.0.113.9", "Via": "1.1 proxy"} {
		foreign, err := http.NewRequest(http.MethodPost, "http://"+y.listen+"/api/v2/alerts", strings.NewReader(`[{"labels":{"alertname":"forged"}}]`))
		if err != nil {
			t.Fatal(err)
		}
		foreign.Header.Set(header, value)
		res, err := http.DefaultClient.Do(foreign)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("a browser's page or a proxy (%s) could report an alert without a key: %s", header, res.Status)
		}
	}
}

// json runs a command and decodes what it prints.
func (y *yard) json(into any, args ...string) {
	y.t.Helper()
	out, errs, code := y.run(append(args, "-o", "json")...)
	if code != 0 {
		y.t.Fatalf("flyball %v: %d %s", args, code, errs)
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		y.t.Fatalf("flyball %v: %v\n%s", args, err, out)
	}
}

func (y *yard) amtool(args ...string) string {
	y.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "amtool", append([]string{"--alertmanager.url", "http://" + y.listen}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		y.t.Fatalf("amtool %v: %v\n%s%s", args, err, out.String(), errs.String())
	}
	return out.String()
}

// prometheus starts a server whose only rule always fires.
func (y *yard) prometheus(key string) {
	y.t.Helper()
	dir := y.t.TempDir()
	for name, text := range map[string]string{
		"prometheus.yml": `global: {evaluation_interval: 1s}
rule_files: [rules.yml]
alerting:
  alertmanagers:
  - authorization: {credentials: "` + key + `"}
    static_configs: [{targets: ["` + y.listen + `"]}]
`,
		"rules.yml": `groups:
- name: bad
  rules:
  - alert: AlwaysBad
    expr: vector(1)
    labels: {service: web, severity: critical}
    annotations: {summary: nobody is home}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			y.t.Fatal(err)
		}
	}
	cmd := exec.Command("prometheus", "--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", "127.0.0.1:0",
		// It finds its alertmanagers after some seconds only; what it said before is said again.
		"--rules.alert.resend-delay", "1s")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		y.t.Fatal(err)
	}
	y.t.Cleanup(func() {
		cmd.Process.Kill()
		_ = cmd.Wait()
		if y.t.Failed() {
			y.t.Logf("prometheus said:\n%s", said.String())
		}
	})
}
