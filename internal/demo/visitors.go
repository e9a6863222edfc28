package demo

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// visit is one kind of request.
type visit struct {
	name   string
	path   string
	cookie string
}

// visits is what twenty visitors in a row ask for: 70 % see the inventory, 20 %
// look at a cart without having one, 10 % at one they have.
var visits = []visit{
	{"home", "/", ""}, {"cart-none", "/cart", ""}, {"search", "/search?q=governor", ""}, {"home", "/", ""}, {"product", "/products/4", ""},
	{"home", "/", ""}, {"cart", "/cart", "1.3.9"}, {"product", "/products/11", ""}, {"home", "/", ""}, {"cart-none", "/cart", ""},
	{"search", "/search?q=brass", ""}, {"home", "/", ""}, {"cart-none", "/cart", ""}, {"home", "/", ""}, {"product", "/products/7", ""},
	{"home", "/", ""}, {"cart", "/cart", "2.12"}, {"search", "/search?q=l", ""}, {"home", "/", ""}, {"cart-none", "/cart", ""},
}

// patience is how long a visitor waits. It is longer than the proxy does, so
// that every request ends with an answer.
const patience = 15 * time.Second

// failure is a request that got no good answer.
type failure struct {
	At       time.Time `json:"at"` // of its departure
	Visit    string    `json:"visit"`
	Status   int       `json:"status,omitempty"`   // 0: no answer
	Revision string    `json:"revision,omitempty"` // that answered, as it says itself
	Cause    string    `json:"cause,omitempty"`    // as the shop says
	Error    string    `json:"error,omitempty"`
}

// maxFailures bounds what is kept of failures; more are counted as Flyball's.
const maxFailures = 200_000

// visitors is an open-model load: requests leave at their times, however long
// the ones before take. Times at which the machine was too busy are made up for
// at once.
type visitors struct {
	clock   clock.Clock
	address string // of the proxy
	host    string
	rate    float64 // per second
	client  *http.Client

	mu       sync.Mutex
	paused   bool
	resumed  chan struct{}
	total    int64 // ended, whatever became of them
	inFlight int64
	revision map[string]int64 // good and bad answers by revision
	failures []failure
	dropped  int64
	latest   time.Duration // longest delay of a departure
}

func newVisitors(c clock.Clock, address, host string, rate float64) *visitors {
	return &visitors{clock: c, address: address, host: host, rate: rate, revision: map[string]int64{}, resumed: make(chan struct{}, 1), client: &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			MaxIdleConns:        512,
			MaxIdleConnsPerHost: 512,
			IdleConnTimeout:     30 * time.Second,
			DisableCompression:  true,
		},
	}}
}

// run sends visitors until ctx is done; then it waits for those under way.
func (v *visitors) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	start, n := v.clock.Now(), 0
	for {
		due := start.Add(time.Duration(float64(n) / v.rate * float64(time.Second)))
		if wait := due.Sub(v.clock.Now()); wait > 0 {
			if clock.Sleep(ctx, v.clock, wait) != nil {
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		if v.depart(due) {
			wg.Go(func() { v.visit(visits[n%len(visits)]) })
			n++
			continue
		}
		select {
		case <-v.resumed:
			start, n = v.clock.Now(), 0
		case <-ctx.Done():
			return
		}
	}
}

// depart counts a request as under way, unless the visitors pause.
func (v *visitors) depart(due time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.paused {
		return false
	}
	v.inFlight++
	v.latest = max(v.latest, v.clock.Now().Sub(due))
	return true
}

// pause stops departures and waits until nobody is under way.
func (v *visitors) pause(ctx context.Context) error {
	v.mu.Lock()
	v.paused = true
	v.mu.Unlock()
	for {
		v.mu.Lock()
		left := v.inFlight
		v.mu.Unlock()
		if left == 0 {
			return nil
		}
		if err := clock.Sleep(ctx, v.clock, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

func (v *visitors) resume() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.paused {
		v.paused = false
		v.resumed <- struct{}{}
	}
}

func (v *visitors) visit(kind visit) {
	at := v.clock.Now()
	status, revision, cause, err := v.get(kind)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.inFlight--
	v.total++
	v.revision[revision]++
	if err == nil && status < http.StatusInternalServerError && status >= http.StatusOK && status < http.StatusMultipleChoices {
		return
	}
	f := failure{At: at, Visit: kind.name, Status: status, Revision: revision, Cause: cause}
	if err != nil {
		f.Error = err.Error()
	}
	if len(v.failures) == maxFailures {
		v.dropped++
		return
	}
	v.failures = append(v.failures, f)
}

func (v *visitors) get(kind visit) (status int, revision, cause string, err error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+v.address+kind.path, nil)
	if err != nil {
		return 0, "", "", err
	}
	req.Host = v.host
	if kind.cookie != "" {
		req.AddCookie(&http.Cookie{Name: "cart", Value: kind.cookie})
	}
	resp, err := v.client.Do(req)
	if err != nil {
		return 0, "", "", err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	err = errors.Join(err, resp.Body.Close())
	return resp.StatusCode, resp.Header.Get("Shop-Revision"), resp.Header.Get("Shop-Failure"), err
}

// tally is what is known of all requests that have ended.
type tally struct {
	total    int64
	failures []failure
	dropped  int64
	latest   time.Duration
}

func (v *visitors) tally() tally {
	v.mu.Lock()
	defer v.mu.Unlock()
	return tally{total: v.total, failures: append([]failure(nil), v.failures...), dropped: v.dropped, latest: v.latest}
}
