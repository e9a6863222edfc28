package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/adapter/prometheus/prometheustest"
	"github.com/flyball-dev/flyball/internal/adapter/prometheus/query"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/feedback/feed"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/judge"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// A Prometheus that has never heard of Flyball: six hours, scraped every 30 s.
var (
	promFrom  = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	promTicks = 6 * 120
	promUntil = promFrom.Add(time.Duration(promTicks) * 30 * time.Second)
)

// counter is one series of it: how much it rises in the tick before each scrape.
type counter struct {
	name, labels string
	rise         func(tick int) int
	gauge        bool
}

func steady(n int) func(int) int { return func(int) int { return n } }

func every(ticks, n int) func(int) int {
	return func(i int) int {
		if i%ticks == 0 {
			return n
		}
		return 0
	}
}

func blocks(series []counter) []byte {
	var b bytes.Buffer
	for _, c := range series {
		total := 0
		for i := range promTicks + 1 {
			if i > 0 || c.gauge {
				total += c.rise(i)
			}
			v := total
			if c.gauge {
				v = c.rise(i)
			}
			fmt.Fprintf(&b, "%s{%s} %d %d\n", c.name, c.labels, v, promFrom.Unix()+int64(i)*30)
		}
	}
	b.WriteString("# EOF\n")
	return b.Bytes()
}

var stranger = []counter{
	{name: "http_requests_total", labels: `service="shop",code="200",pod="v1"`, rise: steady(300)},
	{name: "http_requests_total", labels: `service="shop",code="503",pod="v1"`, rise: every(100, 6)},
	{name: "http_requests_total", labels: `service="shop",code="200",pod="v2"`, rise: steady(30)},
	{name: "http_requests_total", labels: `service="shop",code="503",pod="v2"`, rise: every(2, 3)},
	{name: "grpc_server_handled_total", labels: `grpc_service="pay",grpc_code="OK"`, rise: steady(100)},
	{name: "grpc_server_handled_total", labels: `grpc_service="pay",grpc_code="NotFound"`, rise: steady(10)},
	{name: "nginx_ingress_controller_requests", labels: `ingress="web",status="200"`, rise: steady(20)},
	{name: "nginx_ingress_controller_requests", labels: `ingress="web",status="502"`, rise: every(10, 20)},
	{name: "probe_success", labels: `job="blackbox",instance="https://shop"`, rise: func(i int) int { return min(1, i%100) }, gauge: true},
	{name: "api_request_duration_seconds_bucket", labels: `job="api",le="0.1"`, rise: steady(90)},
	{name: "api_request_duration_seconds_bucket", labels: `job="api",le="0.3"`, rise: steady(99)},
	{name: "api_request_duration_seconds_bucket", labels: `job="api",le="+Inf"`, rise: steady(100)},
	{name: "api_request_duration_seconds_count", labels: `job="api"`, rise: steady(100)},
	{name: "node_cpu_seconds_total", labels: `mode="idle"`, rise: steady(30)},
	{name: "builds_requests_total", labels: `status="queued"`, rise: steady(3)},
}

