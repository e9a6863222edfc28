package query

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// work is the counting of one indicator over one span.
type work struct {
	plan     *plan
	span     metric.Span
	read     stretch // of the samples
	answers  map[string]answer
	evidence *evidence
	out      metric.Count

	interval int64
	groups   map[string]*group
	found    map[string]bool // codes of findings given
}

// group is what one group of series saw.
type group struct {
	labels      metric.Labels
	part, total *tally
	last        []int64 // of each series of total, when it was last seen
}

func (w *work) from() int64  { return w.span.From.UnixMilli() }
func (w *work) until() int64 { return w.span.Until.UnixMilli() }

// finding remarks something of the data, once per code.
func (w *work) finding(severity, code, format string, args ...any) {
	if w.found[code] {
		return
	}
	w.found[code] = true
	w.out.Findings = append(w.out.Findings, problem.Finding{Severity: severity, Code: code, Message: fmt.Sprintf(format, args...)})
}

// partial refuses an answer that is not whole: it is asked for again.
func (w *work) partial() {
	w.finding("error", metric.CodePartial, "the engine could not ask everywhere; nothing is counted until it answers whole")
	w.out.Err = problem.New(problem.Unavailable, "metric.count", "the engine answered in part").WithNext("see which of its stores is down")
}

// groupOf is the group that a series belongs to; nil when there are too many.
func (w *work) groupOf(l metric.Labels) *group {
	labels := metric.Labels{}
	var key strings.Builder
	for _, name := range w.plan.indicator.GroupBy {
		labels[name] = l[name]
		key.WriteString(l[name])
		key.WriteByte(0)
	}
	g := w.groups[key.String()]
	if g == nil {
		if len(w.groups) >= metric.MaxGroups {
			w.finding("error", metric.CodeTooManyGroups, "more than %d groups; the others are left out", metric.MaxGroups)
			return nil
		}
		g = &group{labels: labels, part: newTally(w.interval, w.read), total: newTally(w.interval, w.read)}
		w.groups[key.String()] = g
	}
	return g
}

// begun are the families of the series that begin in the span.
func (w *work) begun(into map[family]bool) {
	for _, s := range w.plan.sums() {
		for _, t := range s {
			if w.plan.readWith(t.selector) {
				continue // they are among the others
			}
			for _, series := range w.answers[t.selector.text].series {
				if list, _, _ := readings(series, t); w.begins(list) {
					into[family{series.Labels[metric.NameLabel], series.Labels["job"]}] = true
				}
			}
		}
	}
}

// begins reports whether a series begins in the span with events.
func (w *work) begins(list []reading) bool {
	for i := range list {
		r := &list[i]
		if r.At > w.from() && r.Value > 0 && (i == 0 || r.At > list[i-1].At && apart(&list[i-1], r, w.interval)) {
			return true
		}
	}
	return false
}

// measureInterval finds the usual distance between total's samples.
func (w *work) measureInterval() {
	all := steps{}
	for _, t := range w.plan.total {
		for _, series := range w.answers[t.selector.text].series {
			list, _, _ := readings(series, t)
			all.add(list)
		}
	}
	w.interval = all.usual()
}

// count counts a ratio from samples.
func (w *work) count() {
	if !w.usable() {
		return
	}
	for i, s := range w.plan.sums() {
		for _, t := range s {
			for _, series := range w.answers[t.selector.text].series {
				w.series(t, series, i == 1)
			}
		}
	}
	w.settle()
	for _, key := range slices.Sorted(maps.Keys(w.groups)) {
		g := w.groups[key]
		if slots := w.slots(g); len(slots) > 0 {
			w.out.Groups = append(w.out.Groups, metric.Group{Labels: g.labels, Slots: slots})
		}
	}
}

// usable reports whether the answers can be counted.
func (w *work) usable() bool {
	for _, s := range w.plan.selectors() {
		a := w.answers[s.text]
		if a.err != nil {
			w.out.Err = a.err
			return false
		}
		if a.partial {
			w.partial()
			return false
		}
	}
	total := 0
	for _, t := range w.plan.total {
		total += len(w.answers[t.selector.text].series)
	}
	if total == 0 {
		w.finding("warning", metric.CodeNoSeries, "%s selects no samples; its slots are gaps", w.plan.total[0].selector.text)
		return false
	}
	return w.bucketsThere() && w.single()
}

