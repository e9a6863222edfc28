package main

import (
	"bytes"
	"fmt"
	"strings"
)

// sloth is the specification that both sides are given. The last matcher
// matches everything; it makes each objective's queries its own, so that
// neither side gains from objectives that share their series here.
func sloth(name, service string) string {
	return fmt.Sprintf(`version: prometheus/v1
service: %[1]s
slos:
- name: requests
  objective: 99.9
  description: requests that are answered
  sli:
    events:
      error_query: sum(rate(http_requests_total{job="%[2]s",code=~"5..",slo!="%[1]s"}[{{.window}}]))
      total_query: sum(rate(http_requests_total{job="%[2]s",slo!="%[1]s"}[{{.window}}]))
  alerting:
    name: %[1]s
    page_alert: {}
    ticket_alert: {}
`, name, service)
}

// slothWindows are the windows Sloth records an error ratio for, besides 30 d.
var slothWindows = []string{"5m", "30m", "1h", "2h", "6h", "1d", "3d"}

// expressions are those of the rules that Sloth v0.11 generates for that
// specification: eight indicators, seven recordings about the objective and
// two alerts.
func expressions(name, service string) []string {
	of := func(window string) string {
		return strings.ReplaceAll(fmt.Sprintf(`(sum(rate(http_requests_total{job=%[2]q,code=~"5..",slo!=%[1]q}[W]))) / (sum(rate(http_requests_total{job=%[2]q,slo!=%[1]q}[W])))`, name, service), "W", window)
	}
	id := fmt.Sprintf(`{sloth_id="%s-requests", sloth_service=%q, sloth_slo="requests"}`, service, service)
	five := "slo:sli_error:ratio_rate5m" + id
	var out []string
	for _, w := range slothWindows {
		out = append(out, of(w))
	}
	out = append(out, thirtyDays(service),
		"vector(0.9990000000000001)", "vector(1-0.9990000000000001)", "vector(30)",
		five+" / on(sloth_id, sloth_slo, sloth_service) group_left vector(0.001)",
		"slo:sli_error:ratio_rate30d"+id+" / on(sloth_id, sloth_slo, sloth_service) group_left vector(0.001)",
		"1 - slo:period_burn_rate:ratio"+id, "vector(1)")
	burn := func(long, short string, factor float64) string {
		return fmt.Sprintf("(max(slo:sli_error:ratio_rate%s%s > (%v * 0.001)) without (sloth_window) and max(slo:sli_error:ratio_rate%s%s > (%v * 0.001)) without (sloth_window))", short, id, factor, long, id, factor)
	}
	return append(out, burn("1h", "5m", 14.4)+" or "+burn("6h", "30m", 6), burn("1d", "2h", 3)+" or "+burn("3d", "6h", 1))
}

// thirtyDays is Sloth's rule for the whole period: the mean of five-minute
// ratios, each weighing the same.
func thirtyDays(service string) string {
	sel := fmt.Sprintf(`slo:sli_error:ratio_rate5m{sloth_id="%s-requests", sloth_service=%q, sloth_slo="requests"}[30d]`, service, service)
	return fmt.Sprintf("sum_over_time(%s) / ignoring (sloth_window) count_over_time(%s)", sel, sel)
}

// files are the specifications of n objectives over so many services.
func files(n, services int) map[string]string {
	var all bytes.Buffer
	for i := range n {
		fmt.Fprintf(&all, "---\n%s", sloth(objective(i), fmt.Sprintf("svc-%03d", i%services)))
	}
	return map[string]string{"flyball/objectives.yaml": all.String()}
}

func objective(i int) string { return fmt.Sprintf("slo-%04d", i) }
