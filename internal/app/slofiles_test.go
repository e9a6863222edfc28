package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/face/cli"
)

const shopSLO = `version: prometheus/v1
service: shop
slos:
  - name: availability
    objective: 99.9
    sli: {events: {error_query: 'sum(rate(x_total{code=~"5.."}[{{.window}}]))', total_query: 'sum(rate(x_total[{{.window}}]))'}}
  - name: other
    objective: 99
    sli: {events: {error_query: 'sum(rate(y_total{code=~"5.."}[{{.window}}]))', total_query: 'sum(rate(y_total[{{.window}}]))'}}
`

// command runs flyball with its local commands.
func command(t *testing.T, args ...string) (out, talk string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	ops := Declarations()
	code = cli.Main(t.Context(), cli.New(ops, localCommands(ops)...), args, strings.NewReader(""), &o, &e)
	return o.String(), e.String(), code
}

func file(t *testing.T, dir, name, text string) string {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestExportCommand(t *testing.T) {
	t.Setenv("FLYBALL_SERVER", "http://127.0.0.1:1")
	slo := file(t, t.TempDir(), "shop.yaml", shopSLO)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{slo, "--format", "prometheus"}, 0, "slo:error_ratio:30d"},
		{[]string{slo, "--format", "grafana", "--name", "other"}, 0, `"title": "shop/other"`},
		{[]string{slo, "--format", "openslo"}, 0, "apiVersion: openslo/v1"},
		{[]string{slo, "--format", "excel"}, 1, "is not a format"},
		{[]string{slo, "--format", "openslo", "--name", "none"}, 1, "no objective"},
		{[]string{slo}, 2, "format"},
		{[]string{"no/such.yaml", "--format", "openslo"}, 1, "no such file"},
		{[]string{"shop.prod.availability", "--format", "openslo"}, 1, "no Flyball server answers"},
		{[]string{"shop.prod.availability", "--format", "excel"}, 1, "must be one of"},
	} {
		out, talk, code := command(t, append([]string{"slo", "export"}, c.args...)...)
		if code != c.code || !strings.Contains(out+talk, c.says) {
			t.Errorf("%q: exit code %d\n%.300s%s\nwant %d with %q", c.args, code, out, talk, c.code, c.says)
		}
	}
}
