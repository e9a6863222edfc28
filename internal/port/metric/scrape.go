package metric

import (
	"context"
	"time"
)

// Scraper fetches the metrics of targets into its own store, each at its
// interval. It asks no target that it was not told of, follows no redirect, and
// marks the series of a target that does not answer as stale.
type Scraper interface {
	// Scrape makes these the targets, in place of those before. Targets that stay
	// the same are scraped on without a break.
	Scrape(ctx context.Context, jobs []Job) error
	// Targets tells how each target is, in order of job and address.
	Targets(ctx context.Context) ([]Target, error)
}

// Job is targets that are scraped in the same way.
type Job struct {
	Name     string // unique; the label job
	Scheme   string // http or https
	Path     string
	Interval time.Duration
	Timeout  time.Duration // at most the interval
	Targets  []string      // host:port, which is the label instance
	Labels   Labels        // added to every sample
	// MaxSamples and MaxBytes bound one scrape; a larger one fails whole.
	MaxSamples int
	MaxBytes   int64
	// Insecure accepts any certificate.
	Insecure bool
}

// Target is how one target is.
type Target struct {
	Job       string
	Address   string
	URL       string
	Up        bool      // the last scrape succeeded
	Last      time.Time // of the last scrape; zero before the first
	Took      time.Duration
	LastError string
}

// Holding tells what a store of one's own holds: series with samples in the
// last hours, and bytes on disk.
type Holding interface {
	Holds() (series uint64, bytes int64)
}