// bucketsThere refuses to take a bucket that does not exist for one that is
// empty.
func (w *work) bucketsThere() bool {
	for _, t := range append(slices.Clone(w.plan.good), w.plan.bad...) {
		if t.buckets() && len(w.answers[t.selector.text].series) == 0 {
			w.finding("error", metric.CodeNoBucket, "%s: the histogram has no such bucket; write a bound that it has. Its slots are gaps", t.selector.text)
			return false
		}
	}
	return true
}

// single refuses expressions that give several series where one is meant.
func (w *work) single() bool {
	if w.plan.indicator.Sum || len(w.plan.indicator.GroupBy) > 0 {
		return true
	}
	for _, s := range w.plan.sums() {
		for _, t := range s {
			kinds := map[string]bool{}
			for _, series := range w.answers[t.selector.text].series {
				kinds[t.kept(series.Labels)] = true
			}
			if len(kinds) > 1 {
				w.finding("error", metric.CodeManySeries, "%s gives %d series where one is meant; write sum(…) around it, or name the labels that group it. Its slots are gaps",
					t.selector.text, len(kinds))
				return false
			}
		}
	}
	return true
}

// kept is what of a series' labels a term's expression keeps.
func (t term) kept(l metric.Labels) string {
	out := metric.Labels{}
	switch {
	case t.loose:
		out = l
	case t.without:
		out = maps.Clone(l)
		delete(out, metric.NameLabel)
		for _, name := range t.by {
			delete(out, name)
		}
	default:
		for _, name := range t.by {
			out[name] = l[name]
		}
	}
	return identity(out)
}

// series counts one series into its group.
func (w *work) series(t term, s metric.Series, total bool) {
	g := w.groupOf(s.Labels)
	if g == nil {
		return
	}
	into := g.part
	if total {
		into = g.total
	}
	list, bad, split := readings(s, t)
	if !w.plan.readWith(t.selector) {
		w.out.Samples += len(list) + len(bad)
	}
	for _, at := range bad {
		into.broken = append(into.broken, around(list, at))
	}
	if len(list) == 0 {
		return
	}
	w.remark(t, list, split)
	into.expect(len(list))
	walk(list, w.interval, func(d difference) { into.add(d, t.negative) }, func(b begin) {
		if b.first.At <= w.from() {
			return
		}
		if since, ok := w.evidence.since(s.Labels, b.first, b.before); ok {
			into.add(difference{since, b.first.At, rose(0, b.first.Value)}, t.negative)
		}
	})
	if total {
		g.last = append(g.last, list[len(list)-1].At)
	}
}

// remark tells of counters that are not what they should be.
func (w *work) remark(t term, list []reading, split bool) {
	if split {
		w.finding("warning", metric.CodeInsideBucket, "the threshold %g lies inside a bucket of the native histogram; what it holds is divided by estimate", t.limit)
	}
	if t.part == value && slices.ContainsFunc(list, func(r reading) bool { return r.Value != math.Trunc(r.Value) }) {
		w.finding("warning", metric.CodeFraction, "%s does not count in whole events; each value is rounded down", t.selector.text)
	}
}

// around is the time between the good samples on either side of a moment.
func around(list []reading, at int64) stretch {
	i, _ := slices.BinarySearchFunc(list, at, func(r reading, t int64) int { return cmp.Compare(r.At, t) })
	out := stretch{at, at}
	if i > 0 {
		out.from = max(list[i-1].At, at-reach)
	}
	if i < len(list) {
		out.until = min(list[i].At, at+reach)
	}
	return out
}

// settle finds the moment up to which no series of total was late. One that has
// missed a scrape by now is taken to be gone.
func (w *work) settle() {
	horizon := min(w.until()+reach, w.span.Now.UnixMilli())
	settled := horizon
	for _, g := range w.groups {
		for _, last := range g.last {
			if !missed(last, horizon, w.interval) {
				settled = min(settled, last)
			}
		}
	}
	w.out.Settled = milli(settled)
}

