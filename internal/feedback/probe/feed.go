package probe

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

// SourceType is the metric source of an objective that is about a probe:
//
//	ratioMetric:
//	  good:  {metricSource: {type: probe, spec: {probe: NAME}}}
//	  total: {metricSource: {type: probe, spec: {probe: NAME}}}
const SourceType = "probe"

// settled is how long after its beginning a run has certainly ended and was
// kept, so that minutes before that do not change.
const settled = maxTimeout + time.Minute

// lookout is how often new objectives on probes are looked for.
const lookout = 10 * time.Second

// feed records the minutes that objectives on probes do not have yet. The last
// ones are recorded again each time: they may still change, and recording a
// minute again changes nothing else.
func (d *Desk) feed(ctx context.Context, now time.Time) error {
	if len(d.dirty) == 0 && now.Sub(d.asked) < lookout {
		return nil
	}
	list, err := d.Objectives.Indicators(ctx)
	if err != nil {
		return err
	}
	d.asked = now
	var out []slo.Recording
	for _, f := range list {
		name := probeOf(f.Indicator)
		if name == "" || d.fed[f.ID] && !d.dirty[name] {
			continue
		}
		from := f.Until
		if from.IsZero() {
			from = f.From
		}
		minutes, err := load(ctx, d.Blobs, name, from, now)
		if err != nil {
			return err
		}
		r := slo.Recording{Indicator: f.ID, Until: now.Add(-settled).UTC().Truncate(time.Minute)}
		if r.Until.Before(f.Until) {
			r.Until = f.Until
		}
		if slots := slotsOf(minutes); len(slots) > 0 {
			r.Counts = []slo.Counted{{Slots: slots}}
		}
		out = append(out, r)
	}
	if len(out) > 0 {
		if err := d.Objectives.Record(ctx, out...); err != nil {
			return err
		}
	}
	for _, r := range out {
		d.fed[r.Indicator] = true
	}
	clear(d.dirty)
	return nil
}

// probeOf is the probe that an indicator is about; empty if none.
func probeOf(i slo.Indicator) string {
	if i.Total == nil || i.Total.Type != SourceType {
		return ""
	}
	return i.Total.Spec["probe"]
}

// slotsOf are the slots of minutes; one in which no run could be made is a gap.
func slotsOf(minutes []Minute) []slo.Slot {
	var out []slo.Slot
	for _, m := range minutes {
		if m.Runs > 0 {
			out = append(out, slo.Slot{Time: m.Time, Good: m.Runs - m.Bad, Total: m.Runs})
		}
	}
	return out
}
