package traffic

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/port/workload"
)

// Router splits requests.
type Router interface {
	// Shift makes a split the one in effect for its service and environment.
	Shift(ctx context.Context, split Split) error
	// Refresh renews the lease of the present split from now. It is a conflict
	// once the lease has lapsed; without a lease it does nothing.
	Refresh(ctx context.Context, service, environment string) error
	// Remove takes a service's route away; one that is not there is no error.
	Remove(ctx context.Context, service, environment string) error
	// Observe lists splits as they are. Empty names match all.
	Observe(ctx context.Context, service, environment string) ([]Observation, error)
	// Capabilities says what this router can do.
	Capabilities() Capabilities
}

// Capabilities of a router.
type Capabilities struct {
	Name          string        `json:"name"`
	Leases        bool          `json:"leases"`          // lapses by itself; without, the control plane must watch
	MinStep       int           `json:"min_step"`        // smallest weight in basis points that can be met
	BinWidth      time.Duration `json:"bin_width_ns"`    // of the counts this router gives; 0: it counts nothing
	CountsRouted  bool          `json:"counts_routed"`   // requests are counted per revision by the router itself
	InFlightKnown bool          `json:"in_flight_known"` // Observation.InFlight is filled
}

// Whole is all traffic, in basis points.
const Whole = 10_000

// Split says which requests belong to a service and how they are shared.
type Split struct {
	Service     string          `json:"service"`
	Environment string          `json:"environment"`
	Host        string          `json:"host,omitempty"`          // host name without port; empty matches any
	PathPrefix  string          `json:"path_prefix,omitempty"`   // empty is /
	Timeout     time.Duration   `json:"timeout_ns,omitempty"`    // of one request, answered 504 after; 0: the router's default
	Limit       time.Duration   `json:"limit_ns,omitempty"`      // a request open for longer is bad, finished or not; 0: the router's default; at most Timeout
	Thresholds  []time.Duration `json:"thresholds_ns,omitempty"` // latency objectives to count against, ascending, at most Limit
	Shares      []Share         `json:"shares"`
	Stable      string          `json:"stable"`             // revision that everything falls back to; has a share, perhaps of 0
	Lease       time.Duration   `json:"lease_ns,omitempty"` // 0: no lease
}

// Share is a revision's part of the traffic.
type Share struct {
	Revision string `json:"revision"`
	Weight   int    `json:"weight"` // basis points
}

// Observation is a split as it is in effect.
type Observation struct {
	Split                    // as last asked for
	Effective []Share        `json:"effective"`           // what requests get now; differs from Shares after a lapse
	LeaseEnds time.Time      `json:"lease_ends,omitzero"` // zero without a lease
	Lapsed    bool           `json:"lapsed"`              // the lease ran out: all traffic is on Stable
	LapsedAt  time.Time      `json:"lapsed_at,omitzero"`  //
	InFlight  map[string]int `json:"in_flight,omitempty"` // open requests by revision
	Endpoints map[string]int `json:"endpoints,omitempty"` // ready endpoints by revision
}

// MaxThresholds bounds the latency objectives of one split.
const MaxThresholds = 8

// Validate says what is wrong with a split, or nil.
func (s Split) Validate() error {
	name := s.Service + "/" + s.Environment
	for _, n := range []string{s.Service, s.Environment, s.Stable} {
		if err := workload.ValidateName(n); err != nil {
			return fmt.Errorf("split %s: %w", name, err)
		}
	}
	switch {
	case s.Timeout < 0 || s.Limit < 0 || s.Lease < 0:
		return fmt.Errorf("split %s: a negative duration", name)
	case s.PathPrefix != "" && !strings.HasPrefix(s.PathPrefix, "/"):
		return fmt.Errorf("split %s: path prefix %q does not begin with /", name, s.PathPrefix)
	case strings.ContainsAny(s.Host, ":/ "):
		return fmt.Errorf("split %s: host %q: want a host name without port", name, s.Host)
	case len(s.Thresholds) > MaxThresholds:
		return fmt.Errorf("split %s: %d latency thresholds, want at most %d", name, len(s.Thresholds), MaxThresholds)
	}
	for i, t := range s.Thresholds {
		if t <= 0 || i > 0 && t <= s.Thresholds[i-1] {
			return fmt.Errorf("split %s: latency thresholds must be positive and ascending", name)
		}
	}
	return s.validateShares(name)
}

func (s Split) validateShares(name string) error {
	sum, stable := 0, false
	seen := map[string]bool{}
	for _, share := range s.Shares {
		if err := workload.ValidateName(share.Revision); err != nil {
			return fmt.Errorf("split %s: %w", name, err)
		}
		if share.Weight < 0 || share.Weight > Whole {
			return fmt.Errorf("split %s: weight of %s is %d, want 0 to %d basis points", name, share.Revision, share.Weight, Whole)
		}
		if seen[share.Revision] {
			return fmt.Errorf("split %s: revision %s has two shares", name, share.Revision)
		}
		seen[share.Revision] = true
		sum += share.Weight
		stable = stable || share.Revision == s.Stable
	}
	if sum != Whole {
		return fmt.Errorf("split %s: weights sum to %d, want %d basis points", name, sum, Whole)
	}
	if !stable {
		return fmt.Errorf("split %s: stable revision %s has no share (0 is allowed)", name, s.Stable)
	}
	return nil
}
