package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/budget"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

// kinds are the rows and columns of the confusion table.
var kinds = []string{budget.KindChange, budget.KindFlag, budget.KindDependency, budget.KindIncident, budget.KindBackground}

// score compares ledgers with the truth.
type score struct {
	runs                int
	total, right        float64               // bad events, and those in the share they belong to
	caused, causedRight float64               // of them, those that a cause made bad
	story               string                // of one service, cause by cause
	worst               float64               // share that is right of the worst service
	charged             map[[2]string]float64 // bad events by kind of whose they were, and of who was charged
}

func (s *score) add(o score) {
	if s.runs == 0 || o.worst < s.worst {
		s.worst = o.worst
	}
	s.runs += o.runs
	s.total += o.total
	s.right += o.right
	s.caused += o.caused
	s.causedRight += o.causedRight
	if s.charged == nil {
		s.charged = map[[2]string]float64{}
	}
	for k, v := range o.charged {
		s.charged[k] += v
	}
}

// play simulates a scenario with some seeds and scores the ledgers.
func play(s scenario, seed uint64, seeds, days int, show bool) (score, error) {
	var sum score
	for i := range seeds {
		w := newWorld(seed+uint64(i), days)
		s.plant(w)
		w.run()
		one, err := w.score(days)
		if show {
			fmt.Printf("seed %d\n%s", seed+uint64(i), one.story)
		}
		if err != nil {
			return sum, fmt.Errorf("%s, seed %d: %w", s.name, seed+uint64(i), err)
		}
		sum.add(one)
	}
	return sum, nil
}

// objective is what the simulated services promise.
func objective(days int) (*slo.Objective, error) {
	target, err := slo.ParseDecimal("0.998")
	return &slo.Objective{Service: "shop", Environment: "prod", Name: "availability", Target: target, Method: slo.Occurrences,
		Window: slo.Window{Rolling: time.Duration(days) * 24 * time.Hour}, Indicator: slo.Indicator{Kind: slo.Availability}, Weight: slo.One}, err
}

// ledger is what the ledger makes of a world.
func (w *world) ledger(days int) (budget.Ledger, error) {
	o, err := objective(days)
	if err != nil {
		return budget.Ledger{}, err
	}
	raw := slo.NewSeries(time.Minute, 0)
	for _, m := range w.arms {
		total, bad := int64(0), int64(0)
		for _, a := range m.Arms {
			total, bad = total+a.Total, bad+a.Bad
		}
		if err := raw.Add(m.Time, total-bad, total); err != nil {
			return budget.Ledger{}, err
		}
	}
	e := budget.Entry{Objective: o, Raw: raw, Arms: w.arms, Causes: w.causes, Now: at(w.minutes)}
	if w.blind {
		e.Arms = nil
	}
	return budget.Book(e)
}

// score compares the ledger's shares with the true ones. What a share has too
// much was taken from those that have too little, in proportion.
func (w *world) score(days int) (score, error) {
	l, err := w.ledger(days)
	if err != nil {
		return score{}, err
	}
	out := score{runs: 1, charged: map[[2]string]float64{}}
	truth, charged := map[string]float64{}, map[string]float64{}
	for m := w.history; m < w.minutes; m++ {
		for cause, bad := range w.truth[m] {
			truth[cause] += bad
		}
	}
	for _, s := range l.Shares {
		charged[s.Kind+"/"+s.Name] += float64(s.Bad)
	}
	names := map[string]bool{}
	for c := range truth {
		names[c] = true
	}
	for c := range charged {
		names[c] = true
	}
	surplus := 0.0
	for _, c := range slices.Sorted(maps.Keys(names)) {
		if max(truth[c], charged[c]) > 0 {
			out.story += fmt.Sprintf("  %-28s made bad %7.0f  charged %7.0f\n", c, truth[c], charged[c])
		}
		right := min(truth[c], charged[c])
		out.total += truth[c]
		out.right += right
		out.charged[[2]string{kindOf(c), kindOf(c)}] += right
		if kindOf(c) != budget.KindBackground {
			out.caused += truth[c]
			out.causedRight += right
		}
		surplus += max(0, charged[c]-truth[c])
	}
	for c := range names {
		for d := range names {
			lacks, has := truth[c]-charged[c], charged[d]-truth[d]
			if lacks <= 0 || has <= 0 {
				continue
			}
			to := kindOf(d)
			if to == kindOf(c) {
				to = "other " + to
			}
			out.charged[[2]string{kindOf(c), to}] += lacks * has / surplus
		}
	}
	if out.worst = 1; out.total > 0 {
		out.worst = out.right / out.total
	}
	return out, nil
}

func kindOf(cause string) string {
	kind, _, _ := strings.Cut(cause, "/")
	return kind
}

// table is the confusion table: a row for whose the bad events were, a column
// for who was charged, in per cent of the row.
func (s score) table() string {
	var b strings.Builder
	columns := append(slices.Clone(kinds), "other change", "other dependency")
	fmt.Fprintf(&b, "%-12s", "whose \\ charged")
	for _, c := range columns {
		fmt.Fprintf(&b, " %16s", c)
	}
	b.WriteString("      bad events\n")
	for _, r := range kinds {
		sum := 0.0
		for _, c := range columns {
			sum += s.charged[[2]string{r, c}]
		}
		fmt.Fprintf(&b, "%-15s", r)
		for _, c := range columns {
			fmt.Fprintf(&b, " %16s", strings.TrimSpace(percent(s.charged[[2]string{r, c}], sum)))
		}
		fmt.Fprintf(&b, " %15.0f\n", sum)
	}
	return b.String()
}
