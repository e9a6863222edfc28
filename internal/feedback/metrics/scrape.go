package metrics

import (
	"context"
	"maps"
	"reflect"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// Jobs are what is declared, as the store's scraping wants it, in order of
// names.
func Jobs(ctx context.Context, r projection.Reader) ([]metric.Job, error) {
	specs, entries, err := catalog.List[Spec](ctx, r, KindScrapeTarget)
	if err != nil {
		return nil, err
	}
	var out []metric.Job
	for i, e := range entries {
		out = append(out, jobOf(e.Metadata.Name, specs[i]))
	}
	return out, nil
}

func jobOf(name string, s Spec) metric.Job {
	labels := metric.Labels{}
	maps.Copy(labels, s.Labels)
	for label, v := range map[string]string{"service": s.Service, "environment": s.Environment} {
		if v != "" {
			labels[label] = v
		}
	}
	return metric.Job{
		Name: name, Scheme: s.Scheme, Path: s.Path, Interval: s.Interval, Timeout: s.Timeout, Targets: s.Targets,
		Labels: labels, MaxSamples: s.SampleLimit, MaxBytes: maxBytes, Insecure: s.SkipVerify,
	}
}

// Keeper keeps what is scraped as declared. It is for one goroutine.
type Keeper struct {
	Reader  projection.Reader
	Scraper metric.Scraper

	applied []metric.Job
	once    bool
}

// Keep brings the scraper in line with what is declared.
func (k *Keeper) Keep(ctx context.Context) error {
	jobs, err := Jobs(ctx, k.Reader)
	if err != nil || k.once && reflect.DeepEqual(jobs, k.applied) {
		return err
	}
	if err := k.Scraper.Scrape(ctx, jobs); err != nil {
		return err
	}
	k.applied, k.once = jobs, true
	return nil
}
