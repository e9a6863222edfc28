package remote

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/prompb"
	protocol "github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/flyball-dev/flyball/internal/adapter/prometheus/prometheustest"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
	"github.com/flyball-dev/flyball/internal/port/metric/metrictest"
)

// asked counts requests by path.
type asked struct {
	next http.RoundTripper
	mu   sync.Mutex
	n    map[string]int
}

func (a *asked) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.n[r.URL.Path]++
	a.mu.Unlock()
	return a.next.RoundTrip(r)
}

func clientOn(t testing.TB, url string) (*Client, *asked) {
	t.Helper()
	c, err := New(Config{URL: url, Clock: clock.NewVirtual(time.Unix(1_800_000_000, 0))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	a := &asked{next: c.http.Transport, n: map[string]int{}}
	c.http.Transport = a
	return c, a
}

// The same conformance by queries alone.
func TestConformanceByQuery(t *testing.T) {
	metrictest.Run(t, func(t *testing.T, data []metrictest.Series) metrictest.Engine {
		c, _ := clientOn(t, prometheustest.Start(t, "", data).URL)
		c.learn(false)
		return c
	})
}

var origin = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// history is OpenMetrics text of days of counters, blocks of Prometheus.
func history(series int, span time.Duration) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, "# TYPE requests counter")
	for i := range series {
		for s := time.Duration(0); s < span; s += 30 * time.Second {
			n := int64(s/(30*time.Second)) % 1999 // resets
			fmt.Fprintf(&b, "requests_total{code=\"%d\"} %d %d\n", 200+i, n*int64(i+1), origin.Add(s).Unix())
		}
	}
	fmt.Fprintln(&b, "# EOF")
	return b.Bytes()
}

// Both ways give the same samples: of blocks, of the head, and across.
func TestBothWays(t *testing.T) {
	const span = 30 * time.Hour
	s := prometheustest.StartBlocks(t, history(3, span))
	var head []metrictest.Series
	for i := range 3 {
		l := metric.Labels{metric.NameLabel: "requests_total", "code": fmt.Sprint(200 + i)}
		values := make([]float64, 700)
		for k := range values {
			values[k] = float64(k % 333 * (i + 1))
		}
		values[100], values[101], values[200], values[300] = metrictest.Stale, metrictest.Stale, math.Inf(1), 0.1
		head = append(head, metrictest.Series{Labels: l, Points: prometheustest.Points(origin.Add(span), 30*time.Second, values...)})
	}
	s.Write(t, head)
	c, asks := clientOn(t, s.URL)
	query, _ := clientOn(t, s.URL)
	query.learn(false)
	samples := 0
	for _, selector := range []string{`requests_total`, `requests_total{code=~"20[01]"}`, `requests_total{code!="200"}`, `{__name__=~"requests.*",code!~"201|7",job=""}`, `nothing`} {
		for _, span := range [][2]time.Duration{{0, 40 * time.Hour}, {time.Hour, 90 * time.Minute}, {29 * time.Hour, 31 * time.Hour},
			{30 * time.Second, 60 * time.Second}, {30*time.Second + 1, 60*time.Second + 1e6}, {30 * time.Hour, 36 * time.Hour}, {80 * time.Hour, 90 * time.Hour}} {
			from, until := origin.Add(span[0]), origin.Add(span[1])
			a, err := c.Samples(context.Background(), selector, from, until)
			b, other := query.Samples(context.Background(), selector, from, until)
			if err != nil || other != nil {
				t.Fatal(err, other)
			}
			for _, s := range a.Series {
				samples += len(s.Points)
			}
			if len(a.Series) == 0 && len(b.Series) == 0 {
				continue
			}
			if !reflect.DeepEqual(a, b) {
				t.Errorf("%s in %v: %d series by remote read, %d by query, or other samples", selector, span, len(a.Series), len(b.Series))
			}
		}
	}
	if samples < 30_000 || asks.n["/api/v1/read"] == 0 || asks.n["/api/v1/query"] != 0 {
		t.Errorf("%d samples, asked %v; want many, without a query", samples, asks.n)
	}
}

// External labels are added by remote read alone: such a server is asked by queries.
func TestExternalLabels(t *testing.T) {
	data := []metrictest.Series{{Labels: metric.Labels{metric.NameLabel: "up"}, Points: prometheustest.Points(origin, time.Minute, 1, 1)}}
	s := prometheustest.Start(t, "global: {external_labels: {cluster: eu}}\n", data)
	c, asks := clientOn(t, s.URL)
	r, err := c.Samples(context.Background(), "up", origin, origin.Add(time.Hour))
	if err != nil || len(r.Series) != 1 || r.Series[0].Labels["cluster"] != "" || asks.n["/api/v1/read"] != 0 {
		t.Errorf("%+v, %v, asked %v", r, err, asks.n)
	}
}

