package demo

import (
	"fmt"
	"net/http"
	"time"
)

// guilt says which failures are a known fault's, be it a bad change or the
// dependency that was stopped. A failure that fits none is Flyball's.
type guilt struct {
	name       string
	dependency bool
	revision   string          // of a bad change
	visits     map[string]bool // requests that the bad change never answers; empty: it answers with an error
	from, to   time.Time       // departures; to is zero while it lasts
}

// fits reports whether a failure is of this fault.
func (g guilt) fits(f failure) bool {
	if f.At.Before(g.from) || !g.to.IsZero() && f.At.After(g.to) {
		return false
	}
	switch {
	case g.dependency:
		// Only the shop itself can say so, in its answer.
		return f.Status == http.StatusServiceUnavailable && f.Cause == "inventory"
	case len(g.visits) > 0:
		// A request that is never answered carries no revision: it is known by
		// what was asked for, while that revision served its share. The stable
		// revision answers the same request in a millisecond.
		return g.visits[f.Visit] && f.Status == http.StatusGatewayTimeout
	}
	return f.Revision == g.revision && f.Status == http.StatusInternalServerError
}

// Requests is what became of the visitors' requests.
type Requests struct {
	Total              int64            `json:"total"`
	FailedByFlyball    int64            `json:"failed_by_flyball"` // neither by a bad change nor by the stopped dependency
	FailedByChange     map[string]int64 `json:"failed_by_change"`  // by step
	FailedByDependency int64            `json:"failed_by_dependency"`
	Unexplained        []failure        `json:"unexplained,omitempty"` // the first of those failed by Flyball
	LatestDeparture    float64          `json:"latest_departure_seconds"`
}

const maxUnexplained = 20

// settle finds out for each failure whose it was.
func settle(t tally, faults []guilt) Requests {
	r := Requests{Total: t.total, FailedByFlyball: t.dropped, FailedByChange: map[string]int64{}, LatestDeparture: t.latest.Seconds()}
	for _, f := range t.failures {
		g := culprit(f, faults)
		switch {
		case g == nil:
			r.FailedByFlyball++
			if len(r.Unexplained) < maxUnexplained {
				r.Unexplained = append(r.Unexplained, f)
			}
		case g.dependency:
			r.FailedByDependency++
		default:
			r.FailedByChange[g.name]++
		}
	}
	return r
}

func culprit(f failure, faults []guilt) *guilt {
	for i := range faults {
		if faults[i].fits(f) {
			return &faults[i]
		}
	}
	return nil
}

// Tell is the account in a line.
func (r Requests) Tell() string {
	changed := int64(0)
	for _, n := range r.FailedByChange {
		changed += n
	}
	return fmt.Sprintf("%d requests: %d failed by Flyball, %d by bad changes, %d by the stopped inventory", r.Total, r.FailedByFlyball, changed, r.FailedByDependency)
}