// What a stranger finds on a real Prometheus of Debian's version: suggestions
// that are ready to apply, their replay, and a verdict on a canary.
func TestOnAStrangersPrometheus(t *testing.T) {
	s := prometheustest.StartBlocks(t, blocks(stranger))
	t.Setenv("FLYBALL_SERVER", "")
	until := promUntil.Format(time.RFC3339)
	out, talk, code := command(t, "slo", "suggest", "--prometheus", s.URL, "--until", until, "--days", "1", "-o", "json")
	var list slo.Suggestions
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
		t.Fatalf("exit code %d: %v\n%s%s", code, err, out, talk)
	}
	var got []string
	for _, i := range list.Items {
		got = append(got, fmt.Sprintf("%s %s %.4f", i.Objective, i.Target, i.Ratio))
		if defs := slo.Decode(slo.File{Name: "x.yaml", Data: []byte(i.Document)}); defs.Err() != nil || len(defs.Objectives) != 1 || defs.Objectives[0].ID() != i.Objective || i.Why == "" {
			t.Errorf("%s: %v\n%s", i.Objective, defs.Findings, i.Document)
		}
	}
	slices.Sort(got)
	want := []string{
		"api/api-latency 0.98 0.9900",          // 0.3 s is the first bound at or above the 95th percentile; 99 % with half to spare is 98 %
		"blackbox/blackbox-probes 0.95 0.9889", // 8 of 721 probes fail
		"pay/pay-availability 0.9999 1.0000",   // NotFound is the caller's fault
		"shop/shop-availability 0.99 0.9953",   // (0.06 + 1.5) of 331.56
		"web/web-availability 0.9 0.9091",      // one in eleven: more than was kept
	}
	for i := range want {
		want[i] = strings.TrimSpace(want[i])
	}
	if !slices.Equal(got, want) {
		t.Errorf("suggested\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	text, _, code := command(t, "slo", "suggest", "--prometheus", s.URL, "--until", until, "--days", "1")
	if defs := slo.Decode(slo.File{Name: "x.yaml", Data: []byte(text)}); code != 0 || defs.Err() != nil || len(defs.Objectives) != len(got) {
		t.Errorf("exit code %d: %v\n%s", code, defs.Findings, text)
	}
	objectives := file(t, t.TempDir(), "suggested.yaml", text)
	replayedFrom(t, s, objectives)
	ruled(t, s)
}

// replayedFrom replays the shop's objective over what the Prometheus holds: every
// event counts once.
func replayedFrom(t *testing.T, s *prometheustest.Server, objectives string) {
	t.Helper()
	out, talk, code := command(t, "slo", "replay", "--objective", objectives, "--name", "shop/shop-availability", "--prometheus", s.URL,
		"--from", promFrom.Format(time.RFC3339), "--until", promUntil.Format(time.RFC3339))
	var r struct {
		Good, Total float64
		Burn        map[string]*float64
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
		t.Fatalf("exit code %d: %v\n%s%s", code, err, out, talk)
	}
	good, bad := 0, 0
	for i := 1; i <= promTicks; i++ {
		for _, c := range stranger[:4] {
			if n := c.rise(i); strings.Contains(c.labels, "200") {
				good += n
			} else {
				bad += n
			}
		}
	}
	if r.Good != float64(good) || r.Total != float64(good+bad) {
		t.Errorf("%.0f good of %.0f; in truth %d of %d", r.Good, r.Total, good, good+bad)
	}
	for _, w := range []string{"5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"} {
		if r.Burn[w] == nil {
			t.Errorf("no burn rate over %s:\n%s", w, out)
		}
	}
	if _, talk, code := command(t, "slo", "replay", "--objective", objectives, "--name", "shop/shop-availability", "--prometheus", s.URL, "--data", "x.csv"); code != 2 {
		t.Errorf("two sources: exit code %d\n%s", code, talk)
	}
}

// ruled asks for a verdict on v2 against v1, which fails eight times as often
// as the tolerance allows, and on v1 against itself.
func ruled(t *testing.T, s *prometheustest.Server) {
	t.Helper()
	states := memory.New(memory.Options{}).States()
	feeder := &feed.Feeder{Reader: states, Own: feed.Connection{Name: feed.Default, URL: s.URL}, Open: func(to feed.Connection) (metric.Counter, error) {
		e, err := remoteEngine(clock.Wall(), "test")(to)
		return query.NewCounter(e), err
	}}
	court := &rollout.Court{Clock: clock.NewVirtual(promUntil), Counter: feeder.Counter}
	arm := func(pod, code string) string {
		return fmt.Sprintf(`sum(http_requests_total{pod=%q,code=~%q})`, pod, code)
	}
	for canary, want := range map[string]judge.Verdict{"v2": judge.Back, "v1": judge.On} {
		source := map[string]string{"v1": feed.Default}[canary] // the same, named or not
		out, err := court.Operations()[0].Call(t.Context(), api.Anonymous, &rollout.AskInput{Source: source, Window: 2 * time.Hour,
			BaselineTotal: arm("v1", ".*"), BaselineBad: arm("v1", "5.."), CanaryTotal: arm(canary, ".*"), CanaryBad: arm(canary, "5..")})
		if err != nil {
			t.Fatal(err)
		}
		if r := out.(rollout.Ruling); r.Verdict != want || r.Bins < 5 || want == judge.On && r.Baseline != r.Canary {
			t.Errorf("%s: %+v", canary, r)
		}
	}
	for _, in := range []rollout.AskInput{
		{Source: "elsewhere", BaselineTotal: arm("v1", ".*"), BaselineBad: arm("v1", "5.."), CanaryTotal: arm("v1", ".*"), CanaryBad: arm("v1", "5..")},
		{BaselineTotal: "a"},
		{BaselineTotal: "a_total", BaselineBad: "b_total", CanaryTotal: "c_total", CanaryBad: "d_total", Window: time.Second},
		{BaselineTotal: "a_total{", BaselineBad: "b_total", CanaryTotal: "c_total", CanaryBad: "d_total"},
	} {
		if out, err := court.Operations()[0].Call(t.Context(), api.Anonymous, &in); err == nil {
			t.Errorf("%+v was judged: %+v", in, out)
		}
	}
}
