package oncall

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// MaxCalendar is the most bytes of a calendar that is read.
const MaxCalendar = 4 << 20

// ReadCalendar reads an iCalendar (RFC 5545) as overrides: each event is
// somebody, by its summary, on call from its start until its end. Local times
// without a zone are the schedule's. An event that recurs is refused: a rotation
// is a layer.
func ReadCalendar(name string, data []byte) ([]Override, error) {
	if len(data) > MaxCalendar {
		return nil, problem.New(problem.Invalid, "oncall.import", "%s is larger than 4 MiB", name)
	}
	cal, err := ics.ParseCalendar(bytes.NewReader(data))
	if err != nil {
		return nil, problem.New(problem.Invalid, "oncall.import", "%s is no iCalendar: %w", name, err).WithNext("export it as .ics")
	}
	var out []Override
	for i, e := range cal.Events() {
		if e == nil {
			continue
		}
		o, err := readEvent(e)
		if err != nil {
			return nil, problem.New(problem.Invalid, "oncall.import", "%s: event %d: %w", name, i+1, err).WithNext("correct the event, or leave it out")
		}
		out = append(out, o)
	}
	if len(out) == 0 {
		return nil, problem.New(problem.Invalid, "oncall.import", "%s has no events", name)
	}
	return out, nil
}

func readEvent(e *ics.VEvent) (o Override, err error) {
	text := func(p ics.ComponentProperty) string {
		if v := e.GetProperty(p); v != nil {
			return strings.TrimSpace(v.Value)
		}
		return ""
	}
	o.Person = text(ics.ComponentPropertySummary)
	if o.Person == "" || !printable(o.Person) {
		return o, fmt.Errorf("its summary %q is no person's name", o.Person)
	}
	if e.GetProperty(ics.ComponentPropertyRrule) != nil || e.GetProperty(ics.ComponentPropertyRdate) != nil {
		return o, fmt.Errorf("%s recurs; write a rotation as a layer", o.Person)
	}
	if o.From, err = readMoment(e.GetProperty(ics.ComponentPropertyDtStart), false); err != nil {
		return o, fmt.Errorf("its start: %w", err)
	}
	end := e.GetProperty(ics.ComponentPropertyDtEnd)
	if end == nil && len(e.GetProperty(ics.ComponentPropertyDtStart).Value) == len("20060102") {
		o.To.Wall.t = o.From.Wall.t.AddDate(0, 0, 1) // a day lasts a day
		return o, nil
	}
	if o.To, err = readMoment(end, true); err != nil {
		return o, fmt.Errorf("its end: %w", err)
	}
	if !o.From.Instant.IsZero() && !o.To.Instant.IsZero() && !o.From.Instant.Before(o.To.Instant) {
		return o, fmt.Errorf("it ends before it begins")
	}
	return o, nil
}

// readMoment reads DTSTART or DTEND: of local times in a zone a start is the
// first instant and an end the last.
func readMoment(p *ics.IANAProperty, end bool) (out Point, err error) {
	if p == nil {
		return out, fmt.Errorf("is missing")
	}
	if t, err := time.Parse(icalTime, p.Value); err == nil && inRange(t) {
		out.Instant = t
		return out, nil
	}
	t, err := time.Parse("20060102T150405", p.Value)
	if err != nil {
		t, err = time.Parse("20060102", p.Value)
	}
	if err != nil || !inRange(t) {
		return out, fmt.Errorf("%q is no time", p.Value)
	}
	out.Wall.t = t
	if zone := p.ICalParameters["TZID"]; len(zone) > 0 && len(p.Value) > len("20060102") { // a day has no zone
		loc, err := Zone(zone[0]).Location()
		if err != nil {
			return out, err
		}
		first, last := out.instants(loc)
		if out = (Point{Instant: first}); end {
			out.Instant = last
		}
	}
	return out, nil
}

// WriteSchedule writes overrides as a Schedule resource in YAML.
func WriteSchedule(name string, zone Zone, overrides []Override) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: flyball.dev/v1\nkind: Schedule\nmetadata: {name: %s}\nspec:\n  timeZone: %s\n  overrides:\n", strconv.Quote(name), strconv.Quote(string(zone)))
	for _, o := range overrides {
		from, _ := o.From.MarshalText()
		to, _ := o.To.MarshalText()
		fmt.Fprintf(&b, "    - {from: %s, to: %s, person: %s}\n", strconv.Quote(string(from)), strconv.Quote(string(to)), strconv.Quote(o.Person))
	}
	return b.String()
}
