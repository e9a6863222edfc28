package pipeline_test

import (
	"encoding/base64"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flyball-dev/flyball/internal/flow/pipeline"
)

func TestMask(t *testing.T) {
	m := pipeline.NewMask([]string{"hunter2", "hunter22 longer", "line one\nline two\n", "x", ""})
	for text, want := range map[string]string{
		"the password is hunter2.":      "the password is ***.",
		"hunter22 longer, hunter22":     "***, ***2",
		"line two, line one":            "***, ***",
		"x marks hunte":                 "x marks hunte",
		"hunthunter2":                   "hunt***",
		"basic " + b64("hunter2") + "!": "basic ***!",
		"":                              "",
	} {
		if got := m.Text(text); got != want {
			t.Errorf("%q = %q, want %q", text, got, want)
		}
	}
	if got := pipeline.NewMask(nil).Text("plain"); got != "plain" {
		t.Errorf("without secrets: %q", got)
	}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// However output is cut into writes, the same comes out, and no secret.
func TestMaskAnyCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.StringMatching(`[abc]{3,6}`)
		secrets := rapid.SliceOfN(piece, 1, 4).Draw(t, "secrets")
		text := rapid.StringMatching(`[abcd]{0,60}`).Draw(t, "text")
		m := pipeline.NewMask(secrets)
		want := m.Text(text)
		var out strings.Builder
		w := m.Writer(&out)
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			if k, err := w.Write([]byte(rest[:n])); k != n || err != nil {
				t.Fatal(k, err)
			}
			rest = rest[n:]
		}
		w.Close()
		if out.String() != want {
			t.Fatalf("cut: %q, whole: %q", out.String(), want)
		}
		for _, s := range secrets {
			for part := range strings.SplitSeq(want, pipeline.Masked) {
				if strings.Contains(part, s) {
					t.Fatalf("%q shows %q", want, s)
				}
			}
		}
	})
}

func TestParseOutputs(t *testing.T) {
	got, err := pipeline.ParseOutputs([]byte("a=1\r\nb=x=y<<z\n\nc<<EOF\nline = 1\n\nline 2\nEOF\nd=\na=2\n"))
	want := map[string]string{"a": "2", "b": "x=y<<z", "c": "line = 1\n\nline 2", "d": ""}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("outputs = %q, %v", got, err)
	}
	for text, want := range map[string]string{
		"nothing":                   `line 1: "nothing" is not name=value`,
		"\na b=1":                   `line 2: "a b" is not the name`,
		"a<<EOF\nx":                 `line 1: a is not closed by a line "EOF"`,
		"a<<\nx\n":                  "is not closed",
		strings.Repeat("x", 70_000): "larger than 64 KiB",
	} {
		if _, err := pipeline.ParseOutputs([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParseOutputs(f *testing.F) {
	f.Add([]byte("a=1\nb<<X\nline\nX\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := pipeline.ParseOutputs(data)
		if (err == nil) != (out != nil) || len(out) > pipeline.MaxOutputs {
			t.Errorf("%d outputs, %v", len(out), err)
		}
	})
}