// A server without remote read is asked by queries, and again after an hour. A
// stream that is broken is no answer; a busy server is left alone.
func TestOtherWays(t *testing.T) {
	for _, x := range []struct {
		name                string
		status              int
		kind, body          string
		reads, later, query int // requests after two calls, and of reads after an hour
		fails               problem.Kind
	}{
		{"absent", 404, "text/plain", "not found", 1, 2, 3, ""},
		{"not allowed", 405, "text/plain", "", 1, 2, 3, ""},
		{"not implemented", 501, "text/plain", "", 1, 2, 3, ""},
		{"samples instead of chunks", 200, "application/x-protobuf", "", 1, 2, 3, ""},
		{"failed", 500, "text/plain", "oh", 2, 3, 3, ""},
		{"broken", 200, streamed, "internal error", 2, 3, 3, ""},
		{"cut in the head", 200, streamed, string(frame(t, 1)) + "\x07", 2, 3, 3, ""},
		{"cut", 200, streamed, string(frame(t, 1)[:20]), 2, 3, 3, ""},
		{"whole", 200, streamed, string(frame(t, 1)), 2, 3, 0, ""},
		{"busy", 429, "text/plain", "", 1, 2, 0, problem.Unavailable},
		{"too large", 200, streamed, string(make([]byte, 2000)), 2, 3, 0, problem.Invalid},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/api/v1/read":
				w.Header().Set("Content-Type", x.kind)
				w.WriteHeader(x.status)
				fmt.Fprint(w, x.body)
			case "/api/v1/status/config":
				fmt.Fprint(w, `{"status":"success","data":{"yaml":"global: {}"}}`)
			default:
				fmt.Fprint(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[0,"1"]]}]}}`)
			}
		}))
		c, asks := clientOn(t, s.URL)
		c.cfg.MaxBytes = 1000
		ask := func() {
			r, err := c.Samples(context.Background(), "up", time.UnixMilli(0), time.UnixMilli(60_000))
			if problem.KindOf(err) != x.fails || err == nil && (len(r.Series) != 1 || len(r.Series[0].Points) != 1) {
				t.Errorf("%s: %+v, %v; want one sample or %q", x.name, r, err, x.fails)
			}
		}
		ask()
		ask()
		first := asks.n["/api/v1/read"]
		c.cfg.Clock.(*clock.Virtual).Advance(time.Hour)
		ask()
		if later := asks.n["/api/v1/read"]; first != x.reads || later != x.later || asks.n["/api/v1/query"] != x.query {
			t.Errorf("%s: %d reads, %d later, asked %v; want %d, %d, %d queries", x.name, first, later, asks.n, x.reads, x.later, x.query)
		}
		s.Close()
	}
}

const streamed = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"

// Reading a month of 20 series both ways: go test -bench Month.
func BenchmarkMonth(b *testing.B) {
	s := prometheustest.StartBlocks(b, history(20, 30*24*time.Hour))
	for name, able := range map[string]bool{"remote read": true, "query": false} {
		b.Run(name, func(b *testing.B) {
			c, _ := clientOn(b, s.URL)
			c.learn(able)
			before, of := processSeconds(b, s.URL), processSeconds(b, "")
			for b.Loop() {
				n := 0
				for day := range 30 {
					from := origin.Add(time.Duration(day) * 24 * time.Hour)
					r, err := c.Samples(context.Background(), "requests_total", from, from.Add(24*time.Hour))
					if err != nil {
						b.Fatal(err)
					}
					for _, s := range r.Series {
						n += len(s.Points)
					}
				}
				if n != 20*30*2880 {
					b.Fatal(n)
				}
			}
			b.ReportMetric((processSeconds(b, s.URL)-before)/float64(b.N), "server-s/op")
			b.ReportMetric((processSeconds(b, "")-of)/float64(b.N), "client-s/op")
		})
	}
}

// processSeconds is the CPU time of a server, or of this process.
func processSeconds(b *testing.B, url string) float64 {
	if url == "" {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	var v float64
	_, after, _ := strings.Cut(string(text), "\nprocess_cpu_seconds_total ")
	if _, err := fmt.Sscan(after, &v); err != nil {
		b.Fatal(err)
	}
	return v
}

// message is what a frame holds: one series with values a minute apart.
func message(t testing.TB, values ...float64) []byte {
	t.Helper()
	chunk := chunkenc.NewXORChunk()
	app, err := chunk.Appender()
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		app.Append(0, int64(i)*60_000, v)
	}
	b, err := (&prompb.ChunkedReadResponse{ChunkedSeries: []*prompb.ChunkedSeries{{Labels: []prompb.Label{{Name: "a", Value: "b"}},
		Chunks: []prompb.Chunk{{Type: prompb.Chunk_XOR, Data: chunk.Bytes()}}}}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// frame is a stream of one message.
func frame(t testing.TB, values ...float64) []byte {
	t.Helper()
	return framed(t, message(t, values...))
}

// framed is a stream of one frame, with its length and checksum.
func framed(t testing.TB, message []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := protocol.NewChunkedWriter(&out, nil).Write(message); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Seeds are messages and streams of them: what is tried is put into a frame with
// its right length and checksum, so that the message and its chunks are
// reached, and given as a stream by itself.
func FuzzChunks(f *testing.F) {
	one := message(f, 1, 2, 3)
	f.Add(one)
	f.Add(append(bytes.Clone(one), one...)) // two series in a message, whose times fall
	f.Add(one[:len(one)-3])
	f.Add(frame(f, 1, 2, 3))
	f.Add([]byte("internal error"))
	// The seeds reach the samples: a fuzzer that stops at the checksum tries nothing.
	if r, err := decodeChunks(bytes.NewReader(framed(f, one)), 0, math.MaxInt64); err != nil || len(r.Series) != 1 || len(r.Series[0].Points) != 3 {
		f.Fatalf("%+v, %v", r, err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, stream := range [][]byte{b, framed(t, b)} {
			r, err := decodeChunks(bytes.NewReader(stream), 0, math.MaxInt64)
			if err != nil {
				continue
			}
			for i, s := range r.Series {
				if i > 0 && metric.CompareLabels(r.Series[i-1].Labels, s.Labels) >= 0 {
					t.Errorf("series out of order, or twice: %+v", r.Series)
				}
				for i := 1; i < len(s.Points); i++ {
					if s.Points[i-1].At >= s.Points[i].At {
						t.Errorf("times fall: %v", s.Points)
					}
				}
			}
		}
	})
}
