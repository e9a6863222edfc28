package feed

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/metric"
	"github.com/flyball-dev/flyball/internal/port/store"
)

// How the present and the past are read.
const (
	// grace is how long after the end of a minute it is read: targets are
	// scraped once more by then, at the usual intervals.
	grace = 35 * time.Second
	// reread is how far back the present is read again, for what came late.
	reread = 10 * time.Minute
	// longest is the longest pause that the present is read back over at once.
	longest = time.Hour

	firstWidth = 24 * time.Hour // of a piece of the past
	leastWidth = 10 * time.Minute
	together   = 20               // indicators in one piece of the past
	patience   = 20 * time.Second // of reading the past, before the present is looked at again
	firstRetry = 10 * time.Second
	lastRetry  = 10 * time.Minute
)

// Feeder reads the counts of objectives from metrics engines.
type Feeder struct {
	Watcher *slo.Watcher
	Reader  projection.Reader
	Blobs   store.Blobs
	Clock   clock.Clock
	// Open gives a counter on an engine; it asks it nothing.
	Open func(Connection) (metric.Counter, error)
	// Metrics gives an engine itself, for looking around; it asks it nothing.
	Metrics func(Connection) (slo.Metrics, error)
	// Own is the server's default engine; zero is none.
	Own Connection

	mu    sync.Mutex
	lines map[string]*line
	asked map[Connection]metric.Counter // for questions beside objectives
	rest  rest                          // of Tend's goroutine
}

// rest is when there was nothing left to do: with what was declared then, once
// the minutes up to a moment were over.
type rest struct {
	declares int
	over     time.Time
}

// line is what is known of one indicator's feeding.
type line struct {
	fed      slo.Fed
	progress progress
	kept     progress // as it was written down last
	source   Connection
	counter  metric.Counter
	width    time.Duration // of its pieces of the past
	retry    time.Time     // not asked before
	wait     time.Duration

	plan     metric.Plan
	findings []problem.Finding
	samples  int64
	err      error
	read     time.Time // when it was last asked
}

// Tend reads what is due: the present of every indicator, then its past for a
// while. It is to be called every few seconds, and does nothing as long as
// neither another minute is over nor anything else is declared.
func (f *Feeder) Tend(ctx context.Context) error {
	start := f.Clock.Now()
	now := rest{f.Watcher.Declares(), over(start)}
	if f.rest == now {
		return nil
	}
	lines, err := f.refresh(ctx)
	if err != nil {
		return err
	}
	if err := f.present(ctx, lines, start); err != nil {
		return err
	}
	for f.Clock.Now().Sub(start) < patience {
		more, err := f.past(ctx, lines)
		if err != nil {
			return err
		}
		if !more {
			if f.done(now.over) {
				f.rest = now
			}
			return nil
		}
		if over(f.Clock.Now()).After(now.over) {
			return nil // another minute is over
		}
	}
	return nil
}

// over is the end of the minutes that are read at a time.
func over(now time.Time) time.Time { return now.UTC().Add(-grace).Truncate(time.Minute) }

// done reports whether all that can be read up to a moment was.
func (f *Feeder) done(until time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.lines {
		_, missing := l.progress.missing(l.fed.From, l.width)
		if l.counter != nil && (missing || l.progress.top.Before(until)) {
			return false
		}
	}
	return true
}

