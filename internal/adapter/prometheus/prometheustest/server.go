// Package prometheustest starts Debian's Prometheus for tests, on a free port
// and with data of its own. Samples get in by remote write, in order of time, so
// that a test decides what was scraped when, stale markers and native histograms
// included; or as blocks that promtool makes of OpenMetrics text, for months.
package prometheustest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/prompb"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/port/metric"
	"github.com/flyball-dev/flyball/internal/port/metric/metrictest"
)

// Server is a running Prometheus.
type Server struct{ URL string }

var listening = regexp.MustCompile(`msg="Listening on" address=(\S+)`)

// Start starts a Prometheus that holds series. config is its configuration;
// empty scrapes nothing.
func Start(t testing.TB, config string, data []metrictest.Series) *Server {
	t.Helper()
	s := run(t, t.TempDir(), config)
	s.Write(t, data)
	return s
}

// StartBlocks starts a Prometheus on blocks made of OpenMetrics text.
func StartBlocks(t testing.TB, openMetrics []byte) *Server {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "data.om")
	if err := os.WriteFile(file, openMetrics, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=1440h", file, filepath.Join(dir, "data"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	return run(t, dir, "")
}

func run(t testing.TB, dir, config string) *Server {
	t.Helper()
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(cmp.Or(config, "global: {}\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--storage.tsdb.retention.time=100y",
		"--web.listen-address=127.0.0.1:0", "--web.enable-remote-write-receiver", "--enable-feature=native-histograms")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("Debian's prometheus is needed (apt-get install prometheus): %v", err)
	}
	address, ended := make(chan string, 1), make(chan struct{})
	var text bytes.Buffer
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			fmt.Fprintln(&text, lines.Text())
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
	})
	select {
	case at := <-address:
		s := &Server{URL: "http://" + at}
		s.ready(t)
		return s
	case <-ended:
		t.Fatalf("prometheus ended:\n%s", text.String())
	case <-clock.Wall().NewTimer(30 * time.Second).C():
		t.Fatal("prometheus does not listen after 30 s")
	}
	return nil
}

// ready waits until the server answers queries.
func (s *Server) ready(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/-/ready", nil)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		_ = clock.Sleep(ctx, clock.Wall(), 20*time.Millisecond)
	}
	t.Fatal("prometheus is not ready after 30 s")
}

// Write stores samples by remote write, in order of time: a Prometheus takes
// none that are much older than those it has.
func (s *Server) Write(t testing.TB, data []metrictest.Series) {
	t.Helper()
	const step = 6 * time.Hour
	parts := map[int64][]prompb.TimeSeries{}
	for _, series := range data {
		for slot, ts := range wire(series, step.Milliseconds()) {
			parts[slot] = append(parts[slot], ts)
		}
	}
	for _, slot := range slices.Sorted(maps.Keys(parts)) {
		body, err := (&prompb.WriteRequest{Timeseries: parts[slot]}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(s.URL+"/api/v1/write", "application/x-protobuf", bytes.NewReader(snappy.Encode(nil, body)))
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			t.Fatalf("remote write: %d %s", resp.StatusCode, answer)
		}
	}
}

// wire is a series in pieces of a width.
func wire(s metrictest.Series, width int64) map[int64]prompb.TimeSeries {
	var names []prompb.Label
	for _, n := range slices.Sorted(maps.Keys(s.Labels)) {
		names = append(names, prompb.Label{Name: n, Value: s.Labels[n]})
	}
	out := map[int64]prompb.TimeSeries{}
	for _, p := range s.Points {
		ts := out[p.At/width]
		ts.Labels = names
		ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: p.At, Value: p.Value})
		out[p.At/width] = ts
	}
	for _, h := range s.Histograms {
		ts := out[h.At/width]
		ts.Labels = names
		ts.Histograms = append(ts.Histograms, prompb.FromIntHistogram(h.At, native(h)))
		out[h.At/width] = ts
	}
	return out
}

// native is a histogram in Prometheus' own form.
func native(h metrictest.Histogram) *histogram.Histogram {
	out := &histogram.Histogram{Schema: int32(h.Schema), ZeroThreshold: 1e-128, Sum: h.Sum}
	previous, last := int64(0), int32(0)
	for i, index := range slices.Sorted(maps.Keys(h.Counts)) {
		at, n := int32(index), h.Counts[index]
		if offset := at - last; i == 0 || offset > 0 {
			out.PositiveSpans = append(out.PositiveSpans, histogram.Span{Offset: offset, Length: 1})
		} else {
			out.PositiveSpans[len(out.PositiveSpans)-1].Length++
		}
		out.PositiveBuckets = append(out.PositiveBuckets, n-previous)
		out.Count += uint64(n)
		previous, last = n, at+1
	}
	return out
}

// Points is a counter sampled every step from a moment, as values.
func Points(from time.Time, step time.Duration, values ...float64) []metric.Point {
	out := make([]metric.Point, len(values))
	for i, v := range values {
		out[i] = metric.Point{At: from.Add(time.Duration(i) * step).UnixMilli(), Value: v}
	}
	return out
}
