package proxy

import (
	"bufio"
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"

// Metrics answers with the totals since the start in the OpenMetrics 1.0 text
// format. They rise when bins become final, so they lag by a second or, while
// requests hang, by the limit; they agree with the bins exactly.
func (p *Proxy) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.sweep()
		totals, waiting := p.ledger.snapshot()
		loads := p.Loads()
		w.Header().Set("Content-Type", openMetrics)
		out := bufio.NewWriter(w)
		writeTotals(out, totals)
		writeLoads(out, loads)
		fmt.Fprintf(out, "# TYPE flyball_proxy_unacknowledged_bins gauge\nflyball_proxy_unacknowledged_bins %d\n# EOF\n", waiting)
		// A scraper that went away misses nothing.
		_ = out.Flush()
	})
}

// snapshot is the totals in order of their names, and the bins waiting.
func (l *ledger) snapshot() ([]Bin, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Bin, 0, len(l.totals))
	for b := range maps.Values(l.totals) {
		out = append(out, *b)
	}
	slices.SortFunc(out, func(a, b Bin) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Revision, b.Revision))
	})
	return out, len(l.bins)
}

// counters are the plain ones: name, help, value.
var counters = []struct {
	name, help string
	value      func(Bin) int64
}{
	{"errors", "Requests the revision failed.", func(b Bin) int64 { return b.Errors }},
	{"overdue", "Requests unfinished when their limit had passed; also errors.", func(b Bin) int64 { return b.Overdue }},
	{"aborted", "Requests whose client went away.", func(b Bin) int64 { return b.Aborted }},
	{"retries", "Attempts beyond the first.", func(b Bin) int64 { return b.Retries }},
	{"faults", "Requests failed by the proxy itself.", func(b Bin) int64 { return b.Faults }},
}

func writeTotals(out *bufio.Writer, totals []Bin) {
	fmt.Fprint(out, "# TYPE flyball_proxy_requests counter\n# HELP flyball_proxy_requests Requests by class of final status; none is no complete answer.\n")
	for _, b := range totals {
		for class, n := range b.Classes {
			name := strconv.Itoa(class) + "xx"
			if class == 0 {
				name = "none"
			}
			fmt.Fprintf(out, "flyball_proxy_requests_total{%s,code=%q} %d\n", labels(b.Service, b.Environment, b.Revision), name, n)
		}
	}
	for _, c := range counters {
		fmt.Fprintf(out, "# TYPE flyball_proxy_%[1]s counter\n# HELP flyball_proxy_%[1]s %[2]s\n", c.name, c.help)
		for _, b := range totals {
			fmt.Fprintf(out, "flyball_proxy_%s_total{%s} %d\n", c.name, labels(b.Service, b.Environment, b.Revision), c.value(b))
		}
	}
	fmt.Fprint(out, "# TYPE flyball_proxy_latency_seconds histogram\n# UNIT flyball_proxy_latency_seconds seconds\n"+
		"# HELP flyball_proxy_latency_seconds Latency of requests that ended within their limit.\n")
	for _, b := range totals {
		writeHistogram(out, labels(b.Service, b.Environment, b.Revision), b.Histogram)
	}
}

// writeHistogram writes every second power of two from 1 ms to 64 s: bounds of
// our buckets, so that the counts are exact.
func writeHistogram(out *bufio.Writer, labels string, h Histogram) {
	var n int64
	buckets := h.Buckets
	for exp := -10; exp <= 6; exp++ {
		for len(buckets) > 0 && buckets[0].Index <= exp*perOctave {
			n += buckets[0].Count
			buckets = buckets[1:]
		}
		fmt.Fprintf(out, "flyball_proxy_latency_seconds_bucket{%s,le=\"%s\"} %d\n", labels, float(math.Exp2(float64(exp))), n)
	}
	count := h.Count()
	fmt.Fprintf(out, "flyball_proxy_latency_seconds_bucket{%s,le=\"+Inf\"} %d\n", labels, count)
	fmt.Fprintf(out, "flyball_proxy_latency_seconds_count{%s} %d\n", labels, count)
	fmt.Fprintf(out, "flyball_proxy_latency_seconds_sum{%s} %s\n", labels, float(h.Sum.Seconds()))
}

func float(v float64) string {
	s := strconv.FormatFloat(v, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

func writeLoads(out *bufio.Writer, loads []Load) {
	fmt.Fprint(out, "# TYPE flyball_proxy_in_flight gauge\n# HELP flyball_proxy_in_flight Requests on their way to an instance.\n")
	for _, l := range loads {
		fmt.Fprintf(out, "flyball_proxy_in_flight{%s} %d\n", endpointLabels(l), l.InFlight)
	}
	fmt.Fprint(out, "# TYPE flyball_proxy_ejected gauge\n# HELP flyball_proxy_ejected 1 while an instance is left alone after failures.\n")
	for _, l := range loads {
		v := 0
		if l.Ejected {
			v = 1
		}
		fmt.Fprintf(out, "flyball_proxy_ejected{%s} %d\n", endpointLabels(l), v)
	}
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func labels(service, environment, revision string) string {
	return `service="` + escape.Replace(service) + `",environment="` + escape.Replace(environment) + `",revision="` + escape.Replace(revision) + `"`
}

func endpointLabels(l Load) string {
	draining := strconv.FormatBool(l.Removed)
	return labels(l.Service, l.Environment, l.Revision) + `,endpoint="` + escape.Replace(l.Endpoint) + `",draining="` + draining + `"`
}