// refresh brings the lines in line with what is declared, and gives those that
// may be asked now.
func (f *Feeder) refresh(ctx context.Context) ([]*line, error) {
	wanted, err := f.Watcher.Indicators(ctx)
	if err != nil {
		return nil, err
	}
	wanted = slices.DeleteFunc(wanted, func(w slo.Fed) bool { return !Ours(w.Indicator) })
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(wanted) == 0 {
		f.lines = nil
		return nil, nil
	}
	sources, err := read(ctx, f.Reader, f.Own)
	if err != nil {
		return nil, err
	}
	now := f.Clock.Now()
	counters := map[Connection]metric.Counter{}
	for _, l := range f.lines {
		if l.counter != nil {
			counters[l.source] = l.counter
		}
	}
	lines := map[string]*line{}
	var out []*line
	for _, w := range wanted {
		l := f.lines[w.ID]
		if l == nil {
			l = &line{width: firstWidth}
			if l.progress, err = load(ctx, f.Blobs, w.ID); err != nil {
				return nil, err
			}
			l.kept = l.progress
		}
		l.fed = w
		lines[w.ID] = l
		if f.connect(l, sources, counters) && !now.Before(l.retry) {
			out = append(out, l)
		}
	}
	f.lines = lines
	return out, nil
}

// connect gives a line its engine, and reports whether it can be counted. A
// source that changed is asked anew; a counter is shared by its lines.
func (f *Feeder) connect(l *line, sources directory, counters map[Connection]metric.Counter) bool {
	c, err := sources.of(l.fed.Indicator)
	if err == nil && l.counter != nil && l.source == c {
		return true
	}
	if err == nil && counters[c] == nil {
		counters[c], err = f.Open(c)
	}
	if err == nil {
		l.counter, l.source, l.retry, l.wait = counters[c], c, time.Time{}, 0
		l.plan, err = l.counter.Plan(Indicator(l.fed.Indicator, l.fed.GroupBy))
	}
	if err != nil {
		l.counter, l.err = nil, err
		return false
	}
	return true
}

// batch is lines that are read together.
type batch struct {
	counter metric.Counter
	span    metric.Span
	lines   []*line
}

// batches puts lines of one engine and span together, at most so many.
func batches(lines []*line, most int, span func(*line) (metric.Span, bool)) []batch {
	type key struct {
		source Connection
		span   metric.Span
	}
	all := map[key][]*line{}
	for _, l := range lines {
		if s, ok := span(l); ok {
			k := key{l.source, s}
			all[k] = append(all[k], l)
		}
	}
	keys := slices.SortedFunc(maps.Keys(all), func(a, b key) int {
		return cmp.Or(b.span.Until.Compare(a.span.Until), cmp.Compare(a.source.Name, b.source.Name), a.span.From.Compare(b.span.From))
	})
	var out []batch
	for _, k := range keys {
		for part := range slices.Chunk(all[k], most) {
			out = append(out, batch{part[0].counter, k.span, part})
		}
	}
	return out
}

// present reads the minutes that are over.
func (f *Feeder) present(ctx context.Context, lines []*line, now time.Time) error {
	over := over(now)
	for _, b := range batches(lines, 10*together, func(l *line) (metric.Span, bool) {
		s := l.progress.next(over)
		return s, l.progress.top.Before(over)
	}) {
		counts, err := f.count(ctx, b)
		if err != nil {
			return err
		}
		if err := f.record(ctx, b, counts, true); err != nil {
			return err
		}
	}
	return nil
}

// past reads one piece of the past of each line, the newest pieces first, and
// reports whether there is more.
func (f *Feeder) past(ctx context.Context, lines []*line) (bool, error) {
	now := f.Clock.Now()
	all := batches(lines, together, func(l *line) (metric.Span, bool) {
		s, ok := l.progress.missing(l.fed.From, l.width)
		return s, ok && !now.Before(l.retry)
	})
	if len(all) == 0 {
		return false, nil
	}
	b := all[0]
	counts, err := f.count(ctx, b)
	if err != nil {
		return false, err
	}
	return true, f.record(ctx, b, counts, false)
}

// count asks the engine; what is wrong with all of them is the error of each.
func (f *Feeder) count(ctx context.Context, b batch) ([]metric.Count, error) {
	indicators := make([]metric.Indicator, len(b.lines))
	for i, l := range b.lines {
		indicators[i] = Indicator(l.fed.Indicator, l.fed.GroupBy)
	}
	b.span.Now = f.Clock.Now()
	counts, err := b.counter.Count(ctx, indicators, b.span)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		counts = make([]metric.Count, len(b.lines))
		for i := range counts {
			counts[i].Err = err
		}
	}
	return counts, nil
}

