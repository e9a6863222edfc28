package slo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// Declaring are the facts after which objectives are to be declared anew.
var Declaring = []string{resource.EventApplied, resource.EventDeleted, EventExcluded, EventCorrected, EventLifted}

// Adjusted is one record of what does not count against an objective, and why:
// maintenance that was announced, a probe that failed by itself.
type Adjusted struct {
	Objective   string    `json:"objective"` // key
	Service     string    `json:"service"`
	Team        string    `json:"team"`
	Environment string    `json:"environment"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	Bad         int64     `json:"bad,omitempty"` // of a correction: that many, the earliest; 0 is all
	Reason      string    `json:"reason"`
}

// AdjustmentLifted takes a record back.
type AdjustmentLifted struct {
	Objective  string `json:"objective"`
	Service    string `json:"service"`
	Adjustment string `json:"adjustment"` // ID of the event
	Reason     string `json:"reason"`
}

// The kinds of adjustments.
const (
	Excluded  = "excluded"  // the span's slots are gaps
	Corrected = "corrected" // bad events of the span are good
)

// Adjustment is a record as it stands.
type Adjustment struct {
	ID   string `json:"id"` // of the event
	Kind string `json:"kind"`
	Adjusted
	Author     string    `json:"author"`
	Recorded   time.Time `json:"recorded"`
	LiftedBy   string    `json:"lifted_by,omitempty"`
	LiftedAt   time.Time `json:"lifted_at,omitzero"`
	LiftedWhy  string    `json:"lifted_because,omitempty"`
	BadRemoved int64     `json:"bad_removed"` // bad events it takes out of the raw count, at present
}

// Short is the ID for people: eight digits of its hash.
func (a Adjustment) Short() string {
	sum := sha256.Sum256([]byte(a.ID))
	return hex.EncodeToString(sum[:4])
}

func (a Adjustment) holds() bool { return a.LiftedAt.IsZero() }

// touches reports whether the adjustment is about any part of [from, to).
func (a Adjustment) touches(from, to time.Time) bool { return a.From.Before(to) && from.Before(a.To) }

// Adjustments are the records about one objective, oldest first.
type Adjustments struct {
	Objective string       `json:"objective"`
	Items     []Adjustment `json:"items"`
}

// Holding are the records that were not lifted.
func (a Adjustments) Holding() []Adjustment {
	var out []Adjustment
	for _, v := range a.Items {
		if v.holds() {
			out = append(out, v)
		}
	}
	return out
}

// AdjustmentProjectionName is where records are folded, keyed by objective.
const AdjustmentProjectionName = "slo.adjustment"

// maxAdjustments bounds the records that hold of one objective.
const maxAdjustments = 500

// AdjustmentProjection folds the records of what does not count.
func AdjustmentProjection() *projection.Projection {
	return projection.Define(projection.Fold[Adjustments]{
		Name: AdjustmentProjectionName, Version: 1, Types: []string{EventExcluded, EventCorrected, EventLifted},
		Keys: func(e event.Event) []string {
			if key, ok := strings.CutPrefix(e.Subject, "objective/"); ok {
				return []string{key}
			}
			return nil
		},
		Apply: func(key string, s Adjustments, e event.Event) (Adjustments, error) {
			items := append([]Adjustment(nil), s.Items...)
			s.Objective = key
			if e.Type == EventLifted {
				d, err := event.Decode[AdjustmentLifted](e)
				for i := range items {
					if items[i].ID == d.Adjustment && items[i].holds() {
						items[i].LiftedAt, items[i].LiftedBy, items[i].LiftedWhy = e.Time, e.Actor, d.Reason
					}
				}
				s.Items = items
				return s, err
			}
			d, err := event.Decode[Adjusted](e)
			kind := Excluded
			if e.Type == EventCorrected {
				kind = Corrected
			}
			s.Items = append(items, Adjustment{ID: e.ID, Kind: kind, Adjusted: d, Author: e.Actor, Recorded: e.Time})
			return s, err
		},
	})
}

// AdjustmentsOf are the records about an objective.
func AdjustmentsOf(ctx context.Context, r projection.Reader, key string) (Adjustments, error) {
	s, _, err := projection.Get[Adjustments](ctx, r, AdjustmentProjectionName, key)
	s.Objective = key
	return s, err
}

// Adjust is a history of events as adjusted: slots that an exclusion touches
// are gaps, and in slots that a correction touches bad events are good. A slot
// counts whole, however little of it the record touches. The raw history is
// unchanged.
func Adjust(raw *Series, adjustments []Adjustment) *Series {
	adjusted, _ := adjust(raw, adjustments)
	return adjusted
}

// adjust also says how many bad events each record takes out; what two records
// cover, the earlier one takes.
func adjust(raw *Series, adjustments []Adjustment) (*Series, []int64) {
	removed := make([]int64, len(adjustments))
	if len(adjustments) == 0 {
		return raw, removed
	}
	out := &Series{width: raw.width, phase: raw.phase, scale: raw.scale, good: []int64{0}, total: []int64{0}}
	for i, n := range raw.index {
		good, total := raw.good[i+1]-raw.good[i], raw.total[i+1]-raw.total[i]
		excluded := false
		for j, a := range adjustments {
			if excluded || !a.touches(raw.start(n), raw.start(n+1)) {
				continue
			}
			bad := total - good
			if a.Kind == Excluded {
				excluded = true
			} else if a.Bad > 0 {
				bad = min(bad, a.Bad-removed[j])
			}
			removed[j] += bad
			good += bad
		}
		if !excluded {
			out.push(n, good, total)
		}
	}
	return out, removed
}
