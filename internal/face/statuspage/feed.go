package statuspage

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/url"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"

	"github.com/flyball-dev/flyball/internal/feedback/status"
)

// feedLength is how many updates a feed holds.
const feedLength = 100

// The parts of an Atom feed (RFC 4287).
type atomFeed struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	Base    string      `xml:"xml:base,attr,omitempty"`
	ID      string      `xml:"id"`
	Title   string      `xml:"title"`
	Updated string      `xml:"updated"`
	Author  string      `xml:"author>name"`
	Links   []atomLink  `xml:"link"`
	Entries []atomEntry `xml:"entry"`
}

type atomLink struct {
	Rel  string `xml:"rel,attr"`
	Href string `xml:"href,attr"`
}

type atomEntry struct {
	ID        string    `xml:"id"`
	Title     string    `xml:"title"`
	Published string    `xml:"published"`
	Updated   string    `xml:"updated"`
	Link      *atomLink `xml:"link,omitempty"`
	Content   atomText  `xml:"content"`
}

type atomText struct {
	Type string `xml:"type,attr"`
	Text string `xml:",chardata"`
}

// feeds writes the Atom feed and the calendar of what path is about.
func (r *renderer) feeds(path, title string, notices []status.Notice, works []status.Work) {
	atom, err := r.atom(path, title, notices, works)
	if err != nil && r.err == nil {
		r.err = err
	}
	r.files[path+".atom"] = atom
	r.files[path+".ics"] = r.calendar(title, notices, works)
}

// tag is an identifier that never changes (RFC 4151), whatever the page's
// address is.
func (r *renderer) tag(parts ...string) string {
	host := "flyball.dev"
	if u, err := url.Parse(r.URL); err == nil && u.Hostname() != "" {
		host = u.Hostname()
	}
	return "tag:" + host + ",2026:status/" + r.Name + "/" + strings.Join(parts, "/")
}

// link is the address of a file; empty when the page has none.
func (r *renderer) link(path string) string {
	if r.URL == "" {
		return ""
	}
	return r.URL + "/" + path
}

func (r *renderer) atom(path, title string, notices []status.Notice, works []status.Work) ([]byte, error) {
	f := atomFeed{ID: r.tag(path), Title: clean(title), Author: clean(r.Title)}
	if r.URL != "" {
		f.Base = r.URL + "/"
		f.Links = []atomLink{{"self", r.link(path + ".atom")}, {"alternate", r.link("index.html")}}
	}
	newest := time.Time{}
	for _, n := range notices {
		for i := len(n.Updates) - 1; i >= 0 && len(f.Entries) < feedLength; i-- {
			u := n.Updates[i]
			e := r.entry(fmt.Sprintf("notices/%s/%d", n.Name, u.At.UnixMicro()), "notices/"+n.Name+".html", fmt.Sprintf("%s (%s)", n.Title, u.Phase), u.Text, u.At)
			f.Entries = append(f.Entries, e)
			if u.At.After(newest) {
				newest = u.At
			}
		}
	}
	for _, w := range works {
		if len(f.Entries) == feedLength {
			break
		}
		text := fmt.Sprintf("%s to %s. %s", w.From.In(r.Zone).Format("2 Jan 2006, 15:04 MST"), w.To.In(r.Zone).Format("2 Jan 2006, 15:04 MST"), w.Text)
		f.Entries = append(f.Entries, r.entry("maintenance/"+w.Name, "index.html", "Maintenance: "+w.Title, text, w.From))
		if w.Phase != status.Scheduled && w.From.After(newest) {
			newest = w.From
		}
	}
	if newest.IsZero() {
		newest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) // nothing has happened yet
	}
	f.Updated = newest.UTC().Format(time.RFC3339)
	out, err := xml.MarshalIndent(f, "", " ")
	return append([]byte(xml.Header), append(out, '\n')...), err
}

func (r *renderer) entry(id, page, title, text string, at time.Time) atomEntry {
	stamp := at.UTC().Format(time.RFC3339)
	e := atomEntry{ID: r.tag(id), Title: clean(title), Published: stamp, Updated: stamp, Content: atomText{"text", clean(text)}}
	if l := r.link(page); l != "" {
		e.Link = &atomLink{"alternate", l}
	}
	return e
}

// clean leaves out what XML cannot hold.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '\t' || c == '\n' || c == '\r' || c >= 0x20 && c <= 0xD7FF || c >= 0xE000 && c <= 0xFFFD || c >= 0x10000 {
			return c
		}
		return -1
	}, s)
}

// calendar is maintenance and incidents as iCalendar (RFC 5545).
func (r *renderer) calendar(title string, notices []status.Notice, works []status.Work) []byte {
	cal := ics.NewCalendarFor("Flyball")
	cal.SetMethod(ics.MethodPublish)
	cal.SetXWRCalName(clean(title))
	add := func(id, summary, text, page string, from, to, stamp time.Time) {
		e := cal.AddEvent(strings.NewReplacer("tag:", "", "/", "-", ",", "-").Replace(r.tag(id)))
		e.SetDtStampTime(stamp.UTC())
		e.SetStartAt(from.UTC())
		e.SetEndAt(to.UTC())
		e.SetSummary(clean(summary))
		e.SetDescription(clean(text))
		e.SetTimeTransparency(ics.TransparencyTransparent)
		if l := r.link(page); l != "" {
			e.SetURL(l)
		}
	}
	for _, w := range works {
		add("maintenance/"+w.Name, "Maintenance: "+w.Title, w.Text, "index.html", w.From, w.To, w.From)
	}
	for i, n := range notices {
		if i == feedLength {
			break
		}
		end, latest := n.ResolvedAt, n.Updates[len(n.Updates)-1]
		if n.Open() { // as far as is known
			end = r.Through
			if !end.After(latest.At) {
				end = latest.At
			}
		}
		if !end.After(n.StartedAt) {
			end = n.StartedAt.Add(time.Minute)
		}
		add("notices/"+n.Name, n.Title, latest.Text, "notices/"+n.Name+".html", n.StartedAt, end, latest.At)
	}
	var b bytes.Buffer
	_ = cal.SerializeTo(&b) // a buffer takes everything
	return b.Bytes()
}
