package workload_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flyball-dev/flyball/internal/port/workload"
)

func TestMask(t *testing.T) {
	m := workload.NewMask([]string{"hunter2", "hunter22 longer", "line one\nline two\n", "x", ""})
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
	if got := workload.NewMask(nil).Text("plain"); got != "plain" {
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
		m := workload.NewMask(secrets)
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
			for part := range strings.SplitSeq(want, workload.Masked) {
				if strings.Contains(part, s) {
					t.Fatalf("%q shows %q", want, s)
				}
			}
		}
	})
}
