package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// An account of PagerDuty's becomes files that say the same about who is on
// call; pages of its lists are all read, and its wish to wait is granted.
func TestImportPagerDuty(t *testing.T) {
	asked := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.URL.Path + "?" + r.URL.Query().Get("offset")
		if asked[key]++; key == "/users?0" && asked[key] == 1 {
			w.Header().Set("Ratelimit-Reset", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		if r.Header.Get("Authorization") != "Token token=y_NbAkKc66ryYTWUXYEu" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, ok := pagerDutyAccount[key]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprint(w, body)
	}))
	defer server.Close()
	t.Setenv("PD_TOKEN", "y_NbAkKc66ryYTWUXYEu")
	out, talk, code := runLocal(t, "oncall", "import", "--pagerduty", "--url", server.URL, "--mail-channel", "mail")
	if code != 0 {
		t.Fatal(code, talk)
	}
	for _, want := range []string{
		"# From PagerDuty: 3 users, 1 schedules, 1 escalation policies, 1 services",
		"kind: Person\nmetadata:\n  name: ana\nspec:\n  displayName: Ana\n  timeZone: Europe/Berlin\n  contacts:\n    - channel: mail\n      to: ana@example.org\n",
		"name: ana-2\n", // another Ana
		"kind: EscalationPolicy\nmetadata:\n  name: payments-policy\n", "- schedule: payments-primary", "- person: ben", "wait: 30m0s", "repeat: 2",
		"# service my-checkout: escalation policy payments-policy", "kind: Team\nmetadata:\n  name: payments\nspec:\n  escalation: payments-policy\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	out += "---\napiVersion: flyball.dev/v1\nkind: Channel\nmetadata: {name: mail}\nspec: {smtp: {host: mail.example.org, from: flyball@example.org}}\n"
	file := filepath.Join(t.TempDir(), "pagerduty.yaml")
	if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, findings := resource.Load(Kinds(), map[string][]byte{"pagerduty.yaml": []byte(out)}); resource.Refuse("test", findings) != nil {
		t.Errorf("what was written is refused: %v", findings)
	}
	// Ana begins on Monday 2 March at 9 in Berlin, though the rotation is counted
	// from a week before; by day Ben goes over her, and on 5 March he stands in.
	shifts, talk, code := runLocal(t, "oncall", "shifts", file, "--from", "2026-03-02T08:00:00Z", "--to", "2026-03-10T00:00:00Z")
	if code != 0 {
		t.Fatal(code, talk)
	}
	const want = `Mon 2026-03-02 09:00 CET  Mon 2026-03-02 10:00 CET  ana     Layer 1
Mon 2026-03-02 10:00 CET  Tue 2026-03-03 12:00 CET  ben     by day`
	if !strings.Contains(shifts, want) || !strings.Contains(shifts, "override") {
		t.Errorf("shifts:\n%s", shifts)
	}
	t.Setenv("PD_TOKEN", "wrong")
	if _, talk, code := runLocal(t, "oncall", "import", "--pagerduty", "--url", server.URL); code != cli.ExitError || !strings.Contains(talk, "does not accept the token") {
		t.Errorf("a wrong token: %d %s", code, talk)
	}
	t.Setenv("PD_TOKEN", "")
	if _, talk, code := runLocal(t, "oncall", "import", "--pagerduty", "--url", server.URL); code != cli.ExitUsage || !strings.Contains(talk, "PD_TOKEN") {
		t.Errorf("no token: %d %s", code, talk)
	}
	if _, _, code := runLocal(t, "oncall", "import"); code != cli.ExitUsage {
		t.Errorf("nothing to import: %d", code)
	}
}

var pagerDutyAccount = map[string]string{
	"/users?0": `{"users":[{"id":"P1","type":"user","name":"Ana","email":"ana@example.org","time_zone":"Europe/Berlin"},
		{"id":"P2","type":"user","name":"Ben","email":"ben@example.org","time_zone":"Europe/Berlin"}],"limit":100,"offset":0,"total":null,"more":true}`,
	"/users?100":   `{"users":[{"id":"P3","type":"user","name":"Ana","email":"ana3@example.org","time_zone":"Mars/Base"}],"limit":100,"offset":100,"more":false}`,
	"/schedules?0": `{"schedules":[{"id":"PS1","type":"schedule","name":"Payments: primary","time_zone":"Europe/Berlin"}],"more":false}`,
	"/schedules/PS1?": `{"schedule":{"id":"PS1","type":"schedule","name":"Payments: primary","time_zone":"Europe/Berlin","description":"who\nanswers","schedule_layers":[
		{"id":"PL2","name":"by day","start":"2026-03-02T00:00:00+01:00","end":null,"rotation_virtual_start":"2026-03-02T00:00:00+01:00","rotation_turn_length_seconds":86400,
			"users":[{"user":{"id":"P2","type":"user_reference","summary":"Ben"}}],"restrictions":[{"type":"weekly_restriction","start_time_of_day":"10:00:00","duration_seconds":93600,"start_day_of_week":1}]},
		{"id":"PL1","name":"Layer 1","start":"2026-03-02T09:00:00+01:00","end":null,"rotation_virtual_start":"2026-02-23T09:00:00+01:00","rotation_turn_length_seconds":604800,
			"users":[{"user":{"id":"P3","type":"user_reference","summary":"Ana"}},{"user":{"id":"P1","type":"user_reference","summary":"Ana"}}],"restrictions":[]},
		{"id":"PL0","name":"odd","start":"2026-03-02T09:00:00+01:00","end":null,"rotation_virtual_start":"2026-02-23T09:00:00+01:00","rotation_turn_length_seconds":100,
			"users":[{"user":{"id":"P3","type":"user_reference","summary":"Ana"}}],"restrictions":[]}]}}`,
	"/schedules/PS1/overrides?": `{"overrides":[{"id":"PO1","start":"2026-03-05T12:00:00+01:00","end":"2026-03-05T18:00:00+01:00","user":{"id":"P2","type":"user_reference","summary":"Ben"}}]}`,
	"/escalation_policies?0": `{"escalation_policies":[{"id":"PE1","type":"escalation_policy","name":"Payments policy","num_loops":2,"escalation_rules":[
		{"id":"R1","escalation_delay_in_minutes":30,"targets":[{"id":"PS1","type":"schedule_reference","summary":"Payments: primary"}]},
		{"id":"R2","escalation_delay_in_minutes":10,"targets":[{"id":"P2","type":"user_reference","summary":"Ben"}]}]}],"more":false}`,
	"/services?0": `{"services":[{"id":"PSV","type":"service","name":"My Checkout","escalation_policy":{"id":"PE1","type":"escalation_policy_reference","summary":"Payments policy"},
		"teams":[{"id":"PT1","type":"team_reference","summary":"Payments"}]}],"more":false}`,
}
