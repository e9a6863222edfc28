package pipeline_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/flow/pipeline"
)

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
