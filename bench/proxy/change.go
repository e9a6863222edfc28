package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/agent/proxy"
)

// counts is what our proxy's bins add up to.
type counts struct {
	mu                       sync.Mutex
	Requests, Errors, Faults int64
}

func (c *counts) add(b proxy.Bin) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Requests += b.Requests
	c.Errors += b.Errors
	c.Faults += b.Faults
}

func (c *counts) write(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// The reader may be gone.
	_ = json.NewEncoder(w).Encode(map[string]int64{"requests": c.Requests, "errors": c.Errors, "faults": c.Faults})
}

// changing loads our proxy while its weights change, and requires that no
// request fails and that the bins count every one.
func (b *bench) changing() (bool, error) {
	p, err := b.flyball()
	if err != nil {
		return false, err
	}
	done := make(chan struct{})
	var changes int
	var changeErr error
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		tick := time.NewTicker(b.every)
		defer tick.Stop()
		for changeErr == nil {
			select {
			case <-done:
				return
			case <-tick.C:
				changeErr = b.setWeight(changes * 700 % (proxy.FullWeight + 1))
				changes++
			}
		}
	}()
	m := b.load(p.addr, b.change)
	close(done)
	wg.Wait()
	if changeErr != nil {
		return false, changeErr
	}
	counted, err := b.counted(int64(m.requests))
	if err != nil {
		return false, err
	}
	ok := m.failed == 0 && counted["requests"] == int64(m.requests) && counted["errors"] == 0 && counted["faults"] == 0
	fmt.Printf("weights changed %d times in %v at %d requests/s: %d requests, %d failed (%v), %d counted, %d errors, %d faults, p50 %v, p99 %v\n",
		changes, b.change, b.rate, m.requests, m.failed, m.firstError, counted["requests"], counted["errors"], counted["faults"], m.p50, m.p99)
	return ok, nil
}

// counted waits until the bins have had time to count all requests.
func (b *bench) counted(want int64) (map[string]int64, error) {
	limit := time.Now().Add(10 * time.Second)
	for {
		resp, err := http.Get("http://" + b.control + "/counts")
		if err != nil {
			return nil, err
		}
		var c map[string]int64
		err = json.NewDecoder(resp.Body).Decode(&c)
		resp.Body.Close()
		if err != nil || c["requests"] >= want || time.Now().After(limit) {
			return c, err
		}
		time.Sleep(200 * time.Millisecond)
	}
}
