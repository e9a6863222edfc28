package oncall_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

func calendar(lines ...string) []byte {
	return []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
}

// What is imported, as a file, has the shifts of the calendar.
func TestImport(t *testing.T) {
	for _, c := range []struct{ name, start, end, want string }{
		{"instants", "DTSTART:20260308T063000Z", "DTEND:20260308T073000Z", "2026-03-08T06:30:00Z 2026-03-08T07:30:00Z"},
		{"in a zone, through a gap", "DTSTART;TZID=America/New_York:20260308T023000", "DTEND;TZID=America/New_York:20260308T090000", "2026-03-08T06:30:00Z 2026-03-08T13:00:00Z"},
		{"until a gap", "DTSTART;TZID=America/New_York:20260307T090000", "DTEND;TZID=America/New_York:20260308T023000", "2026-03-07T14:00:00Z 2026-03-08T07:30:00Z"},
		{"local to the schedule", "DTSTART:20260701T090000", "DTEND:20260702T090000", "2026-07-01T07:00:00Z 2026-07-02T07:00:00Z"},
		{"whole days", "DTSTART;VALUE=DATE:20260701", "DTEND;VALUE=DATE:20260703", "2026-06-30T22:00:00Z 2026-07-02T22:00:00Z"},
		{"a day", "DTSTART;VALUE=DATE:20260701", "SEQUENCE:0", "2026-06-30T22:00:00Z 2026-07-01T22:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			overrides, err := oncall.ReadCalendar("a.ics", calendar("SUMMARY:Łucja", c.start, c.end))
			if err != nil {
				t.Fatal(err)
			}
			text := oncall.WriteSchedule("imported", "Europe/Berlin", overrides)
			plan, _, err := oncall.Load(map[string][]byte{"a.yaml": []byte(text)})
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			shifts, err := plan.Schedules["imported"].Shifts(moment(t, "2026-01-01T00:00:00Z"), moment(t, "2027-01-01T00:00:00Z"))
			if err != nil || len(shifts) != 1 || shifts[0].Person != "Łucja" {
				t.Fatalf("%+v, %v", shifts, err)
			}
			const layout = "2006-01-02T15:04:05Z"
			if got := shifts[0].Start.Format(layout) + " " + shifts[0].End.Format(layout); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// What was exported is imported as it was.
func TestExportThenImport(t *testing.T) {
	start := moment(t, "2026-03-08T06:30:00Z")
	shifts := []oncall.Shift{{Start: start, End: start.AddDate(0, 0, 1), Person: "ana, of payments", Layer: "l"}, {Start: start.AddDate(0, 0, 2), End: start.AddDate(0, 0, 3), Person: "ben", Layer: "l"}}
	var b bytes.Buffer
	if err := oncall.WriteCalendar(&b, "payments", shifts, start); err != nil {
		t.Fatal(err)
	}
	overrides, err := oncall.ReadCalendar("a.ics", b.Bytes())
	if err != nil || len(overrides) != 2 {
		t.Fatal(overrides, err)
	}
	for i, o := range overrides {
		if o.Person != shifts[i].Person || !o.From.Instant.Equal(shifts[i].Start) || !o.To.Instant.Equal(shifts[i].End) {
			t.Errorf("%d: %+v", i, o)
		}
	}
}

func TestBadCalendars(t *testing.T) {
	for want, data := range map[string][]byte{
		"recurs":                     calendar("SUMMARY:ana", "DTSTART:20260308T063000Z", "DTEND:20260308T073000Z", "RRULE:FREQ=DAILY"),
		"no person's name":           calendar("DTSTART:20260308T063000Z", "DTEND:20260308T073000Z"),
		"its start: is missing":      calendar("SUMMARY:ana", "DTEND:20260308T073000Z"),
		"its end: is missing":        calendar("SUMMARY:ana", "DTSTART:20260308T063000Z"),
		"is no time":                 calendar("SUMMARY:ana", "DTSTART:tomorrow", "DTEND:20260308T073000Z"),
		"is not a time zone":         calendar("SUMMARY:ana", "DTSTART;TZID=Mars:20260308T063000", "DTEND:20260308T073000Z"),
		"it ends before it begins":   calendar("SUMMARY:ana", "DTSTART:20260308T063000Z", "DTEND:20260308T053000Z"),
		"has no events":              []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n"),
		"is no iCalendar":            []byte("hello"),
		"a.ics is larger than 4 MiB": make([]byte, oncall.MaxCalendar+1),
	} {
		if _, err := oncall.ReadCalendar("a.ics", data); problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func FuzzCalendar(f *testing.F) {
	f.Add(calendar("SUMMARY:ana", "DTSTART;TZID=America/New_York:20260308T023000", "DTEND:20260308T073000Z"))
	f.Add(calendar("SUMMARY:ana", "DTSTART;VALUE=DATE:20260701"))
	f.Fuzz(func(t *testing.T, data []byte) {
		overrides, err := oncall.ReadCalendar("a.ics", data)
		if err != nil {
			return
		}
		text := oncall.WriteSchedule("x", "UTC", overrides)
		if _, findings, err := oncall.Load(map[string][]byte{"a.yaml": []byte(text)}); err != nil {
			for _, x := range findings {
				if x.Code != "range" { // an end before its start, once zones are known
					t.Fatalf("%v\n%s", err, text)
				}
			}
		}
	})
}
