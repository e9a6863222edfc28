package oncall

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

const icalTime = "20060102T150405Z"

// WriteCalendar writes shifts as an iCalendar (RFC 5545), all times in UTC, so
// that no reader needs to know about zones. now is its time stamp. The same
// shift has the same UID each time.
func WriteCalendar(w io.Writer, name string, shifts []Shift, now time.Time) error {
	var b strings.Builder
	line := func(name, value string) { fold(&b, name+":"+value) }
	line("BEGIN", "VCALENDAR")
	line("VERSION", "2.0")
	line("PRODID", "-//Flyball//On-call//EN")
	line("CALSCALE", "GREGORIAN")
	line("METHOD", "PUBLISH")
	line("X-WR-CALNAME", escape("On call: "+name))
	for _, s := range shifts {
		id := sha256.Sum256([]byte(name + "\n" + s.Person + "\n" + s.Layer + "\n" + s.Start.UTC().Format(icalTime) + "\n" + s.End.UTC().Format(icalTime)))
		line("BEGIN", "VEVENT")
		line("UID", fmt.Sprintf("%x@oncall.flyball.dev", id[:12]))
		line("DTSTAMP", now.UTC().Format(icalTime))
		line("DTSTART", s.Start.UTC().Format(icalTime))
		line("DTEND", s.End.UTC().Format(icalTime))
		line("SUMMARY", escape(s.Person))
		line("CATEGORIES", escape(s.Layer))
		line("DESCRIPTION", escape(fmt.Sprintf("%s is on call for %s (%s)", s.Person, name, s.Layer)))
		line("TRANSP", "TRANSPARENT")
		line("END", "VEVENT")
	}
	line("END", "VCALENDAR")
	_, err := io.WriteString(w, b.String())
	return err
}

// escape is a value of type TEXT (RFC 5545, 3.3.11).
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, ";", `\;`, ",", `\,`, "\r\n", `\n`, "\n", `\n`, "\r", `\n`).Replace(s)
}

// fold writes a content line, at most 75 octets a line (RFC 5545, 3.1).
func fold(b *strings.Builder, line string) {
	most := 75
	for len(line) > most {
		cut := most
		for !utf8.RuneStart(line[cut]) {
			cut--
		}
		b.WriteString(line[:cut] + "\r\n ")
		line, most = line[cut:], 74
	}
	b.WriteString(line + "\r\n")
}
