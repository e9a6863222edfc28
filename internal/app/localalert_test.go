package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/face/cli"
)

const routedResources = `apiVersion: flyball.dev/v1
kind: Team
metadata: {name: dba}
spec: {escalation: dba}
---
apiVersion: flyball.dev/v1
kind: Person
metadata: {name: dora}
spec: {contacts: [{url: "https://pager.example/dora"}]}
---
apiVersion: flyball.dev/v1
kind: EscalationPolicy
metadata: {name: dba}
spec: {steps: [{notify: [{person: dora}]}], lastResort: [{person: dora}]}
---
apiVersion: flyball.dev/v1
kind: Service
metadata: {name: database}
spec: {team: dba, run: x}
---
apiVersion: flyball.dev/v1
kind: AlertRoute
metadata: {name: base}
spec: {rules: [{name: postgres, match: 'labels.job == "postgres"', service: database}]}
`

// Files say where an alert would go, without a server.
func TestAlertRoute(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "routes.yaml")
	if err := os.WriteFile(file, []byte(routedResources), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, dir} {
		out, talk, code := runLocal(t, "alert", "route", path, "--labels", "alertname=Down,job=postgres", "-o", "json")
		var answer struct {
			Service, Team, Policy string
			People, Rules         []string
		}
		if err := json.Unmarshal([]byte(out), &answer); err != nil || code != 0 {
			t.Fatal(code, talk, err, out)
		}
		if answer.Service != "database" || answer.Policy != "dba" || strings.Join(answer.People, " ") != "dora" || strings.Join(answer.Rules, " ") != "base/postgres" {
			t.Errorf("%s: %s", path, out)
		}
	}
	if out, _, _ := runLocal(t, "alert", "route", file, "--labels", "job=nginx"); !strings.Contains(out, "no   base/postgres: labels.job == \"postgres\"") || !strings.Contains(out, "nobody is paged: it has no owner") {
		t.Errorf("of another job: %s", out)
	}
	if _, talk, code := runLocal(t, "alert", "route", file); code != cli.ExitError || !strings.Contains(talk, "labels") {
		t.Errorf("without labels: %d %s", code, talk)
	}
	if _, talk, code := runLocal(t, "alert", "route", filepath.Join(dir, "none"), "--labels", "a=b"); code != cli.ExitError || !strings.Contains(talk, "no such file") {
		t.Errorf("without a file: %d %s", code, talk)
	}
}
