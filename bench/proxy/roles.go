package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/agent/proxy"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// role runs this program as one of the parts.
func role(name string, args []string) {
	var err error
	switch {
	case name == "backend" && len(args) == 3:
		err = backendRole(args[0], args[1], args[2])
	case name == "flyball" && len(args) == 5:
		err = flyballRole(args[0], args[1], args[2], args[3], args[4])
	default:
		err = fmt.Errorf("no role %q with %d arguments", name, len(args))
	}
	fmt.Fprintln(os.Stderr, "bench/proxy:", name, err)
	os.Exit(1)
}

// backendRole is a revision that does next to nothing.
func backendRole(addr, revision, size string) error {
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	body := bytes.Repeat([]byte("x"), n)
	return http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("X-Revision", revision)
		h.Set("Content-Type", "text/plain")
		h.Set("Content-Length", size)
		// The client may be gone.
		_, _ = w.Write(body)
	}))
}

// flyballRole is our proxy as the agent runs it: bins are spooled, fetched and
// acknowledged each second.
func flyballRole(addr, control, stable, canary, spool string) error {
	p, err := proxy.New(proxy.Config{Clock: clock.Wall(), Spool: spool})
	if err != nil {
		return err
	}
	apply := func(weight int) error {
		return p.Apply(proxy.Table{Routes: []proxy.Route{{
			Service: "shop", Environment: "production", Thresholds: []time.Duration{100 * time.Millisecond, 300 * time.Millisecond},
			Backends: []proxy.Backend{
				{Revision: "stable", Weight: proxy.FullWeight - weight, Endpoints: []string{stable}, Stable: true},
				{Revision: "canary", Weight: weight, Endpoints: []string{canary}},
			},
		}}})
	}
	if err := apply(1000); err != nil {
		return err
	}
	var counted counts
	go func() {
		for after := int64(0); ; time.Sleep(time.Second) {
			for _, b := range p.Bins(after, 0) {
				counted.add(b)
				after = b.Seq
			}
			p.Ack(after)
		}
	}()
	go func() {
		fmt.Fprintln(os.Stderr, http.ListenAndServe(control, controlHandler(p, apply, &counted)))
	}()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return p.Serve(l)
}

func controlHandler(p *proxy.Proxy, apply func(int) error, counted *counts) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /weight", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.FormValue("canary"))
		if err == nil {
			err = apply(n)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) { counted.write(w) })
	mux.HandleFunc("GET /memory", func(w http.ResponseWriter, _ *http.Request) {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		for line := range strings.Lines(string(status)) {
			if strings.HasPrefix(line, "VmRSS") {
				fmt.Fprint(w, line)
			}
		}
		fmt.Fprintln(w, "goroutines", runtime.NumGoroutine())
	})
	mux.Handle("GET /metrics", p.Metrics())
	return mux
}

func discard(resp *http.Response) (int64, error) {
	defer resp.Body.Close()
	return io.Copy(io.Discard, resp.Body)
}
