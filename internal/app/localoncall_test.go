package app

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ics "github.com/arran4/golang-ical"

	"github.com/flyball-dev/flyball/internal/face/cli"
)

// runLocal runs a command that needs no server.
func runLocal(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, talk bytes.Buffer
	code = cli.Main(t.Context(), cli.New(nil, localCommands(Declarations())...), args, strings.NewReader(""), &out, &talk)
	return out.String(), talk.String(), code
}

const exampleSchedules = "../../examples/oncall/oncall.yaml"

func TestOncallShifts(t *testing.T) {
	out, talk, code := runLocal(t, "oncall", "shifts", exampleSchedules, "--schedule", "payments", "--from", "2026-03-28T00:00:00Z", "--to", "2026-03-31T00:00:00Z", "-o", "json")
	if code != 0 {
		t.Fatal(code, talk)
	}
	var shifts []map[string]string
	if err := json.Unmarshal([]byte(out), &shifts); err != nil {
		t.Fatal(err)
	}
	if len(shifts) != 3 || len(shifts[0]) != 4 {
		t.Fatalf("shifts: %s", out)
	}
	want := map[string]string{"start": "2026-03-28T00:00:00Z", "end": "2026-03-30T07:00:00Z", "person": "ben", "layer": "weekly"}
	for k, v := range want {
		if shifts[0][k] != v {
			t.Errorf("%s is %q, want %q", k, shifts[0][k], v)
		}
	}
	text, _, code := runLocal(t, "oncall", "shifts", exampleSchedules, "--schedule", "payments", "--from", "2026-03-28", "--to", "2026-03-31", "-o", "ical")
	cal, err := ics.ParseCalendar(strings.NewReader(text))
	if err != nil || code != 0 || len(cal.Events()) != 3 {
		t.Errorf("calendar: %v, exit %d\n%s", err, code, text)
	}
	table, _, _ := runLocal(t, "oncall", "shifts", exampleSchedules, "--schedule", "payments", "--from", "2026-03-28", "--to", "2026-03-31")
	if !strings.Contains(table, "Mon 2026-03-30 09:00 CEST  Mon 2026-03-30 17:00 CEST") {
		t.Errorf("table:\n%s", table)
	}
	if _, talk, code := runLocal(t, "oncall", "shifts", exampleSchedules); code != 1 || !strings.Contains(talk, "name one with --schedule: payments, platform") {
		t.Errorf("without a name: exit %d, %s", code, talk)
	}
	if _, talk, code := runLocal(t, "oncall", "shifts", exampleSchedules, "--schedule", "payments", "--from", "soon"); code != cli.ExitUsage {
		t.Errorf("a wrong time: exit %d, %s", code, talk)
	}
}

// A hole in a night in which clocks change fails the check; the example has none.
func TestOncallCoverage(t *testing.T) {
	if out, talk, code := runLocal(t, "oncall", "coverage", exampleSchedules, "--from", "2026-01-12", "--days", "700"); code != 0 {
		t.Errorf("the example: exit %d\n%s%s", code, out, talk)
	}
	const holey = `apiVersion: flyball.dev/v1
kind: Schedule
metadata: {name: sun}
spec:
  timeZone: UTC
  layers:
    - {name: berlin, timeZone: Europe/Berlin, start: 2026-03-01T08:00, every: 1 week, members: [ana], restrictions: [{from: "08:00", to: "20:00"}]}
    - {name: denver, timeZone: America/Denver, start: 2026-03-01T12:00, every: 1 week, members: [li], restrictions: [{from: "12:00", to: "00:00"}]}
`
	file := filepath.Join(t.TempDir(), "sun.yaml")
	if err := os.WriteFile(file, []byte(holey), 0o600); err != nil {
		t.Fatal(err)
	}
	out, talk, code := runLocal(t, "oncall", "coverage", file, "--from", "2026-03-28T08:00:00Z", "--days", "90", "-o", "json")
	if code != 0 || strings.TrimSpace(out) != "[]" {
		t.Errorf("summer: exit %d, %s%s", code, out, talk)
	}
	out, _, code = runLocal(t, "oncall", "coverage", file, "--from", "2026-03-07T12:00:00Z", "--days", "3", "-o", "json")
	var holes []struct {
		Schedule   string
		Start, End time.Time
	}
	if err := json.Unmarshal([]byte(out), &holes); err != nil || code != cli.ExitNotMet {
		t.Fatalf("exit %d, %v, %s", code, err, out)
	}
	if len(holes) != 2 || holes[0].Schedule != "sun" || !holes[0].Start.Equal(time.Date(2026, 3, 9, 6, 0, 0, 0, time.UTC)) || holes[0].End.Sub(holes[0].Start) != time.Hour {
		t.Errorf("holes: %s", out)
	}
	table, _, code := runLocal(t, "oncall", "coverage", file, "--from", "2026-03-07T12:00:00Z", "--days", "3")
	if code != cli.ExitNotMet || !strings.Contains(table, "Mon 2026-03-09 06:00 UTC") {
		t.Errorf("exit %d\n%s", code, table)
	}
}