// record keeps what was counted, and then notes that it was read.
func (f *Feeder) record(ctx context.Context, b batch, counts []metric.Count, live bool) error {
	var recordings []slo.Recording
	var done []*line
	now := f.Clock.Now()
	for i, l := range b.lines {
		c := counts[i]
		f.told(l, c, now)
		if c.Err != nil {
			f.failed(l, c.Err, b.span, now)
			continue
		}
		done = append(done, l)
		r := recordingOf(l.fed.ID, c, b.span)
		if live {
			r.Until = b.span.Until
		}
		recordings = append(recordings, r)
	}
	err := f.Watcher.Record(ctx, recordings...)
	if kind := problem.KindOf(err); err != nil && kind != problem.Invalid && kind != problem.NotFound {
		return err
	}
	cursors := map[string]int64{}
	f.mu.Lock()
	for _, l := range done {
		if live {
			l.progress.took(b.span)
		} else {
			l.progress.filled(b.span)
		}
		l.retry, l.wait = time.Time{}, 0
		if err != nil {
			l.err = err
		}
		l.keep(cursors)
	}
	f.mu.Unlock()
	if len(cursors) == 0 {
		return nil
	}
	return f.Blobs.Put(ctx, nil, cursors)
}

// keep writes down what has been read without a hole. Of the present it is done
// now and then: a server that is started again reads the last minutes once more.
func (l *line) keep(cursors map[string]int64) {
	p := l.progress
	if p.low.IsZero() || p.low.Equal(l.kept.low) && p.high.Sub(l.kept.high) < reread {
		return
	}
	name := cursor + l.fed.ID
	cursors[name+"/low"], cursors[name+"/high"] = p.low.Unix(), p.high.Unix()
	l.kept = p
}

// told remembers what there is to say of a line.
func (f *Feeder) told(l *line, c metric.Count, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l.samples += int64(c.Samples)
	l.read, l.err = now, c.Err
	if c.Err == nil {
		l.plan, l.findings = c.Plan, c.Findings
	}
}

// failed says when a line is asked again. An answer that is too large is asked
// for in smaller pieces; other mistakes are asked for as rarely as absences.
func (f *Feeder) failed(l *line, err error, span metric.Span, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if width := span.Until.Sub(span.From); problem.KindOf(err) == problem.Invalid && width > leastWidth && l.width > leastWidth {
		l.width = max(width/2, leastWidth).Truncate(time.Minute)
		return
	}
	l.wait = min(max(2*l.wait, firstRetry), lastRetry)
	var e *problem.Error
	if errors.As(err, &e) && e.RetryAfter > l.wait {
		l.wait = e.RetryAfter
	}
	l.retry = now.Add(l.wait)
}

// recordingOf is what was counted in the words of the engine. Minutes that the
// count should know and does not are gaps; without a moment up to which it
// knows, nothing is said of them.
func recordingOf(id string, c metric.Count, span metric.Span) slo.Recording {
	out := slo.Recording{Indicator: id}
	known := map[int64]bool{}
	for _, g := range c.Groups {
		counted := slo.Counted{Labels: g.Labels}
		for _, s := range g.Slots {
			known[s.At] = true
			counted.Slots = append(counted.Slots, slo.Slot{Time: time.UnixMilli(s.At).UTC(), Good: s.Good, Total: s.Total})
		}
		out.Counts = append(out.Counts, counted)
	}
	for at := span.From; at.Before(span.Until) && !at.Add(time.Minute).After(c.Settled); at = at.Add(time.Minute) {
		if !known[at.UnixMilli()] {
			out.Gaps = append(out.Gaps, at)
		}
	}
	return out
}
