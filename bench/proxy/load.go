package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// measure is one round of one proxy.
type measure struct {
	requests, failed, canary int
	cpu                      time.Duration
	p50, p99                 time.Duration
	firstError               error
}

// measure loads a proxy for one round, after a short warm-up.
func (b *bench) measure(p *proc) (measure, error) {
	warm := b.load(p.addr, time.Second)
	if warm.requests == warm.failed {
		return measure{}, fmt.Errorf("no request succeeds: %w", warm.firstError)
	}
	before, err := p.cpu()
	if err != nil {
		return measure{}, err
	}
	m := b.load(p.addr, b.round)
	after, err := p.cpu()
	m.cpu = after - before
	return m, err
}

// load sends requests at a fixed rate for a time. Request i is due at
// start + i/rate; a free connection takes the next that is due. With all
// connections busy, requests wait, and their latency tells.
func (b *bench) load(addr string, length time.Duration) measure {
	n := int(length.Seconds() * float64(b.rate))
	due := make(chan time.Time, n)
	out := make([]sample, b.conns)
	var wg sync.WaitGroup
	for i := range out {
		wg.Add(1)
		go func() {
			defer wg.Done()
			out[i] = client(addr, due, n/b.conns)
		}()
	}
	start := time.Now()
	for i := range n {
		at := start.Add(time.Duration(i) * time.Second / time.Duration(b.rate))
		if d := time.Until(at); d > 0 {
			time.Sleep(d)
		}
		due <- at
	}
	close(due)
	wg.Wait()
	return collect(out)
}

// sample is what one connection saw.
type sample struct {
	latencies      []time.Duration
	failed, canary int
	err            error
}

func collect(samples []sample) measure {
	var m measure
	var all []time.Duration
	for _, s := range samples {
		all = append(all, s.latencies...)
		m.failed += s.failed
		m.canary += s.canary
		if m.firstError == nil {
			m.firstError = s.err
		}
	}
	m.requests = len(all)
	slices.Sort(all)
	if n := len(all); n > 0 {
		m.p50, m.p99 = all[n/2], all[n*99/100]
	}
	return m
}

// client answers due requests over one kept-alive connection, opening a new
// one after a failure.
func client(addr string, due <-chan time.Time, expect int) sample {
	s := sample{latencies: make([]time.Duration, 0, expect+expect/2)}
	request := []byte("GET /item/42?q=a HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n")
	var conn net.Conn
	var in *bufio.Reader
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for at := range due {
		err := error(nil)
		if conn == nil {
			if conn, err = net.Dial("tcp", addr); err == nil {
				in = bufio.NewReader(conn)
			}
		}
		var canary bool
		if err == nil {
			canary, err = exchange(conn, in, request)
		}
		s.latencies = append(s.latencies, time.Since(at))
		if canary {
			s.canary++
		}
		if err != nil {
			s.failed++
			if s.err == nil {
				s.err = err
			}
			if conn != nil {
				conn.Close()
				conn = nil
			}
		}
	}
	return s
}

var errStatus = errors.New("unexpected status")

func exchange(conn net.Conn, in *bufio.Reader, request []byte) (canary bool, err error) {
	if _, err := conn.Write(request); err != nil {
		return false, err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return false, err
	}
	n, err := discard(resp)
	if err != nil {
		return false, err
	}
	if resp.StatusCode != http.StatusOK || n == 0 {
		return false, fmt.Errorf("%w: %s", errStatus, resp.Status)
	}
	return resp.Header.Get("X-Revision") == "canary", nil
}
