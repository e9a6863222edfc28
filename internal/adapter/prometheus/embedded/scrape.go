package embedded

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	config_util "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flyball-dev/flyball/internal/adapter/outbound"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

var (
	_ metric.Scraper = (*Store)(nil)
	_ metric.Holding = (*Store)(nil)
)

// scraper runs Prometheus' scrape manager.
type scraper struct {
	manager *scrape.Manager
	sets    chan map[string][]*targetgroup.Group
	ended   chan struct{}
}

func newScraper(o Options, db *tsdb.DB) (*scraper, error) {
	options := &scrape.Options{
		HTTPClientOptions:        []config_util.HTTPClientOption{config_util.WithDialContextFunc(dialer(o.Sockets)), config_util.WithUserAgent("flyball")},
		DiscoveryReloadOnStartup: true,
		DiscoveryReloadInterval:  model.Duration(time.Second),
	}
	manager, err := scrape.NewManager(options, o.Logger, nil, db, nil, prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	s := &scraper{manager: manager, sets: make(chan map[string][]*targetgroup.Group), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		_ = manager.Run(s.sets) // never an error
	}()
	return s, nil
}

func (s *scraper) stop() {
	s.manager.Stop()
	<-s.ended
}

// Scrape makes these the targets, besides the store's own.
func (s *Store) Scrape(ctx context.Context, jobs []metric.Job) error {
	if _, err := s.use(); err != nil {
		return err
	}
	jobs = append(slices.Clone(s.o.Own), jobs...)
	cfg, err := configOf(jobs)
	if err != nil {
		return err
	}
	s.applying.Lock()
	defer s.applying.Unlock()
	if err := s.scraper.manager.ApplyConfig(cfg); err != nil {
		return problem.New(problem.Internal, "metrics.scrape", "%w", err)
	}
	sets := map[string][]*targetgroup.Group{}
	for _, j := range jobs {
		sets[j.Name] = []*targetgroup.Group{groupOf(j)}
	}
	select {
	case s.scraper.sets <- sets:
		return nil
	case <-s.scraper.ended:
		return problem.New(problem.Unavailable, "metrics.scrape", "the server is stopping")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// configOf is the configuration of Prometheus for jobs. It is written as text,
// since only what Prometheus has read has all its defaults; JSON is YAML.
func configOf(jobs []metric.Job) (*config.Config, error) {
	type job map[string]any
	list := []job{}
	for _, j := range jobs {
		list = append(list, job{
			"job_name": j.Name, "scheme": j.Scheme, "metrics_path": j.Path,
			"scrape_interval": model.Duration(j.Interval).String(), "scrape_timeout": model.Duration(min(j.Timeout, j.Interval)).String(),
			"sample_limit": j.MaxSamples, "body_size_limit": fmt.Sprintf("%dB", j.MaxBytes), "label_limit": 64, "label_value_length_limit": 4096,
			"follow_redirects": false, "tls_config": job{"insecure_skip_verify": j.Insecure},
		})
	}
	text, err := json.Marshal(job{"scrape_configs": list})
	if err != nil {
		return nil, problem.New(problem.Internal, "metrics.scrape", "%w", err)
	}
	cfg, err := config.Load(string(text), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, problem.New(problem.Invalid, "metrics.scrape", "%w", err)
	}
	return cfg, nil
}

func groupOf(j metric.Job) *targetgroup.Group {
	g := &targetgroup.Group{Source: j.Name, Labels: model.LabelSet{}}
	for name, v := range j.Labels {
		g.Labels[model.LabelName(name)] = model.LabelValue(v)
	}
	for _, address := range j.Targets {
		g.Targets = append(g.Targets, model.LabelSet{model.AddressLabel: model.LabelValue(address)})
	}
	return g
}

// Targets tells how each target is.
func (s *Store) Targets(context.Context) ([]metric.Target, error) {
	if _, err := s.use(); err != nil {
		return nil, err
	}
	var out []metric.Target
	for job, targets := range s.scraper.manager.TargetsActive() {
		for _, t := range targets {
			one := metric.Target{Job: job, Address: t.GetValue(model.AddressLabel), URL: t.URL().String(), Up: t.Health() == scrape.HealthGood, Last: t.LastScrape(), Took: t.LastScrapeDuration()}
			if err := t.LastError(); err != nil {
				one.LastError = err.Error()
			}
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b metric.Target) int {
		return cmp.Or(strings.Compare(a.Job, b.Job), strings.Compare(a.URL, b.URL))
	})
	return out, nil
}

// dialer connects to declared targets. The addresses of sockets lead to unix
// sockets; link-local addresses are refused, whatever name leads there: behind
// them are the credentials of cloud machines.
func dialer(sockets map[string]string) config_util.DialContextFunc {
	d := net.Dialer{Timeout: 10 * time.Second, Control: outbound.Control(outbound.Anywhere)}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if path, ok := sockets[address]; ok {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
		return d.DialContext(ctx, network, address)
	}
}
