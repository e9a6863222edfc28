package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"

	"github.com/flyball-dev/flyball/internal/adapter/outbound"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// begin makes a store in a directory.
func begin(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Logger = quiet()
	s := New(o)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// counter is a series that rises by one every 15 s from a moment.
func counter(name string, from time.Time, n int) prompb.TimeSeries {
	ts := prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: name}, {Name: "job", Value: "shop"}}}
	for i := range n {
		ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: from.Add(time.Duration(i) * 15 * time.Second).UnixMilli(), Value: float64(i)})
	}
	return ts
}

func remoteBody(t testing.TB, series ...prompb.TimeSeries) []byte {
	t.Helper()
	b, err := (&prompb.WriteRequest{Timeseries: series}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, b)
}

// post sends a body to a handler and gives the answer.
func post(h http.Handler, body []byte, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func written(t testing.TB, s *Store, series ...prompb.TimeSeries) {
	t.Helper()
	if w := post(s.RemoteWrite(), remoteBody(t, series...)); w.Code/100 != 2 {
		t.Fatalf("remote write: %d %s", w.Code, w.Body)
	}
}

// eventually waits for a condition, at most 30 s.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 1500 {
		if holds() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("after 30 s: not %s", what)
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A target that is declared is scraped with its labels, one that stops
// answering is down and its series are stale, one that is no longer declared is
// asked no more; a redirect is not followed.
func TestScrape(t *testing.T) {
	asked, broken := make(chan string, 10_000), make(chan struct{})
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		select {
		case <-broken:
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		default:
			fmt.Fprint(w, "# TYPE orders_total counter\n# HELP orders_total Orders.\norders_total{service=\"liar\"} 7\n")
		}
	}))
	defer exporter.Close()
	s := begin(t, Options{})
	job := metric.Job{Name: "shop", Scheme: "http", Path: "/metrics", Interval: time.Second, Timeout: time.Second,
		Targets: []string{exporter.Listener.Addr().String()}, Labels: metric.Labels{"service": "checkout"}, MaxSamples: 100, MaxBytes: 1 << 20}
	ctx := context.Background()
	if err := s.Scrape(ctx, []metric.Job{job}); err != nil {
		t.Fatal(err)
	}
	value := func(expr string) string {
		r, err := s.Query(ctx, expr, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Series) != 1 {
			return ""
		}
		return fmt.Sprint(r.Series[0].Points[0].Value)
	}
	eventually(t, "scraped", func() bool {
		return value(`orders_total{service="checkout",exported_service="liar",job="shop"}`) == "7"
	})
	if meta, _, err := s.Metadata(ctx, "", 10); err != nil || len(meta) != 1 || meta[0] != (metric.Metadata{Metric: "orders_total", Type: metric.TypeCounter, Help: "Orders."}) {
		t.Errorf("metadata %v, %v", meta, err)
	}
	close(broken)
	eventually(t, "down", func() bool { return value(`up{job="shop"}`) == "0" && value(`orders_total`) == "" })
	targets, err := s.Targets(ctx)
	if err != nil || len(targets) != 1 || targets[0].Up || !strings.Contains(targets[0].LastError, "302") {
		t.Errorf("targets %+v, %v", targets, err)
	}
	if err := s.Scrape(ctx, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "forgotten", func() bool { l, _ := s.Targets(ctx); return len(l) == 0 })
	close(asked)
	for path := range asked {
		if path != "/metrics" {
			t.Errorf("%s was asked for", path)
		}
	}
}

// A scrape that is too large fails whole.
func TestScrapeLimits(t *testing.T) {
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/many" {
			for i := range 101 {
				fmt.Fprintf(w, "a{n=\"%d\"} 1\n", i)
			}
			return
		}
		fmt.Fprint(w, "# HELP a "+strings.Repeat("x", 5000)+"\na 1\n")
	}))
	defer exporter.Close()
	s := begin(t, Options{})
	job := metric.Job{Scheme: "http", Interval: time.Second, Timeout: time.Second, Targets: []string{exporter.Listener.Addr().String()}, MaxSamples: 100, MaxBytes: 4096}
	many, large := job, job
	many.Name, many.Path, large.Name, large.Path = "many", "/many", "large", "/large"
	if err := s.Scrape(context.Background(), []metric.Job{many, large}); err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	eventually(t, "both refused", func() bool {
		list, _ := s.Targets(context.Background())
		for _, x := range list {
			reasons[x.Job] = x.LastError
		}
		return reasons["many"] != "" && reasons["large"] != ""
	})
	if !strings.Contains(reasons["many"], "sample limit") || !strings.Contains(reasons["large"], "body size limit") {
		t.Errorf("reasons: %v", reasons)
	}
}

