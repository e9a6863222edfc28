package app

import (
	"context"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/prometheus/embedded"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/feedback/metrics"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// Metrics is a metrics store of the server's own, with what is mounted of it.
type Metrics interface {
	metric.Engine
	metric.Discovery
	metric.Scraper
	metric.Holding
	// API answers as Prometheus' query API does, at embedded.Paths.
	API(version string) http.Handler
	RemoteWrite() http.Handler
	OTLP() http.Handler
}

// MetricsKept bounds the metrics store.
type MetricsKept struct {
	Retention time.Duration // default 30 days
	MaxBytes  int64         // default 2 GB
}

func (k MetricsKept) filled() MetricsKept {
	if k.Retention == 0 {
		k.Retention = 30 * 24 * time.Hour
	}
	if k.MaxBytes == 0 {
		k.MaxBytes = 2e9
	}
	return k
}

// parseMetricsKept reads the flags of flyball up.
func parseMetricsKept(retention, size string) (k MetricsKept, err error) {
	if k.Retention, err = resource.ParseDuration(retention); err != nil || k.Retention < 3*time.Hour || k.Retention > 3660*24*time.Hour {
		return k, problem.New(problem.Invalid, "up", "--metrics-retention %q is no duration between 3h and 10 years", retention).WithNext("write it like 30d")
	}
	factor := map[string]float64{"MB": 1e6, "GB": 1e9, "TB": 1e12}
	number, unit := strings.TrimRight(size, "MGTB"), strings.TrimLeft(size, "0123456789.")
	n, err := strconv.ParseFloat(number, 64)
	if k.MaxBytes = int64(n * factor[unit]); err != nil || k.MaxBytes < 50e6 || n > 1e6 {
		return k, problem.New(problem.Invalid, "up", "--metrics-size %q is no size of at least 50MB", size).WithNext("write it like 2GB")
	}
	return k, nil
}

// openMetrics makes the embedded store, which opens when it is first used. The
// agent's own metrics are scraped into it through its socket.
func openMetrics(o UpOptions, state, agentSocket string) *embedded.Store {
	const agent = "agent:80" // as it is dialled
	kept := o.Metrics.filled()
	return embedded.New(embedded.Options{
		Dir: filepath.Join(state, "metrics"), Retention: kept.Retention, MaxBytes: kept.MaxBytes, Clock: o.Clock, Logger: o.Logger,
		Sockets: map[string]string{agent: agentSocket},
		Own: []metric.Job{{
			Name: "flyball", Scheme: "http", Path: "/metrics", Interval: 15 * time.Second, Timeout: 5 * time.Second,
			Targets: []string{"agent"}, MaxSamples: 100_000, MaxBytes: 64 << 20,
		}},
	})
}

// metricsDesk is what the operations on metrics work with.
func (a *App) metricsDesk() *metrics.Desk {
	kept := a.cfg.Metrics.filled()
	d := &metrics.Desk{Retention: kept.Retention, MaxBytes: kept.MaxBytes}
	if m := a.ports.Metrics; m != nil {
		d.Scraper, d.Holding = m, m
		a.parts.scrapes = &metrics.Keeper{Reader: a.env.Reader, Scraper: m}
	}
	return d
}

// scrape keeps what is scraped as declared.
func (a *App) scrape(ctx context.Context) error {
	if a.parts.scrapes == nil {
		return nil
	}
	return a.parts.scrapes.Keep(ctx)
}

// Paths at which metrics are written: Prometheus' own, and that of OTLP.
var (
	remoteWritePath = "POST /api/v1/write"
	otlpPaths       = []string{"POST /api/v1/otlp/v1/metrics", "POST /v1/metrics"}
)

// mountMetrics mounts the protocols of metrics beside the API.
func (a *App) mountMetrics(mux *http.ServeMux, f *api.API, version string) {
	m := a.ports.Metrics
	if m == nil {
		return
	}
	query := asking(f, m.API(version))
	for _, path := range embedded.Paths {
		mux.Handle(path, query)
	}
	mux.Handle(remoteWritePath, writing(f, m.RemoteWrite()))
	for _, path := range otlpPaths {
		mux.Handle(path, writing(f, m.OTLP()))
	}
}

// asking lets viewers ask. Prometheus' clients send long questions by POST;
// they are reading all the same.
func asking(f *api.API, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		as := r.Clone(r.Context())
		if as.Method == http.MethodPost {
			as.Method = http.MethodGet
		}
		if err := may(f, as, operation.Viewer); err != nil {
			f.Problem(w, r, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// writing lets those write who may deliver, everywhere: samples say by their
// labels whose they are, and anybody can write labels.
func writing(f *api.API, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := may(f, r, operation.Developer); err != nil {
			f.Problem(w, r, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func may(f *api.API, r *http.Request, role operation.Role) error {
	caller, err := f.Caller(r)
	if err != nil || caller.May(role, operation.Scope{}) {
		return err
	}
	return problem.New(problem.Denied, "metrics", "%s may not do that: it takes the role %s everywhere", caller.Name, role).
		WithNext("ask an admin for a token: flyball token create")
}
