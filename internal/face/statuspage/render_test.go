package statuspage_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	ics "github.com/arran4/golang-ical"
	"golang.org/x/net/html"
	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/face/statuspage"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/feedback/status"
)

var update = flag.Bool("update", false, "write what came out into testdata")

var now = time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC)

// sample is a page with one of everything; every text is said.
func sample(t testing.TB, said string) status.View {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	s := slo.NewSeries(time.Minute, 0)
	for day := range 80 {
		good := int64(1000)
		if day == 3 {
			good = 995
		}
		if day == 9 {
			good = 600
		}
		if err := s.Add(now.AddDate(0, 0, -day).Add(-time.Hour), good, 1000); err != nil {
			t.Fatal(err)
		}
	}
	u := status.UptimeOf(s, now, zone, 0.999, 0.1)
	at := func(hours int) time.Time { return now.Add(time.Duration(hours) * time.Hour).Add(90 * time.Second) }
	return status.View{
		Name: "public", Title: "Acme " + said, Description: "How Acme is. " + said, URL: "https://status.acme.example", Support: "mailto:help@acme.example", Zone: zone,
		Overall: status.Partial, Through: now, PostedAt: at(-1),
		Groups: []status.Group{
			{Components: []status.Shown{{Name: "phone", Title: "Telephone " + said, State: status.Operational}}},
			{Name: "Shop " + said, Components: []status.Shown{
				{Name: "pay", Title: "Payments " + said, Description: "Cards and invoices " + said, State: status.Partial, Uptime: &u},
				{Name: "find", Title: "Search", State: status.Maintained, Uptime: &status.Uptime{Through: now, Target: 0.999, Days: status.UptimeOf(slo.NewSeries(time.Minute, 0), now, zone, 0.999, 0.1).Days}},
			}},
		},
		Open: []status.Notice{{Page: "public", Name: "n2", Title: "Payments fail " + said, Phase: status.Identified, Impact: status.Major, StartedAt: at(-3), NextDue: at(1),
			Components: map[string]status.State{"pay": status.Partial}, Touched: []string{"pay"},
			Updates: []status.Update{{At: at(-3), Phase: status.Investigating, Text: "We look.\n\nAgain. " + said, Components: map[string]status.State{"pay": status.Major}},
				{At: at(-1), Phase: status.Identified, Text: "Found. " + said, Components: map[string]status.State{"pay": status.Partial}}}}},
		Past: []status.Notice{{Page: "public", Name: "n1", Title: "Slow search", Phase: status.Resolved, Impact: status.Degraded, StartedAt: at(-24 * 40), ResolvedAt: at(-24*40 + 2),
			Components: map[string]status.State{"find": status.Operational}, Touched: []string{"find"}, Updates: []status.Update{{At: at(-24 * 40), Phase: status.Resolved, Text: "Over."}}}},
		Maintenance: []status.Work{{Maintenance: status.Maintenance{Name: "m1", Title: "Moving " + said, Text: "Search may be away. " + said, Components: []string{"find"}, From: at(-1), To: at(2)}, Phase: status.InProgress}},
		Done:        []status.Work{{Maintenance: status.Maintenance{Name: "m0", Title: "Cleaning", Components: []string{"pay"}, From: at(-24 * 12), To: at(-24*12 + 1)}, Phase: status.Completed}},
	}
}

// TestGolden compares every file with the one agreed on.
func TestGolden(t *testing.T) {
	files, err := statuspage.Render(sample(t, "& Co"))
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/golden.txtar"
	a := &txtar.Archive{Comment: []byte("What is written for a page with one of everything; the test's -update writes it anew.\n")}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		a.Files = append(a.Files, txtar.File{Name: name, Data: bytes.ReplaceAll(files[name], []byte("\r\n"), []byte("\n"))})
	}
	got := txtar.Format(a)
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		b := txtar.Parse(want)
		for i, f := range a.Files {
			if i >= len(b.Files) || b.Files[i].Name != f.Name || !bytes.Equal(b.Files[i].Data, f.Data) {
				t.Fatalf("%s is another one now:\n%s", f.Name, f.Data)
			}
		}
		t.Fatal("files are missing")
	}
}

// The same facts give the same bytes.
func TestSameBytes(t *testing.T) {
	one, err := statuspage.Render(sample(t, "x"))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		two, err := statuspage.Render(sample(t, "x"))
		if err != nil || !maps.EqualFunc(one, two, bytes.Equal) {
			t.Fatal("another time, other bytes", err)
		}
	}
}

// FuzzEscape: whatever is written in a title or a text, pages have no element
// that the templates have not, feeds and calendars can be read, JSON is JSON.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"<script>alert(1)</script>", `"><img src=x onerror=y>`, "'; x", "]]>", "\x00\x1f\ufffe", "a\r\nBEGIN:VEVENT", "{{.}}", "\\;,", "&lt;", "\xff\xfe", strings.Repeat("ä", 100), "</title><style>", "javascript:x"} {
		f.Add(s)
	}
	plain, err := statuspage.Render(sample(f, "x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, said string) {
		files, err := statuspage.Render(sample(t, said))
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range files {
			switch {
			case strings.HasSuffix(name, ".html"):
				// A text of blanks has no paragraph, hence p is not counted.
				if got, want := elements(t, data), elements(t, plain[name]); got != want {
					t.Fatalf("%s has elements\n%s\nwith %q, else\n%s", name, got, said, want)
				}
			case strings.HasSuffix(name, ".json"):
				if !json.Valid(data) {
					t.Fatalf("%s is no JSON with %q", name, said)
				}
			case strings.HasSuffix(name, ".atom"):
				var feed struct {
					Entries []struct {
						ID string `xml:"id"`
					} `xml:"entry"`
				}
				if err := xml.Unmarshal(data, &feed); err != nil {
					t.Fatalf("%s: %v with %q", name, err, said)
				}
				if want := bytes.Count(plain[name], []byte("<entry>")); len(feed.Entries) != want {
					t.Fatalf("%s has %d entries, want %d", name, len(feed.Entries), want)
				}
			case strings.HasSuffix(name, ".ics"):
				cal, err := ics.ParseCalendar(bytes.NewReader(data))
				if err != nil {
					t.Fatalf("%s: %v with %q", name, err, said)
				}
				if want := bytes.Count(plain[name], []byte("BEGIN:VEVENT")); len(cal.Events()) != want {
					t.Fatalf("%s has %d events, want %d", name, len(cal.Events()), want)
				}
			}
		}
	})
}

// elements lists the elements of a page with the names of their attributes.
func elements(t *testing.T, page []byte) string {
	var out []string
	z := html.NewTokenizer(bytes.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return strings.Join(out, "\n")
		case html.StartTagToken, html.SelfClosingTagToken:
			tok := z.Token()
			if tok.Data == "p" {
				continue
			}
			s := tok.Data
			for _, a := range tok.Attr {
				if strings.HasPrefix(a.Key, "on") {
					t.Fatalf("an attribute %s", a.Key)
				}
				s += " " + a.Key
			}
			out = append(out, s)
		}
	}
}
