package stage

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Load is requests to one host of the proxy: an open model, in which requests
// arrive at random (exponential gaps), whatever became of the ones before.
type Load struct {
	Sent   atomic.Int64
	Failed atomic.Int64 // answered 5xx, or not at all
	Broken atomic.Int64 // of those: answered 502, 503 or 504, or not at all; not by the service, that is
	stop   context.CancelFunc
	wait   sync.WaitGroup
}

// Drive starts requests to a host at a rate per second. The seed fixes when
// they are sent.
func Drive(traffic, host string, rate float64, seed uint64) *Load {
	ctx, stop := context.WithCancel(context.Background())
	l := &Load{stop: stop}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	gaps := rand.New(rand.NewPCG(seed, 1))
	l.wait.Go(func() {
		next := time.Now()
		for {
			next = next.Add(time.Duration(gaps.ExpFloat64() / rate * float64(time.Second)))
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(next)):
			}
			l.wait.Go(func() { l.send(client, traffic, host) })
		}
	})
	return l
}

func (l *Load) send(client *http.Client, traffic, host string) {
	l.Sent.Add(1)
	req, err := http.NewRequest(http.MethodGet, "http://"+traffic+"/", nil)
	if err != nil {
		l.Failed.Add(1)
		return
	}
	req.Host = host
	resp, err := client.Do(req)
	if err == nil {
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
	}
	if err != nil || resp.StatusCode >= http.StatusInternalServerError {
		l.Failed.Add(1)
	}
	if err != nil || resp.StatusCode > http.StatusInternalServerError {
		l.Broken.Add(1)
	}
}

// Stop ends the requests and waits for those under way.
func (l *Load) Stop() {
	l.stop()
	l.wait.Wait()
}
