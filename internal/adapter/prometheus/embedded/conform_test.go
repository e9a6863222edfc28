package embedded

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/prometheus/prometheustest"
	"github.com/flyball-dev/flyball/internal/port/metric"
	"github.com/flyball-dev/flyball/internal/port/metric/metrictest"
)

// holding is a store that holds series, which were written to it as to any
// Prometheus.
func holding(t *testing.T, data []metrictest.Series) (*Store, *httptest.Server) {
	t.Helper()
	s := begin(t, Options{})
	mux := http.NewServeMux()
	mux.Handle("/api/v1/write", s.RemoteWrite())
	mux.Handle("/", s.API("test"))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	(&prometheustest.Server{URL: server.URL}).Write(t, data)
	return s, server
}

func TestConformance(t *testing.T) {
	metrictest.Run(t, func(t *testing.T, data []metrictest.Series) metrictest.Engine {
		s, _ := holding(t, data)
		return s
	})
}

// The API answers what Debian's Prometheus answers over the same samples, byte
// for byte.
func TestAPIAnswersAsPrometheus(t *testing.T) {
	var values []float64
	for i := range 40 {
		values = append(values, float64(i*7%53)+0.25)
	}
	data := []metrictest.Series{
		{Labels: metric.Labels{"__name__": "requests_total", "code": "200", "job": "shop"}, Points: prometheustest.Points(noon, 30*time.Second, values...)},
		{Labels: metric.Labels{"__name__": "requests_total", "code": "500", "job": "shop"}, Points: prometheustest.Points(noon, 30*time.Second, 0, 1, 2, metrictest.Stale, 0, 1e-9, 1e22)},
		{Labels: metric.Labels{"__name__": "took_seconds", "job": "shop"}, Histograms: []metrictest.Histogram{
			{At: noon.UnixMilli(), Sum: 3, Counts: map[int]int64{-1: 4, 0: 2, 3: 1}},
			{At: noon.Add(30 * time.Second).UnixMilli(), Sum: 6, Counts: map[int]int64{-1: 8, 0: 3, 3: 2}},
		}},
	}
	theirs := prometheustest.Start(t, "", data)
	_, ours := holding(t, data)
	// Off the samples' own times: since Prometheus 3 a range leaves its beginning
	// out, in which 2.42 differs.
	from, until := noon.Unix()+7, noon.Add(20*time.Minute).Unix()
	instant := func(expr string) string {
		return fmt.Sprintf("query?time=%d.5&query=%s", noon.Add(10*time.Minute).Unix(), url.QueryEscape(expr))
	}
	steps := func(expr string) string {
		return fmt.Sprintf("query_range?start=%d&end=%d&step=30s&query=%s", from, until, url.QueryEscape(expr))
	}
	span := fmt.Sprintf("start=%d&end=%d", from, until)
	for _, path := range []string{
		instant(`requests_total`), instant(`1+1`), instant(`"text"`), instant(`sum by (job)(rate(requests_total[5m]))`), instant(`requests_total[2m]`),
		instant(`requests_total / 0 - requests_total / 0`), instant(`took_seconds`), instant(`nothing`), instant(`topk(1, requests_total)`), instant(`sum(`), instant(`time()`),
		steps(`requests_total`), steps(`sum(increase(requests_total[3m]))`), steps(`took_seconds`), steps(`requests_total{code="500"}`), steps(`vector(1e22)`), steps(`-requests_total * 1e-9`),
		"series?match[]=requests_total&" + span, "series?match[]=requests_total&match[]=took_seconds&" + span, "series?" + span,
		"labels?" + span, "labels?match[]=took_seconds&" + span, "label/__name__/values?" + span, "label/code/values?" + span, "label/none/values?" + span,
		"query_range?query=up&start=1&end=2&step=0", "query_range?query=up&start=2&end=1&step=1",
	} {
		want, got := ask(t, theirs.URL+"/api/v1/"+path), ask(t, ours.URL+"/api/v1/"+path)
		if got != want {
			t.Errorf("%s\n got %.600s\nwant %.600s", path, got, want)
		}
	}
}

func ask(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, b)
}
