package sheet

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

type row struct {
	Name   string            `json:"name"`
	Share  float64           `json:"share"`
	N      int64             `json:"n"`
	Known  *float64          `json:"known"`
	At     time.Time         `json:"at"`
	Tags   []string          `json:"tags"`
	Met    bool              `json:"met"`
	Nested map[string]string `json:"nested"`
}

func TestWrite(t *testing.T) {
	known := 1e-7
	var b bytes.Buffer
	err := Write(&b, operation.Page[row]{Items: []row{
		{Name: "a, \"b\"\nc", Share: -0.25, N: -3, At: time.Date(2026, 10, 25, 2, 30, 0, 0, time.FixedZone("", 3600)), Tags: []string{"x", "y"}, Met: true},
		{Name: "=HYPERLINK(\"http://evil\")", Known: &known},
	}, Next: "more"})
	want := "name,share,n,known,at,tags,met\r\n" +
		"\"a, \"\"b\"\"\r\nc\",-0.25,-3,,2026-10-25T01:30:00Z,x; y,true\r\n" +
		"\"'=HYPERLINK(\"\"http://evil\"\")\",0,0,0.0000001,,,false\r\n"
	if err != nil || b.String() != want {
		t.Errorf("%v\n%q, want\n%q", err, b.String(), want)
	}
	b.Reset()
	if err := Write(&b, []row{}); err != nil || b.String() != "name,share,n,known,at,tags,met\r\n" {
		t.Errorf("an empty list is %q, %v", b.String(), err)
	}
	b.Reset()
	if err := Write(&b, row{Name: "one"}); err != nil || !strings.HasPrefix(strings.Split(b.String(), "\r\n")[1], "one,") {
		t.Errorf("one thing is %q, %v", b.String(), err)
	}
	if err := Write(&b, "text"); err == nil {
		t.Error("text has no columns")
	}
}

// Whatever the text is, the file reads back as that text, and no cell begins
// like a formula.
func FuzzWrite(f *testing.F) {
	for _, s := range []string{"", "a", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "a\"b", "a,b", "'", "＝1", "\x00", " =1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var b bytes.Buffer
		if err := Write(&b, []row{{Name: s}}); err != nil {
			t.Fatal(err)
		}
		records, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(records) != 2 || len(records[1]) != 7 {
			t.Fatalf("%q reads back as %q, %v", s, records, err)
		}
		got := records[1][0]
		if got != "" && strings.ContainsAny(got[:1], "=+-@\t\r\n") {
			t.Errorf("%q becomes a formula: %q", s, got)
		}
		plain := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "") }
		if plain(strings.TrimPrefix(got, "'")) != plain(strings.TrimPrefix(s, "'")) {
			t.Errorf("%q reads back as %q", s, got)
		}
	})
}
