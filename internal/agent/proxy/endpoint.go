package proxy

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// backend is a revision of one route, ready for the hot path.
type backend struct {
	arm       *arm
	endpoints []*endpoint
	protocol  string
}

// endpoint is one instance. It lives as long as tables name it, and after that
// until its last request has finished.
type endpoint struct {
	key  endpointKey
	h1   *http.Transport
	h2   *http.Transport
	busy atomic.Int64 // requests on their way

	removed  atomic.Bool
	failures atomic.Int32 // in a row
	ejected  atomic.Int64 // steady instant until which it gets nothing
	strikes  atomic.Int32 // ejections not yet made up for
}

type endpointKey struct{ service, environment, revision, address string }

// acquire takes an endpoint for one attempt: of two drawn at random the one
// with fewer requests on its way, leaving out ejected ones and the one that
// has just failed where there is another. It returns nil when all it could
// take were removed by a newer table.
func (b *backend) acquire(steady int64, random uint64, failed *endpoint) *endpoint {
	n := uint64(len(b.endpoints))
	if n == 0 {
		return nil
	}
	i := (random >> 32) * n >> 32
	e := b.endpoints[i]
	if n > 1 {
		j := (random & 0xffffffff) * (n - 1) >> 32
		if j >= i {
			j++
		}
		e = better(e, b.endpoints[j], steady, failed)
		if !e.takes(steady, failed) {
			e = b.search(e, i, steady, failed)
		}
	}
	if e.take() {
		return e
	}
	for _, other := range b.endpoints {
		if other != failed && other.take() {
			return other
		}
	}
	return nil
}

func better(a, b *endpoint, steady int64, failed *endpoint) *endpoint {
	aTakes, bTakes := a.takes(steady, failed), b.takes(steady, failed)
	if aTakes != bTakes {
		if aTakes {
			return a
		}
		return b
	}
	if b.busy.Load() < a.busy.Load() {
		return b
	}
	return a
}

// search finds an endpoint that takes requests, from a random place on; failing
// that any but the failed one.
func (b *backend) search(e *endpoint, from uint64, steady int64, failed *endpoint) *endpoint {
	n := len(b.endpoints)
	for k := range n {
		if o := b.endpoints[(int(from)+k)%n]; o.takes(steady, failed) {
			return o
		}
	}
	for k := range n {
		if o := b.endpoints[(int(from)+k)%n]; o != failed {
			return o
		}
	}
	return e
}

func (e *endpoint) takes(steady int64, failed *endpoint) bool {
	return e != failed && e.ejected.Load() <= steady
}

// take counts an attempt, unless the endpoint was removed. Whoever has seen it
// removed and busy with nothing knows that nothing will come any more.
func (e *endpoint) take() bool {
	e.busy.Add(1)
	if !e.removed.Load() {
		return true
	}
	e.release()
	return false
}

func (e *endpoint) release() {
	if e.busy.Add(-1) == 0 && e.removed.Load() {
		e.closeIdle()
	}
}

// transport is the one for a request: gRPC needs HTTP/2 throughout.
func (e *endpoint) transport(out *http.Request, protocol string) *http.Transport {
	switch protocol {
	case ProtocolHTTP1:
		return e.h1
	case ProtocolH2C:
		return e.h2
	}
	if ct := out.Header["Content-Type"]; len(ct) > 0 && hasPrefixFold(ct[0], "application/grpc") {
		return e.h2
	}
	return e.h1
}

func (e *endpoint) closeIdle() {
	e.h1.CloseIdleConnections()
	e.h2.CloseIdleConnections()
}

// Ejection is how an instance that keeps failing is left alone: after Failures
// in a row for Base, doubling with each ejection up to Max.
type Ejection struct {
	Failures int           `json:"failures"` // connection failures, timeouts and statuses of 500 and above in a row; 0 is 5, negative is never
	Base     time.Duration `json:"base"`     // 0 is 5 s
	Max      time.Duration `json:"max"`      // 0 is 5 min
}

// succeeded ends a run of failures; each success makes up for one strike.
func (e *endpoint) succeeded() {
	if e.failures.Load() != 0 {
		e.failures.Store(0)
	}
	if s := e.strikes.Load(); s > 0 {
		e.strikes.CompareAndSwap(s, s-1)
	}
}

// ejector decides on ejections, one at a time.
type ejector struct {
	Ejection
	mu sync.Mutex
}

// failed counts a failure of e, and ejects it if it has failed too often and
// at least half of the revision's instances, rounded up, would remain.
func (j *ejector) failed(b *backend, e *endpoint, steady int64) (ejected bool) {
	if j.Failures < 0 || e.failures.Add(1) < int32(j.Failures) {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.ejected.Load() > steady {
		return false
	}
	out := 1
	for _, o := range b.endpoints {
		if o != e && o.ejected.Load() > steady {
			out++
		}
	}
	if out > len(b.endpoints)/2 {
		return false
	}
	d := j.Base << min(e.strikes.Load(), 20)
	if d <= 0 || d > j.Max {
		d = j.Max
	}
	e.strikes.Add(1)
	e.failures.Store(0)
	e.ejected.Store(steady + int64(d))
	return true
}

// Load is what one instance carries at this moment.
type Load struct {
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Revision    string `json:"revision"`
	Endpoint    string `json:"endpoint"`
	InFlight    int64  `json:"inFlight"`
	Ejected     bool   `json:"ejected,omitempty"` // left alone after failures
	Removed     bool   `json:"removed,omitempty"` // not in the table any more, draining
}

// drained forgets removed endpoints that have nothing left to do.
func drained(es []*endpoint) []*endpoint {
	return slices.DeleteFunc(es, func(e *endpoint) bool {
		if e.busy.Load() > 0 {
			return false
		}
		e.closeIdle()
		return true
	})
}
