package budget

import (
	"fmt"
	"sort"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

// History is how long before its window a ledger looks, to know what is usual.
const History = 8 * 24 * time.Hour

// Entry is what the ledger of one objective is kept from.
type Entry struct {
	Objective *slo.Objective
	Raw       *slo.Series // one-minute slots of events, from History before the window
	Adjusted  *slo.Series // the same without what is excluded; nil: nothing is
	Arms      []Minute    // per revision, in order of time; none where that is not known
	Causes    []Cause
	Now       time.Time
}

// Minute is the arms of one minute.
type Minute struct {
	Time time.Time
	Arms []Arm
}

// Book computes the ledger of an objective at a moment.
func Book(e Entry) (Ledger, error) {
	o := e.Objective
	if e.Adjusted == nil {
		e.Adjusted = e.Raw
	}
	raw, err := o.BudgetSeries(e.Raw)
	if err != nil {
		return Ledger{}, err
	}
	adjusted := raw
	if e.Adjusted != e.Raw {
		if adjusted, err = o.BudgetSeries(e.Adjusted); err != nil {
			return Ledger{}, err
		}
	}
	spent, counts := o.Budget(raw, e.Now)
	left, kept := o.Budget(adjusted, e.Now)
	from, _ := o.Window.Lookback(e.Now)
	l := Ledger{
		Objective: o.Key(), Service: o.Service, Environment: o.Environment, Name: o.Name, Target: o.Target.Percent(), Window: o.Window.String(),
		At: e.Now, Unit: "event", Scale: raw.Scale(),
		Raw: account(counts, spent), Adjusted: account(kept, left),
		Forecast: forecastOf(o.Forecast(adjusted, left, adjusted.Scale(), e.Now)),
	}
	if o.Method == slo.Timeslices || o.Method == slo.RatioTimeslices {
		l.Unit = "slice"
	}
	l.From, l.Until = raw.Covered(from, e.Now)
	a := Attribute(e.slots(), e.Causes, o.BudgetRatio().Float64())
	l.Baseline = a.Baseline
	l.fill(a, a.weights(raw, l.From, l.Until), a.weights(adjusted, l.From, l.Until), left.Allowed.Float64()*float64(l.Scale))
	return l, nil
}

func account(c slo.Counts, b slo.Budget) Account {
	return Account{Total: c.Total, Bad: c.Bad(), Allowed: b.Allowed.Float64(), Remaining: b.RemainingRatio, Projected: b.Projected}
}

// slots lays the counts of revisions beside the totals. Where they do not add
// up to them, revisions are not known.
func (e Entry) slots() []Slot {
	out := make([]Slot, 0, e.Raw.Len())
	k := 0
	for s := range e.Raw.Slots() {
		slot := Slot{Time: s.Time, Total: s.Total, Bad: s.Total - s.Good}
		for k < len(e.Arms) && e.Arms[k].Time.Before(s.Time) {
			k++
		}
		if k < len(e.Arms) && e.Arms[k].Time.Equal(s.Time) && sums(e.Arms[k].Arms, slot) {
			slot.Arms = e.Arms[k].Arms
		}
		out = append(out, slot)
	}
	if e.Adjusted == e.Raw || e.Adjusted == nil {
		return out
	}
	i := 0
	next := 0
	kept := make([]slo.Slot, 0, e.Adjusted.Len())
	for s := range e.Adjusted.Slots() {
		kept = append(kept, s)
	}
	for ; i < len(out); i++ {
		for next < len(kept) && kept[next].Time.Before(out[i].Time) {
			next++
		}
		same := next < len(kept) && kept[next].Time.Equal(out[i].Time) && kept[next].Total == out[i].Total && kept[next].Total-kept[next].Good == out[i].Bad
		out[i].Excluded = !same
	}
	return out
}

func sums(arms []Arm, s Slot) bool {
	total, bad := int64(0), int64(0)
	for _, a := range arms {
		total += a.Total
		bad += a.Bad
	}
	return total == s.Total && bad == s.Bad
}

// weights is what one bad event of each slot counts in the units of a budget
// that are spent in a window: 1 for events; where slices are budgeted, the bad
// counts of the slice divided by its bad events; 0 outside the window. Counts
// that a correction added where no event was bad belong to nobody: they are the
// background's.
func (a Attribution) weights(units *slo.Series, from, until time.Time) []float64 {
	out := make([]float64, len(a.Slots))
	i := 0
	for u := range units.Slots() {
		bad := u.Total - u.Good
		end := u.Time.Add(units.Width())
		if bad <= 0 || u.Time.Before(from) || !u.Time.Before(until) {
			continue
		}
		for i < len(a.Slots) && a.Slots[i].Time.Before(u.Time) {
			i++
		}
		events := int64(0)
		j := i
		for ; j < len(a.Slots) && a.Slots[j].Time.Before(end); j++ {
			events += a.Slots[j].Bad
		}
		for ; i < j; i++ {
			if events > 0 {
				out[i] = float64(bad) / float64(events)
			}
		}
	}
	return out
}

// fill apportions both accounts, and what each incident saw.
func (l *Ledger) fill(a Attribution, raw, adjusted []float64, allowed float64) {
	shares, of := l.gather(a)
	rawWeights, weights, measured := make([]float64, len(shares)), make([]float64, len(shares)), make([]float64, len(shares))
	for c, ch := range a.Charges {
		k := of[c]
		m := 0.0
		for _, p := range ch.parts {
			rawWeights[k] += p.x * raw[p.slot]
			weights[k] += p.x * adjusted[p.slot]
			if p.measured {
				m += p.x * adjusted[p.slot]
			}
		}
		measured[k] += m
	}
	background := len(shares) - 1
	rawWeights[background], weights[background] = float64(l.Raw.Bad), float64(l.Adjusted.Bad)
	for k := range background {
		rawWeights[background] -= rawWeights[k]
		weights[background] -= weights[k]
	}
	rawParts, parts := Apportion(l.Raw.Bad, rawWeights), Apportion(l.Adjusted.Bad, weights)
	for k := range shares {
		s := &shares[k]
		s.Raw, s.Bad = rawParts[k], parts[k]
		if weights[k] > 0 {
			s.Measured = min(s.Bad, int64(measured[k]/weights[k]*float64(s.Bad)+0.5))
		}
		if l.Adjusted.Bad > 0 {
			s.Ratio = float64(s.Bad) / float64(l.Adjusted.Bad)
		}
		if allowed > 0 {
			s.Budget = float64(s.Bad) / allowed
		}
		if s.Kind != KindBackground {
			s.Method = Inferred
			if 2*s.Measured >= s.Bad {
				s.Method = Measured
			}
			if s.Bad == 0 && s.Raw > 0 && 2*measured[k] < weights[k] {
				s.Method = Inferred
			}
		}
	}
	l.Impacts = impacts(a, adjusted, allowed)
	for _, s := range shares {
		if s.Bad > 0 || s.Raw > 0 || s.Kind == KindBackground {
			l.Shares = append(l.Shares, s)
		}
	}
	sort.SliceStable(l.Shares, func(i, j int) bool { return l.Shares[i].Bad > l.Shares[j].Bad })
}

// gather makes one share of all causes of the same kind and name, and the
// background's, the last. of is the share of each cause.
func (l *Ledger) gather(a Attribution) (shares []Share, of []int) {
	index := map[[2]string]int{}
	of = make([]int, len(a.Causes))
	charged := make([]float64, 0, len(a.Causes))
	for c := range a.Causes {
		cause := &a.Causes[c]
		key := [2]string{cause.Kind, cause.Name}
		k, ok := index[key]
		sum := a.Charges[c].sum()
		if !ok {
			k = len(shares)
			index[key] = k
			shares = append(shares, Share{Kind: cause.Kind, Name: cause.Name, From: cause.From, To: cause.To})
			charged = append(charged, -1)
		}
		s := &shares[k]
		of[c] = k
		if cause.From.Before(s.From) {
			s.From = cause.From
		}
		if cause.To.IsZero() || !s.To.IsZero() && cause.To.After(s.To) {
			s.To = cause.To
		}
		if sum > charged[k] {
			charged[k] = sum
			s.Title, s.Revision, s.Link, s.Evidence = cause.Title, cause.Revision, cause.Link, a.evidence(c)
		}
	}
	return append(shares, Share{Kind: KindBackground, Title: "nothing in particular", Evidence: a.Baseline.String()}), of
}

// impacts is what was charged to causes while each incident lasted, and all that
// is charged to the change it is put down to.
func impacts(a Attribution, weights []float64, allowed float64) []Impact {
	var out []Impact
	for d, i := range a.Causes {
		if i.Kind != KindIncident {
			continue
		}
		var parts []ImpactPart
		var amounts []float64
		sum := 0.0
		for c, ch := range a.Charges {
			x := 0.0
			for _, p := range ch.parts {
				if s := a.spans[d]; s.lo <= p.slot && p.slot < s.hi || i.Culprit != "" && a.Causes[c].Kind == KindChange && a.Causes[c].Name == i.Culprit {
					x += p.x * weights[p.slot]
				}
			}
			if x > 0 {
				parts, amounts = append(parts, ImpactPart{Kind: a.Causes[c].Kind, Name: a.Causes[c].Name}), append(amounts, x)
				sum += x
			}
		}
		impact := Impact{Incident: i.Name, Title: i.Title, From: i.From, To: i.To, Bad: int64(sum + 0.5)}
		for k, n := range Apportion(impact.Bad, amounts) {
			if parts[k].Bad = n; n > 0 {
				impact.Causes = append(impact.Causes, parts[k])
			}
		}
		if allowed > 0 {
			impact.Budget = float64(impact.Bad) / allowed
		}
		out = append(out, impact)
	}
	return out
}

// evidence says in a sentence why a cause is charged.
func (a Attribution) evidence(c int) string {
	ch := a.Charges[c]
	text := ""
	if ch.measured > 0 {
		text = fmt.Sprintf("%s while the other revisions had %s in the same minutes", ofTotal(ch.armBad, ch.armTotal), ofTotal(ch.besideBad, ch.besideTotal))
	}
	if ch.sum() > ch.measured {
		if text != "" {
			text += "; then "
		}
		text += fmt.Sprintf("%s while linked, %s expected from what was usual", ofTotal(ch.bad, ch.total), number(ch.expected))
	}
	return text
}

// String is the baseline in a sentence.
func (b Baseline) String() string {
	text := fmt.Sprintf("%s of %s events fail without a cause", ratio(b.Ratio), number(float64(b.Requests)))
	if b.Prior {
		text = fmt.Sprintf("too little is known yet; taken to be near what the target allows, %s", ratio(b.Ratio))
	}
	return text
}
