package oncall_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ics "github.com/arran4/golang-ical"
	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
)

var update = flag.Bool("update", false, "write what came out into the archives")

func archives(t *testing.T, pattern string, play func(t *testing.T, a *txtar.Archive) string) {
	files, _ := filepath.Glob(pattern)
	if len(files) == 0 {
		t.Fatal("no archives")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, a)
			last := &a.Files[len(a.Files)-1]
			if *update {
				last.Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if want := string(last.Data); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func yamlFiles(a *txtar.Archive) map[string][]byte {
	files := map[string][]byte{}
	for _, f := range a.Files {
		if strings.HasSuffix(f.Name, ".yaml") {
			files[f.Name] = f.Data
		}
	}
	return files
}

// TestBad reads files that must be refused, with every message they must get.
func TestBad(t *testing.T) {
	archives(t, "testdata/bad/*.txtar", func(t *testing.T, a *txtar.Archive) string {
		_, findings, err := oncall.Load(yamlFiles(a))
		if err == nil {
			t.Error("accepted")
		}
		var b strings.Builder
		for _, f := range findings {
			fmt.Fprintln(&b, f)
		}
		return b.String()
	})
}

// TestShifts asks schedules for their shifts and holes. A line of "ask" is
// SCHEDULE FROM TO.
func TestShifts(t *testing.T) {
	archives(t, "testdata/shifts/*.txtar", func(t *testing.T, a *txtar.Archive) string {
		plan, _, err := oncall.Load(yamlFiles(a))
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for line := range strings.Lines(string(a.Files[len(a.Files)-2].Data)) {
			f := strings.Fields(line)
			from, to := moment(t, f[1]), moment(t, f[2])
			spec, name, err := plan.Find(f[0])
			if err != nil {
				t.Fatal(err)
			}
			shifts, err := spec.Shifts(from, to)
			if err != nil {
				t.Fatal(err)
			}
			loc, _ := spec.TimeZone.Location()
			fmt.Fprintf(&b, "%s\n", name)
			const layout = "Mon 2006-01-02 15:04 -0700"
			for _, s := range shifts {
				fmt.Fprintf(&b, "  %s  %s  %s (%s)\n", s.Start.In(loc).Format(layout), s.End.In(loc).Format(layout), s.Person, s.Layer)
			}
			holes, err := spec.Holes(name, from, to, plan.Reachable)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range holes {
				fmt.Fprintf(&b, "  %s  %s  nobody\n", h.Start.In(loc).Format(layout), h.End.In(loc).Format(layout))
			}
		}
		return b.String()
	})
}

func moment(t *testing.T, s string) time.Time {
	t.Helper()
	m, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A calendar is read back by a parser that is not ours.
func TestCalendarIsReadBack(t *testing.T) {
	start := moment(t, "2026-03-08T06:30:00Z")
	shifts := []oncall.Shift{
		{Start: start, End: start.Add(90 * time.Minute), Person: "ana", Layer: "primary"},
		{Start: start.Add(time.Hour), End: start.Add(26 * time.Hour), Person: `Łucja; the "first", of \ many with a name that is so long that its line must be folded ✓✓✓✓✓✓✓✓✓✓`, Layer: "a,b"},
	}
	var b, again bytes.Buffer
	for _, w := range []*bytes.Buffer{&b, &again} {
		if err := oncall.WriteCalendar(w, "payments, nights", shifts, start); err != nil {
			t.Fatal(err)
		}
	}
	if b.String() != again.String() {
		t.Error("the same shifts gave another calendar")
	}
	for line := range strings.SplitSeq(b.String(), "\r\n") {
		if len(line) > 75 || strings.ContainsAny(line, "\r\n") {
			t.Errorf("line of %d octets: %q", len(line), line)
		}
	}
	cal, err := ics.ParseCalendar(&b)
	if err != nil {
		t.Fatal(err)
	}
	events := cal.Events()
	if len(events) != len(shifts) {
		t.Fatalf("%d events, want %d", len(events), len(shifts))
	}
	uids := map[string]bool{}
	for i, e := range events {
		from, err1 := e.GetStartAt()
		to, err2 := e.GetEndAt()
		if err1 != nil || err2 != nil || !from.Equal(shifts[i].Start) || !to.Equal(shifts[i].End) {
			t.Errorf("event %d is from %s to %s (%v, %v), want %+v", i, from, to, err1, err2, shifts[i])
		}
		if got := e.GetProperty(ics.ComponentPropertySummary).Value; got != shifts[i].Person {
			t.Errorf("event %d is of %q, want %q", i, got, shifts[i].Person)
		}
		uids[e.Id()] = true
	}
	if len(uids) != len(shifts) {
		t.Error("two events have one UID")
	}
}

// The kinds of other rooms may stand in the file; what they hold is not asked.
func TestLoadBesideOtherKinds(t *testing.T) {
	const file = `apiVersion: flyball.dev/v1
kind: Team
metadata: {name: payments}
spec: {page: [{url: nonsense}]}
---
apiVersion: flyball.dev/v1
kind: Schedule
metadata: {name: payments}
spec: {timeZone: UTC, layers: [{name: a, start: 2026-01-05, every: daily, members: [ana, ben]}]}
---
apiVersion: flyball.dev/v1
kind: Person
metadata: {name: ana}
spec: {contacts: [{url: "https://pager.example/ana"}]}
`
	plan, findings, err := oncall.Load(map[string][]byte{"a.yaml": []byte(file)}, catalog.Kinds()...)
	if err != nil {
		t.Fatal(err)
	}
	if len(findings) != 1 || !strings.Contains(findings[0].String(), `a.yaml:9:`) || !strings.Contains(findings[0].String(), `no Person named "ben"`) {
		t.Errorf("findings: %v", findings)
	}
	from := moment(t, "2026-01-05T00:00:00Z")
	holes, err := plan.Schedules["payments"].Holes("payments", from, from.AddDate(0, 0, 2), plan.Reachable)
	if err != nil || len(holes) != 1 || !holes[0].Start.Equal(from.AddDate(0, 0, 1)) || !holes[0].End.Equal(from.AddDate(0, 0, 2)) {
		t.Errorf("holes while ben cannot be reached: %v, %v", holes, err)
	}
}

// No file makes reading panic; what is read has shifts without holes of its own
// making, and survives the way through an event.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.txtar", "testdata/shifts/*.txtar"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if a, err := txtar.ParseFile(file); err == nil {
				for _, x := range a.Files {
					f.Add(x.Data)
				}
			}
		}
	}
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, data []byte) {
		plan, findings, err := oncall.Load(map[string][]byte{"fuzz.yaml": data})
		if err != nil {
			if len(findings) == 0 {
				t.Fatal("refused without a finding")
			}
			return
		}
		for name, spec := range plan.Schedules {
			shifts, err := spec.Shifts(from, from.AddDate(0, 0, 40))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(spec)
			if err != nil {
				t.Fatal(err)
			}
			var back oncall.ScheduleSpec
			if err := json.Unmarshal(raw, &back); err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
			again, err := back.Shifts(from, from.AddDate(0, 0, 40))
			if err != nil || fmt.Sprint(again) != fmt.Sprint(shifts) {
				t.Fatalf("%s: other shifts after the way through an event: %v", name, err)
			}
			for i, s := range shifts {
				if !s.Start.Before(s.End) || s.Start.Before(from) || s.Person == "" || s.Layer == "" || i > 0 && s.Start.Before(shifts[i-1].Start) {
					t.Fatalf("%s: shift %d: %+v", name, i, s)
				}
			}
		}
	})
}
