package slo

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkTick moves many objectives by a minute, each with new counts.
func BenchmarkTick(b *testing.B) {
	const n = 20_000
	e := newEngine(b, time.Minute, march)
	ids := make([]string, n)
	for i := range ids {
		o := availability("0.999")
		o.Service = fmt.Sprintf("s%d", i)
		if _, err := e.Put(o); err != nil {
			b.Fatal(err)
		}
		ids[i] = o.ID()
	}
	now := march
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		for _, id := range ids {
			if _, err := e.Add(id, now, 999, 1000); err != nil {
				b.Fatal(err)
			}
		}
		now = now.Add(time.Minute)
		b.StartTimer()
		e.Tick(now)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/objective")
}
