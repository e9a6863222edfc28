package embedded

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

// What cannot be written is refused with a status that tells the sender whether
// to try again, and nothing of it is stored.
func TestWriteRefuses(t *testing.T) {
	s := begin(t, Options{Limits: Limits{Body: 4096, Decompressed: 8192}})
	written(t, s, counter("a_total", noon.Add(2*time.Hour), 10))
	claim := binary.AppendUvarint(nil, 3<<30) // of what it decompresses to
	unnamed := prompb.TimeSeries{Labels: []prompb.Label{{Name: "job", Value: "shop"}}, Samples: []prompb.Sample{{Timestamp: noon.UnixMilli(), Value: 1}}}
	ahead := counter("b_total", time.Now().Add(time.Hour), 1)
	protobuf := []string{"Content-Type", protobufType}
	for name, c := range map[string]struct {
		handler http.Handler
		body    []byte
		headers []string
		code    int
		says    string
	}{
		"not snappy":         {s.RemoteWrite(), []byte("\xff\xff\xff\xff\xff\xff\xff"), nil, 400, "not snappy"},
		"not protobuf":       {s.RemoteWrite(), snappy.Encode(nil, []byte("hello")), nil, 400, ""},
		"empty":              {s.RemoteWrite(), nil, nil, 400, "not snappy"},
		"claims 3 GB":        {s.RemoteWrite(), append(claim, 1, 2, 3), nil, 413, "limit is 8192"},
		"bomb":               {s.RemoteWrite(), snappy.Encode(nil, make([]byte, 9000)), nil, 413, "limit is 8192"},
		"large":              {s.RemoteWrite(), make([]byte, 5000), nil, 413, "4096 bytes"},
		"gzip":               {s.RemoteWrite(), nil, []string{"Content-Encoding", "gzip"}, 415, "not snappy"},
		"another type":       {s.RemoteWrite(), remoteBody(t), []string{"Content-Type", "text/plain"}, 415, ""},
		"too old":            {s.RemoteWrite(), remoteBody(t, counter("a_total", noon, 1)), nil, 400, ""},
		"ahead of time":      {s.RemoteWrite(), remoteBody(t, ahead), nil, 400, "future"},
		"without a name":     {s.RemoteWrite(), remoteBody(t, unnamed), nil, 204, ""},
		"OTLP of no type":    {s.OTLP(), nil, nil, 415, "content type"},
		"OTLP text":          {s.OTLP(), []byte("hello"), []string{"Content-Type", "text/plain"}, 415, ""},
		"OTLP broken":        {s.OTLP(), []byte("hello"), protobuf, 400, "no OTLP export"},
		"OTLP broken JSON":   {s.OTLP(), []byte(`{"resourceMetrics":[`), []string{"Content-Type", jsonType}, 400, `{"message":`},
		"OTLP not gzip":      {s.OTLP(), []byte("hello"), append(protobuf, "Content-Encoding", "gzip"), 400, "not gzip"},
		"OTLP bomb":          {s.OTLP(), gzipped(make([]byte, 1<<20)), append(protobuf, "Content-Encoding", "gzip"), 413, "8192 bytes"},
		"OTLP large":         {s.OTLP(), make([]byte, 5000), protobuf, 413, "4096 bytes"},
		"OTLP zstd":          {s.OTLP(), nil, append(protobuf, "Content-Encoding", "zstd"), 415, "neither gzip"},
		"OTLP without gauge": {s.OTLP(), nil, protobuf, 200, ""},
	} {
		w := post(c.handler, c.body, c.headers...)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %q, want %d %q", name, w.Code, w.Body, c.code, c.says)
		}
	}
	if n, _ := s.Holds(); n != 1 {
		t.Errorf("there are %d series, want the one that was written well", n)
	}
}

// When there is too much at once, or too much in all, senders are told to come
// back.
func TestWriteOverload(t *testing.T) {
	s := begin(t, Options{Limits: Limits{Writes: 1, Series: 2}})
	s.writes <- struct{}{}
	if w := post(s.RemoteWrite(), remoteBody(t)); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("at the limit of requests: %d %s", w.Code, w.Body)
	}
	<-s.writes
	written(t, s, counter("a", noon, 1), counter("b", noon, 1))
	if w := post(s.RemoteWrite(), remoteBody(t, counter("c", noon, 1))); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "2 series") {
		t.Errorf("at the limit of series: %d %s", w.Code, w.Body)
	}
}

// export is a request of OTLP: a counter of a service, a gauge without numbers,
// a delta that cannot be kept, and a sample from tomorrow.
func export(at time.Time) pmetricotlp.ExportRequest {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "checkout")
	rm.Resource().Attributes().PutStr("deployment.environment", "prod")
	metrics := rm.ScopeMetrics().AppendEmpty().Metrics()
	sum := func(name string, temporality pmetric.AggregationTemporality, at time.Time, v int64) {
		m := metrics.AppendEmpty()
		m.SetName(name)
		m.SetUnit("{request}")
		m.SetEmptySum().SetIsMonotonic(true)
		m.Sum().SetAggregationTemporality(temporality)
		p := m.Sum().DataPoints().AppendEmpty()
		p.SetIntValue(v)
		p.SetTimestamp(pcommon.NewTimestampFromTime(at))
		p.Attributes().PutStr("http.route", "/pay")
	}
	sum("http.requests", pmetric.AggregationTemporalityCumulative, at, 41)
	sum("http.deltas", pmetric.AggregationTemporalityDelta, at, 1)
	sum("http.tomorrow", pmetric.AggregationTemporalityCumulative, at.Add(24*time.Hour), 1)
	return pmetricotlp.NewExportRequestFromMetrics(md)
}