// Link-local addresses are not scraped, whatever is declared.
func TestScrapeStaysOffLinkLocal(t *testing.T) {
	for _, address := range []string{"169.254.169.254:80", "100.100.100.200:80", "[64:ff9b::a9fe:a9fe]:80"} {
		if _, err := dialer(nil)(context.Background(), "tcp", address); !errors.Is(err, outbound.ErrAddress) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func points(t *testing.T, s *Store) int {
	t.Helper()
	r, err := s.Samples(context.Background(), `{job="shop"}`, noon, noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, x := range r.Series {
		n += len(x.Points)
	}
	return n
}

// What was acknowledged is there after a restart, after a crash, and as far as
// it is whole after a crash that left half a record.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	s := New(Options{Dir: dir, Logger: quiet()})
	written(t, s, counter("a_total", noon, 100))
	crashed, torn := t.TempDir(), t.TempDir()
	for _, to := range []string{crashed, torn} {
		if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"closed": dir, "crashed": crashed} {
		if n := points(t, begin(t, Options{Dir: dir})); n != 100 {
			t.Errorf("%s: %d samples, want 100", name, n)
		}
	}
	segments, err := filepath.Glob(filepath.Join(torn, "wal", "0*"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("no log: %v", err)
	}
	f, err := os.OpenFile(segments[len(segments)-1], os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("\x02half a record, as a crash leaves it")); err != nil {
		t.Fatal(err)
	}
	f.Close()
	s = begin(t, Options{Dir: torn})
	if n := points(t, s); n != 100 {
		t.Errorf("torn: %d samples, want 100", n)
	}
	written(t, s, counter("b_total", noon, 10))
	if n := points(t, s); n != 110 {
		t.Errorf("torn: %d samples after another write, want 110", n)
	}
}

// A damaged block is said and nothing is deleted; without it the rest is served.
func TestDamagedBlock(t *testing.T) {
	dir := t.TempDir()
	block := filepath.Join(dir, "01BKGV7JBM69T2G1BGBGM6KB12")
	if err := os.MkdirAll(filepath.Join(block, "chunks"), 0o700); err != nil {
		t.Fatal(err)
	}
	meta := `{"version":1,"ulid":"01BKGV7JBM69T2G1BGBGM6KB12","minTime":0,"maxTime":7200000,"compaction":{"level":1}}`
	for name, text := range map[string]string{"meta.json": meta, "index": "not an index"} {
		if err := os.WriteFile(filepath.Join(block, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := begin(t, Options{Dir: dir})
	err := s.Open()
	if problem.KindOf(err) != problem.Unavailable || !strings.Contains(fmt.Sprint(err), "01BKGV7JBM69T2G1BGBGM6KB12") {
		t.Fatalf("opening says %v", err)
	}
	if w := post(s.RemoteWrite(), remoteBody(t, counter("a", noon, 1))); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a write is answered %d, want 503", w.Code)
	}
	if _, err := os.Stat(filepath.Join(block, "index")); err != nil {
		t.Errorf("the block was touched: %v", err)
	}
	if err := os.Rename(block, filepath.Join(t.TempDir(), "aside")); err != nil {
		t.Fatal(err)
	}
	written(t, s, counter("a_total", noon, 5))
}

// Nothing is on disk, and no memory taken, before the store is needed.
func TestLazy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "metrics")
	s := begin(t, Options{Dir: dir})
	s.Holds()
	s.API("x")
	s.OTLP()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is there: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Open(); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("a closed store opens: %v", err)
	}
}

func get(t *testing.T, s *Store, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	s.API("test").ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	b, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(b)
}

// Bad questions get the status and the type of error that Prometheus gives.
func TestAPIErrors(t *testing.T) {
	s := begin(t, Options{Limits: Limits{QuerySamples: 50}})
	written(t, s, counter("a_total", noon, 100))
	at := fmt.Sprint(noon.Add(20 * time.Minute).Unix())
	for path, want := range map[string]string{
		"/api/v1/query?query=sum(":                              `400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\"`,
		"/api/v1/query?query=up&time=yesterday":                 `400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"time\"`,
		"/api/v1/query_range?query=up":                          `400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"start\"`,
		"/api/v1/query_range?query=up&start=2&end=1&step=1":     `400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"end\"`,
		"/api/v1/query_range?query=up&start=1&end=2&step=0":     `400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"step\"`,
		"/api/v1/query_range?query=up&start=1&end=99999&step=1": `400 {"status":"error","errorType":"bad_data","error":"exceeded maximum resolution`,
		"/api/v1/query?query=a_total[1h]&time=" + at:            `422 {"status":"error","errorType":"execution","error":"query processing would load too many samples`,
		"/api/v1/query?query=" + strings.Repeat("a", 70_000):    `400 {"status":"error","errorType":"bad_data"`,
		"/api/v1/series":           `400 {"status":"error","errorType":"bad_data","error":"no match[] parameter provided"`,
		"/api/v1/series?match[]={": `400 {"status":"error","errorType":"bad_data"`,
		"/api/v1/series?" + strings.Repeat("match[]=a&", maxSelectors) + "match[]=b": `400 {"status":"error","errorType":"bad_data"`,
		"/api/v1/labels?limit=-1":          `400 {"status":"error","errorType":"bad_data"`,
		"/api/v1/label/%FF/values":         `400 {"status":"error","errorType":"bad_data","error":"invalid label name`,
		"/api/v1/query?query=1%2B1&time=5": `200 {"status":"success","data":{"resultType":"scalar","result":[5,"2"]}}`,
		"/api/v1/labels":                   `200 {"status":"success","data":["__name__","job"]}`,
		"/api/v1/label/nothing/values":     `200 {"status":"success","data":[]}`,
		"/api/v1/metadata":                 `200 {"status":"success","data":{}}`,
	} {
		code, body := get(t, s, path)
		if got := fmt.Sprintf("%d %s", code, body); !strings.HasPrefix(got, want) {
			t.Errorf("%.80s\n got %.300s\nwant %s", path, got, want)
		}
	}
}