// slots are the known and possible slots of a group.
func (w *work) slots(g *group) []metric.Slot {
	part, total := g.part.slots(w.from(), w.until()), g.total.slots(w.from(), w.until())
	known := g.total.covered(w.interval)
	settled := w.out.Settled.UnixMilli()
	out := make([]metric.Slot, 0, len(total))
	for slot := w.from(); slot < w.until(); slot += slotWidth {
		if slot+slotWidth > settled || !whole(known, slot) {
			continue
		}
		if g.part.breaks(slot) || g.total.breaks(slot) {
			w.finding("error", metric.CodeNotANumber, "a counter is NaN or infinite at %s; its slots are gaps", clockOf(slot))
			continue
		}
		some, all := part[(slot-w.from())/slotWidth], total[(slot-w.from())/slotWidth]
		switch {
		case some < 0 || all < 0:
			w.finding("error", metric.CodeNegative, "the counts of %s are below zero (%d of %d); such slots are gaps", clockOf(slot), some, all)
			continue
		case some > all:
			w.finding("error", metric.CodeExceeds, "at %s there are %d %s events of %d; total must include them. Such slots are gaps", clockOf(slot), some, w.plan.counted(), all)
			continue
		}
		if w.plan.good == nil {
			some = all - some
		}
		out = append(out, metric.Slot{At: slot, Good: some, Total: all})
	}
	return out
}

// counted is what the part counts.
func (p *plan) counted() string {
	if p.good == nil {
		return "bad"
	}
	return "good"
}

func clockOf(slot int64) string { return milli(slot).Format(time.RFC3339) }

// measure compares each sample with a threshold: one event per sample.
func (w *work) measure() {
	a := w.answers[w.plan.measured.text]
	switch i := w.plan.indicator; {
	case a.err != nil:
		w.out.Err = a.err
		return
	case a.partial:
		w.partial()
		return
	case len(a.series) == 0:
		w.finding("warning", metric.CodeNoSeries, "%s selects no samples; its slots are gaps", w.plan.measured.text)
		return
	case len(a.series) > 1 && !i.Sum && len(i.GroupBy) == 0:
		w.finding("error", metric.CodeManySeries, "%s gives %d series where one is meant; select one, or name the labels that group it. Its slots are gaps",
			w.plan.measured.text, len(a.series))
		return
	}
	w.settleMeasured(a.series)
	slots := map[*group]map[int64]*metric.Slot{}
	for _, s := range a.series {
		g := w.groupOf(s.Labels)
		if g == nil {
			continue
		}
		if slots[g] == nil {
			slots[g] = map[int64]*metric.Slot{}
		}
		w.compare(s, slots[g])
	}
	for _, key := range slices.Sorted(maps.Keys(w.groups)) {
		g := w.groups[key]
		out := metric.Group{Labels: g.labels}
		for _, at := range slices.Sorted(maps.Keys(slots[g])) {
			if s := slots[g][at]; s.Total > 0 {
				out.Slots = append(out.Slots, *s)
			}
		}
		if len(out.Slots) > 0 {
			w.out.Groups = append(w.out.Groups, out)
		}
	}
}

// compare puts a series' samples into slots. One that is no number makes its
// slot a gap.
func (w *work) compare(s metric.Series, slots map[int64]*metric.Slot) {
	settled := w.out.Settled.UnixMilli()
	w.out.Samples += len(s.Points)
	for _, p := range s.Points {
		slot := floor(p.At)
		if slot < w.from() || slot >= w.until() || slot+slotWidth > settled {
			continue
		}
		if slots[slot] == nil {
			slots[slot] = &metric.Slot{At: slot}
		}
		at := slots[slot]
		if math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
			w.finding("error", metric.CodeNotANumber, "a sample is NaN or infinite at %s; its slot is a gap", clockOf(slot))
			at.Total = math.MinInt32 // stays below zero, whatever follows
			continue
		}
		at.Total++
		if compares(w.plan.indicator.Op, p.Value, w.plan.indicator.Threshold) {
			at.Good++
		}
	}
}

// compares reports whether a sample is good.
func compares(op string, sample, threshold float64) bool {
	switch op {
	case "lt":
		return sample < threshold
	case "gt":
		return sample > threshold
	case "gte":
		return sample >= threshold
	}
	return sample <= threshold
}

func (w *work) settleMeasured(all []metric.Series) {
	usual := steps{}
	var ends []int64
	for _, s := range all {
		list, _, _ := numbers(s.Points)
		usual.add(list)
		if len(list) > 0 {
			ends = append(ends, list[len(list)-1].At)
		}
	}
	w.interval = usual.usual()
	w.groupOf(nil).last = ends
	w.settle()
	w.groups = map[string]*group{}
}
