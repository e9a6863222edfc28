package app

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const slothOfShop = `version: prometheus/v1
service: shop
slos:
- name: requests
  objective: 99.9
  sli:
    events:
      error_query: sum(rate(http_requests_total{job="shop",code=~"5.."}[{{.window}}]))
      total_query: sum(rate(http_requests_total{job="shop"}[{{.window}}]))
`

// A day of OpenMetrics, with a counter that is reset: every event after the
// first scrape counts once.
func TestReplayOfOpenMetrics(t *testing.T) {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(1, 1))
	text := map[string]*strings.Builder{"200": {}, "500": {}}
	counters, truth := map[string]int{}, map[string]int{}
	for n := range 2881 {
		for _, code := range []string{"200", "500"} {
			more := r.IntN(100)
			if code == "500" {
				more /= 90
			}
			if n == 1500 {
				counters[code] = 0
			}
			counters[code] += more
			if n > 0 {
				truth[code] += more
			}
			fmt.Fprintf(text[code], "http_requests_total{job=\"shop\",code=%q} %d %d\n", code, counters[code], 1_790_000_040+30*n)
		}
	}
	samples, objective := filepath.Join(dir, "shop.om"), filepath.Join(dir, "shop.yaml")
	write := func(path, s string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(objective, slothOfShop)
	write(samples, "# TYPE http_requests counter\n"+text["200"].String()+text["500"].String()+"# EOF\n")
	replay := func() (string, string, int) {
		return command(t, "slo", "replay", "--objective", objective, "--openmetrics", samples)
	}
	out, talk, code := replay()
	if code != 0 || talk != "" {
		t.Fatalf("exit code %d, and said %q", code, talk)
	}
	var report struct{ Good, Total int }
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if report.Total != truth["200"]+truth["500"] || report.Good != truth["200"] {
		t.Errorf("counted %d good of %d, want %d of %d", report.Good, report.Total, truth["200"], truth["200"]+truth["500"])
	}

	for name, bad := range map[string]string{
		"# EOF":            "x_total 1 1790000000\n",
		"not OpenMetrics":  "{}\n# EOF\n",
		"has no samples":   "# EOF\n",
		"without a time":   "x_total 1\n# EOF\n",
		"in order of time": "# TYPE x counter\nx_total 5 1790000030\nx_total 6 1790000000\n# EOF\n",
		"has no counts of": "# TYPE x counter\nx_total 1 1790000000\nx_total 2 1790000060\n# EOF\n",
	} {
		write(samples, bad)
		if out, talk, code := replay(); code != 1 || !strings.Contains(talk, name) {
			t.Errorf("%s: exit code %d, says %q and prints %q", name, code, talk, out)
		}
	}
}