// OTLP comes as protobuf and JSON, compressed and not, under Prometheus' names;
// what cannot be kept is told and the rest is stored.
func TestOTLP(t *testing.T) {
	req := export(noon)
	proto, err := req.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	text, err := req.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body    []byte
		kind    string
		headers []string
	}{
		"protobuf":      {proto, protobufType, nil},
		"json":          {text, jsonType, nil},
		"json, charset": {text, jsonType + "; charset=utf-8", nil},
		"protobuf gzip": {gzipped(proto), protobufType, []string{"Content-Encoding", "gzip"}},
		"json gzip":     {gzipped(text), jsonType, []string{"Content-Encoding", "gzip"}},
	} {
		s := begin(t, Options{Clock: clock.NewVirtual(noon)})
		w := post(s.OTLP(), c.body, append([]string{"Content-Type", c.kind}, c.headers...)...)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", name, w.Code, w.Body)
		}
		answer := pmetricotlp.NewExportResponse()
		if strings.HasPrefix(c.kind, jsonType) {
			err = answer.UnmarshalJSON(w.Body.Bytes())
		} else {
			err = answer.UnmarshalProto(w.Body.Bytes())
		}
		if err != nil || answer.PartialSuccess().RejectedDataPoints() != 2 || answer.PartialSuccess().ErrorMessage() == "" {
			t.Errorf("%s: partial success %d %q, %v; want 2", name, answer.PartialSuccess().RejectedDataPoints(), answer.PartialSuccess().ErrorMessage(), err)
		}
		_, got := get(t, s, "/api/v1/query?query=http_requests_total&time="+fmt.Sprint(noon.Unix()))
		want := `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"http_requests_total","deployment_environment":"prod","http_route":"/pay","job":"checkout","service_name":"checkout"},"value":[1772366400,"41"]}]}}`
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

// Whatever is sent, the answer is one of those that are meant.
func FuzzWrite(f *testing.F) {
	proto, err := export(noon).MarshalProto()
	if err != nil {
		f.Fatal(err)
	}
	text, err := export(noon).MarshalJSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(proto, byte(0))
	f.Add(text, byte(1))
	f.Add(gzipped(proto), byte(2))
	f.Add(remoteBody(f, counter("a_total", noon, 3)), byte(3))
	f.Add(remoteBody(f), byte(4))
	s := begin(f, Options{Limits: Limits{Body: 1 << 16, Decompressed: 1 << 18}})
	f.Fuzz(func(t *testing.T, body []byte, how byte) {
		var w interface{ Result() *http.Response }
		switch how % 5 {
		case 0:
			w = post(s.OTLP(), body, "Content-Type", protobufType)
		case 1:
			w = post(s.OTLP(), body, "Content-Type", jsonType)
		case 2:
			w = post(s.OTLP(), body, "Content-Type", protobufType, "Content-Encoding", "gzip")
		case 3:
			w = post(s.RemoteWrite(), body)
		case 4:
			w = post(s.RemoteWrite(), body, "Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
		}
		switch code := w.Result().StatusCode; code {
		case 200, 204, 400, 413:
		default:
			t.Errorf("the answer is %d", code)
		}
	})
}

// Whatever is asked, the answer is JSON that says success or error.
func FuzzAPI(f *testing.F) {
	for _, q := range []string{"query=up", "query=rate(a_total[5m])&time=1772366400", "query=a_total&start=1772366400&end=1772370000&step=60", "match[]=a_total&limit=1", "query=1e400&step=1e300&start=-1e11&end=1e11"} {
		f.Add(q, byte(0))
		f.Add(q, byte(1))
		f.Add(q, byte(2))
	}
	s := begin(f, Options{Limits: Limits{QueryTime: time.Second, QuerySamples: 10_000}})
	written(f, s, counter("a_total", noon, 100))
	h := s.API("fuzz")
	f.Fuzz(func(t *testing.T, query string, how byte) {
		path := []string{"query", "query_range", "series", "labels", "label/job/values", "metadata"}[how%6]
		r, err := http.NewRequest(http.MethodGet, "http://localhost/api/v1/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = query
		w := answerTo(h, r)
		if b := w.Body.Bytes(); !bytes.HasPrefix(b, []byte(`{"status":"success"`)) && !bytes.HasPrefix(b, []byte(`{"status":"error"`)) || !json.Valid(b) {
			t.Errorf("%s?%s: %d %.200s", path, query, w.Code, b)
		}
	})
}

func answerTo(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
