package contract

import (
	"fmt"
	"strings"

	"github.com/flyball-dev/flyball/internal/port/traffic"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// Document is everything an agent should do.
type Document struct {
	// Epoch is of the lease of whoever writes: a writer that has lost its lease
	// has an older one, and is refused.
	Epoch int64 `json:"epoch"`
	// Generation counts documents, from 1.
	Generation int64    `json:"generation"`
	Revisions  []Wanted `json:"revisions"`
	Routes     []Route  `json:"routes"`
}

// Wanted is a revision that should run.
type Wanted struct {
	workload.Revision
	Restart string `json:"restart,omitempty"` // instances started under another token are replaced
}

// Route is a split that should be in effect.
type Route struct {
	traffic.Split
	// Issued is the generation that last shifted this route. The lease runs from
	// when the agent first sees it: a document that changes something else
	// renews nothing.
	Issued int64 `json:"issued"`
}

// Bounds of a document.
const (
	MaxBytes     = 8 << 20
	MaxRevisions = 1_000
	MaxRoutes    = 1_000
)

// Key names what a route is of.
type Key struct{ Service, Environment string }

// Key of the route.
func (r Route) Key() Key { return Key{r.Service, r.Environment} }

// Validate says what is wrong with a document, or nil.
func (d Document) Validate() error {
	switch {
	case d.Epoch < 0 || d.Generation < 1:
		return fmt.Errorf("epoch %d, generation %d: want at least 0 and 1", d.Epoch, d.Generation)
	case len(d.Revisions) > MaxRevisions:
		return fmt.Errorf("%d revisions, at most %d are possible", len(d.Revisions), MaxRevisions)
	case len(d.Routes) > MaxRoutes:
		return fmt.Errorf("%d routes, at most %d are possible", len(d.Routes), MaxRoutes)
	}
	revisions := map[workload.Ref]bool{}
	for _, w := range d.Revisions {
		if err := w.Revision.Validate(); err != nil {
			return err
		}
		if revisions[w.Ref] {
			return fmt.Errorf("revision %s is listed twice", w.Ref)
		}
		revisions[w.Ref] = true
	}
	return d.validateRoutes(revisions)
}

func (d Document) validateRoutes(revisions map[workload.Ref]bool) error {
	type place struct{ host, prefix string }
	services, places := map[Key]bool{}, map[place]string{}
	for _, r := range d.Routes {
		if err := r.Split.Validate(); err != nil {
			return err
		}
		name := r.Service + "/" + r.Environment
		if services[r.Key()] {
			return fmt.Errorf("%s is routed twice", name)
		}
		services[r.Key()] = true
		here := place{strings.ToLower(r.Host), "/" + strings.Trim(r.PathPrefix, "/")}
		if other, taken := places[here]; taken {
			return fmt.Errorf("%s and %s are routed by the same host %q and path %q", other, name, here.host, here.prefix)
		}
		places[here] = name
		for _, s := range r.Shares {
			ref := workload.Ref{Service: r.Service, Environment: r.Environment, Revision: s.Revision}
			if s.Weight > 0 && !revisions[ref] {
				return fmt.Errorf("%s has %d basis points of traffic but is not among the revisions", ref, s.Weight)
			}
		}
		stable := workload.Ref{Service: r.Service, Environment: r.Environment, Revision: r.Stable}
		if !revisions[stable] {
			return fmt.Errorf("the stable revision %s is not among the revisions", stable)
		}
	}
	return nil
}

// Observed is how everything is.
type Observed struct {
	Epoch      int64                 `json:"epoch"`
	Generation int64                 `json:"generation"`
	Workloads  []workload.Status     `json:"workloads"`
	Routes     []traffic.Observation `json:"routes"`
}

// Refresh asks for a lease to run anew from now.
type Refresh struct {
	Epoch       int64  `json:"epoch"`
	Service     string `json:"service"`
	Environment string `json:"environment"`
}

// Ack acknowledges bins up to and including Seq.
type Ack struct {
	Seq int64 `json:"seq"`
}
