package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/flyball-dev/flyball/bench/stage"
)

const (
	batch       = 64
	connections = 16
	patience    = 2 * time.Minute
)

type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

func newAlert(service string, n int) alert {
	now := time.Now()
	return alert{
		Labels:      map[string]string{"alertname": "Burning", "service": service, "team": "ops", "severity": "critical", "instance": fmt.Sprintf("10.0.%d.%d:9100", n/256%256, n%256), "n": strconv.Itoa(n)},
		Annotations: map[string]string{"summary": service + " burns", "runbook_url": "https://example.org/burning"},
		StartsAt:    now, EndsAt: now.Add(time.Hour),
	}
}

var client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// errLater is an answer that asks to send again.
var errLater = errors.New("not now")

// post sends alerts to a server.
func post(ctx context.Context, address string, alerts []alert) error {
	body, err := json.Marshal(alerts)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/api/v2/alerts", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	switch {
	case res.StatusCode < 300:
		return nil
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable:
		return errLater
	}
	return fmt.Errorf("POST /api/v2/alerts: %s: %s", res.Status, text)
}

// send posts all alerts, and again what was not taken, as Prometheus does.
func send(ctx context.Context, address string, alerts []alert) error {
	var next atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			for {
				from := int(next.Add(batch)) - batch
				if from >= len(alerts) {
					return
				}
				part := alerts[from:min(from+batch, len(alerts))]
				for {
					err := post(ctx, address, part)
					if err == nil {
						break
					}
					if !errors.Is(err, errLater) || ctx.Err() != nil {
						failed.Store(err)
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	err, _ := failed.Load().(error)
	return err
}

func ingest(ctx context.Context, o options, p peer, _ *sink) (string, error) {
	alerts := make([]alert, o.ingest)
	for n := range alerts {
		alerts[n] = newAlert(fmt.Sprintf("svc-%03d", n%400), n)
	}
	before, err := stage.CPU(p.pid())
	if err != nil {
		return "", err
	}
	start := time.Now()
	if err := send(ctx, p.address(), alerts); err != nil {
		return "", err
	}
	took := time.Since(start)
	// What it does about them later is part of the price.
	time.Sleep(5 * time.Second)
	after, err := stage.CPU(p.pid())
	return fmt.Sprintf("%.0f\t%.2f s", float64(o.ingest)/took.Seconds(), (after-before).Seconds()*10_000/float64(o.ingest)), err
}

func pages(ctx context.Context, o options, p peer, s *sink) (string, error) {
	n := int(o.pages.Seconds()) * o.rate
	sent := make([]time.Time, n)
	var wg sync.WaitGroup
	var failed atomic.Value
	start := time.Now()
	for i := range n {
		at := start.Add(time.Duration(i) * time.Second / time.Duration(o.rate))
		time.Sleep(time.Until(at))
		sent[i] = at
		wg.Go(func() {
			if err := post(ctx, p.address(), []alert{newAlert(fmt.Sprintf("p-%05d", i), i)}); err != nil {
				failed.Store(err)
			}
		})
	}
	wg.Wait()
	if err, ok := failed.Load().(error); ok {
		return "", err
	}
	if err := s.wait(ctx, n); err != nil {
		return "", err
	}
	var took []time.Duration
	for i := range n {
		took = append(took, s.first(fmt.Sprintf("p-%05d", i)).Sub(sent[i]))
	}
	slices.Sort(took)
	return fmt.Sprintf("%.0f ms\t%.0f ms", ms(took[n/2]), ms(took[n*99/100])), nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func stormOf(o options) []alert {
	alerts := make([]alert, o.storm)
	for n := range alerts {
		alerts[n] = newAlert(fmt.Sprintf("s-%04d", n%o.groups), n)
	}
	return alerts
}

func storm(ctx context.Context, o options, p peer, s *sink) (string, error) {
	alerts := stormOf(o)
	start := time.Now()
	if err := send(ctx, p.address(), alerts); err != nil {
		return "", err
	}
	answered := time.Since(start)
	waited := s.wait(ctx, o.groups)
	lost := o.groups - s.groups()
	if waited != nil && lost == 0 {
		return "", waited
	}
	first, median, last := s.times(start)
	rss, err := memory(p.pid())
	raw, byID := s.duplicates()
	return fmt.Sprintf("%.1f s\t%.2f s\t%.1f s\t%.1f s\t%d\t%d\t%d\t%d MiB", answered.Seconds(), first.Seconds(), median.Seconds(), last.Seconds(), lost, raw, byID, rss>>20), err
}

// killed kills our server again and again while a storm comes in, in which
// groups begin all the time.
func killed(ctx context.Context, o options) error {
	s, err := newSink()
	if err != nil {
		return err
	}
	defer s.close()
	p, err := flyball(ctx, s)
	if err != nil {
		return err
	}
	defer p.close()
	size := max(o.storm/o.groups, 1) // of a group
	alerts := make([]alert, o.storm/o.kills*o.kills)
	for n := range alerts {
		alerts[n] = newAlert(fmt.Sprintf("k-%04d", n/size), n)
	}
	r := rand.New(rand.NewPCG(4, 2026))
	part := len(alerts) / o.kills
	for n := range o.kills {
		sending := make(chan error, 1)
		go func() { sending <- send(ctx, p.address(), alerts[n*part:(n+1)*part]) }()
		time.Sleep(time.Duration(r.Int64N(int64(400 * time.Millisecond))))
		if err := p.(*ours).kill(ctx); err != nil {
			return err
		}
		if err := <-sending; err != nil {
			return err
		}
		if (n+1)%10 == 0 {
			fmt.Fprintf(os.Stderr, "killed %d of %d times\n", n+1, o.kills)
		}
	}
	groups := (len(alerts) + size - 1) / size
	_ = s.wait(ctx, groups) // what is missing then is lost
	firing, err := p.(*ours).firing()
	if err != nil {
		return err
	}
	rss, err := memory(p.pid())
	if err != nil {
		return err
	}
	raw, byID := s.duplicates()
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "\nkill -9\talerts\tlost\tgroups\tlost\tduplicates raw\tby id\tRSS")
	fmt.Fprintf(out, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d MiB\n", o.kills, len(alerts), len(alerts)-firing, groups, groups-s.groups(), raw, byID, rss>>20)
	return out.Flush()
}

// memory is the resident set of a process in bytes.
func memory(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
