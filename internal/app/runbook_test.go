package app_test

import (
	"testing"
)

// A runbook's commands are real processes: what they print is shown without its
// secrets, what hangs is killed, and an operation acts on Flyball itself.
func TestRunbook(t *testing.T) {
	t.Setenv("FLYBALL_SECRET_RELAY", "hunter2")
	y := newYard(t)
	y.declare("  run: sleep 3600\n", `---
apiVersion: flyball.dev/v1
kind: Runbook
metadata: {name: drain}
spec:
  title: A node is sick
  team: owners
  steps:
    - {name: look, text: "Which node?"}
    - name: drain
      command: |
        echo "draining $FLYBALL_SERVICE in $FLYBALL_ENVIRONMENT with $TOKEN"
        ls -A; env | grep -c FLYBALL_TOKEN || true
        sleep 600
      secrets: {TOKEN: RELAY}
      limit: 1s
      onFailure: continue
    - {name: say, operation: incident.note, input: {incident: "${incident}", text: "drained ${service}"}, approval: none}
`)
	y.up()
	var incident struct{ Incident string }
	y.json(&incident, "incident", "declare", "web", "--environment", "prod", "--title", "a node is sick", "--severity", "4")
	var run struct{ Run, Incident string }
	y.json(&run, "runbook", "start", "drain", "--service", "web", "--environment", "prod")
	if run.Incident != incident.Incident {
		t.Errorf("the run belongs to %q", run.Incident)
	}
	out, errs, code := y.run("runbook", "done", run.Run, "--note", "node 3")
	if code != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	y.await([]string{"waits for an operator"}, "runbook", "progress", run.Run)
	var progress struct{ Approve string }
	y.json(&progress, "runbook", "progress", run.Run)
	if out, errs, code := y.run("action", "approve", progress.Approve, "--reason", "go"); code != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	y.await([]string{"failed  2. drain", "killed after its limit of 1 s", "done    3. say", "every step is over"}, "runbook", "progress", run.Run)
	if out, _, _ = y.run("runbook", "output", run.Run); out != "draining web in prod with ***\n0\n" {
		t.Errorf("the command printed %q", out)
	}
	out, _, _ = y.run("incident", "show", incident.Incident)
	y.says(out, "drained web", "(runbook:drain)", "step 1, look, done: node 3", "drain: every step is over")
	out, _, _ = y.run("runbook", "list")
	y.says(out, "drain", "owners")
}
