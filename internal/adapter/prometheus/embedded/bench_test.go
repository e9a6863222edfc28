package embedded

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/prometheus/prompb"
)

// heap is the bytes in use.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}

// What an open store costs: empty, and for each series that is written to.
func BenchmarkOpen(b *testing.B) {
	for _, series := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("series=%d", series), func(b *testing.B) {
			var list []prompb.TimeSeries
			for i := range series {
				ts := counter("a_total", noon, 60) // a quarter of an hour
				ts.Labels = append(ts.Labels, prompb.Label{Name: "pod", Value: fmt.Sprintf("checkout-%06d", i)})
				list = append(list, ts)
			}
			var body []byte
			if series > 0 {
				body = remoteBody(b, list...)
				list = nil
			}
			for b.Loop() {
				before, started := heap(), time.Now()
				s := New(Options{Dir: b.TempDir(), Logger: quiet()})
				if err := s.Open(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(time.Since(started).Microseconds())/1000, "open-ms")
				if body != nil {
					if w := post(s.RemoteWrite(), body); w.Code/100 != 2 {
						b.Fatal(w.Body)
					}
				}
				b.ReportMetric((heap()-before)/1e6, "MB")
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
