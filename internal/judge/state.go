package judge

import (
	"math"
	"slices"
	"time"
)

// Defaults of a [Config] whose fields are zero.
const (
	DefaultAlpha       = 0.01
	DefaultBinWidth    = 10 * time.Second
	DefaultWarmUpRatio = 0.5
)

// Count is what one arm received: requests that arrived, and how many of them
// were bad. Bad is between 0 and Requests.
type Count struct {
	Requests int64 `json:"requests"`
	Bad      int64 `json:"bad"`
}

// Ratio is bad over requests, 0 without requests.
func (c Count) Ratio() float64 {
	if c.Requests == 0 {
		return 0
	}
	return float64(c.Bad) / float64(c.Requests)
}

func (c Count) plus(d Count) Count {
	return Count{c.Requests + d.Requests, c.Bad + d.Bad}
}

// sane forces the invariant 0 ≤ Bad ≤ Requests; a reader of outside data
// refuses what violates it long before.
func (c Count) sane() Count {
	c.Requests = max(c.Requests, 0)
	c.Bad = min(max(c.Bad, 0), c.Requests)
	return c
}

// Bin is what both arms received in requests that arrived in
// [Time, Time+Width). Bins may differ in width, from one second to a scrape
// interval: validity does not depend on it, power does.
type Bin struct {
	Time     time.Time     `json:"time"`
	Width    time.Duration `json:"width"` // nanoseconds
	Baseline Count         `json:"baseline"`
	Canary   Count         `json:"canary"`
}

// End is the first moment after the bin.
func (b Bin) End() time.Time { return b.Time.Add(b.Width) }

// Config is how one metric is judged. The zero value judges with the
// defaults and without a warm-up. It must stay the same for the life of a
// [State].
type Config struct {
	// Alpha is the probability with which an equal canary may ever be sent
	// back by this metric: the service's rate divided by its number of metrics.
	Alpha float64 `json:"alpha,omitempty"`
	// Tolerated is the relative increase of the bad ratio that is not held
	// against the canary: 0.1 accepts a ratio 10 % above the baseline's.
	Tolerated float64 `json:"tolerated,omitempty"`
	// BinWidth is the width of the windows into which narrower bins are
	// merged, aligned to it, in nanoseconds. Wider bins stay as they are. It
	// should be at least as long as a burst of related failures.
	BinWidth time.Duration `json:"bin_width,omitempty"`
	// WarmUp is the time after the canary's first request in which nothing is
	// held against it, because its caches are cold, except when more than
	// WarmUpRatio of its requests are bad. What happens meanwhile counts in
	// the excess interval all the same: users met it.
	WarmUp time.Duration `json:"warm_up,omitempty"`
	// WarmUpRatio is the bad ratio that even a cold canary must not exceed,
	// 0.5 by default; 1 or more never goes back in the warm-up.
	WarmUpRatio float64 `json:"warm_up_ratio,omitempty"`
}

func (c Config) withDefaults() Config {
	if !(c.Alpha > 0 && c.Alpha < 1) {
		c.Alpha = DefaultAlpha
	}
	if !(c.Tolerated > 0) {
		c.Tolerated = 0
	}
	if c.BinWidth <= 0 {
		c.BinWidth = DefaultBinWidth
	}
	if !(c.WarmUpRatio > 0) {
		c.WarmUpRatio = DefaultWarmUpRatio
	}
	return c
}

// State is all that is remembered of the bins folded so far: a few dozen
// numbers, whatever their count. The zero State has seen nothing.
type State struct {
	Baseline Count     `json:"baseline"`          // all requests seen, the open window's too
	Canary   Count     `json:"canary"`            // all requests seen, the open window's too
	Started  time.Time `json:"started,omitzero"`  // start of the first bin with a canary request
	Until    time.Time `json:"until,omitzero"`    // end of the last bin folded
	Open     *Bin      `json:"open,omitempty"`    // the window being filled; not judged yet
	Wealth   []float64 `json:"wealth,omitempty"`  // log wealth of the bet on each of ratios
	Guard    []float64 `json:"guard,omitempty"`   // log wealth of the bets made in the warm-up
	Excess   excess    `json:"excess"`            // what the excess interval needs
	Crossed  *Crossing `json:"crossed,omitempty"` // set once, then the state is final
}

// Crossing is the first moment at which the evidence reached 1/alpha.
type Crossing struct {
	At   time.Time `json:"at"` // end of the bin that completed the evidence
	LogE float64   `json:"log_e"`
}

// Advance folds bins into s and returns the new state; s is unchanged. Bins
// come in order of time. How they are cut into calls does not matter. After
// the first crossing of E ≥ 1/alpha the state is final and further bins are
// ignored.
func (c Config) Advance(s State, bins ...Bin) State {
	c = c.withDefaults()
	s = s.clone()
	for _, b := range bins {
		if s.Crossed != nil {
			break
		}
		c.add(&s, b)
	}
	return s
}

// Flush judges the open window at once instead of waiting for its end. Call it
// when the weight of the canary changes, so that no window mixes two weights,
// and at the end of recorded data.
func (c Config) Flush(s State) State {
	if s.Open == nil || s.Crossed != nil {
		return s
	}
	c = c.withDefaults()
	s = s.clone()
	c.closeWindow(&s)
	return s
}

func (s State) clone() State {
	s.Wealth, s.Guard = slices.Clone(s.Wealth), slices.Clone(s.Guard)
	s.Excess = s.Excess.clone()
	if s.Open != nil {
		open := *s.Open
		s.Open = &open
	}
	return s
}

func (c Config) add(s *State, b Bin) {
	b.Baseline, b.Canary = b.Baseline.sane(), b.Canary.sane()
	b.Time = b.Time.UTC()
	if s.Open != nil && !b.Time.Before(s.Open.End()) {
		if c.closeWindow(s); s.Crossed != nil {
			return
		}
	}
	if s.Started.IsZero() && b.Canary.Requests > 0 {
		s.Started = b.Time
	}
	s.Baseline, s.Canary = s.Baseline.plus(b.Baseline), s.Canary.plus(b.Canary)
	if s.Until.Before(b.End()) {
		s.Until = b.End()
	}
	if s.Open == nil {
		s.Open = &Bin{Time: b.Time.Truncate(c.BinWidth), Width: c.BinWidth}
	}
	s.Open.Baseline = s.Open.Baseline.plus(b.Baseline)
	s.Open.Canary = s.Open.Canary.plus(b.Canary)
	if c.warm(*s, b) {
		c.guard(s, b)
		if c.cross(s); s.Crossed != nil {
			return
		}
	}
	if !s.Until.Before(s.Open.End()) {
		c.closeWindow(s)
	}
}

// warm says whether more than half of b met a canary that was still warming up.
func (c Config) warm(s State, b Bin) bool {
	return c.WarmUp > 0 && b.Time.Add(b.Width/2).Before(s.Started.Add(c.WarmUp))
}

func (c Config) closeWindow(s *State) {
	w := *s.Open
	s.Open = nil
	warm := c.warm(*s, w)
	s.Excess.add(w, warm)
	if !warm {
		c.bet(s, w)
		c.cross(s)
	}
}

func (c Config) cross(s *State) {
	if e := c.logE(*s); e >= -math.Log(c.Alpha) {
		s.Crossed = &Crossing{At: s.Until, LogE: e}
	}
}

// Evidence is what a state says, in the numbers that are stored and shown
// with a verdict. All are finite.
type Evidence struct {
	Alpha       float64   `json:"alpha"`
	EValue      float64   `json:"e_value"` // at most 1e300
	LogE        float64   `json:"log_e"`   // natural logarithm, not capped
	Baseline    Count     `json:"baseline"`
	Canary      Count     `json:"canary"`
	Excess      float64   `json:"excess"`              // canary's bad ratio minus the baseline's, window by window
	ExcessLower float64   `json:"excess_lower"`        // holds at all times together with error alpha/2
	ExcessUpper float64   `json:"excess_upper"`        // holds at all times together with error alpha/2
	Burst       float64   `json:"burst"`               // bad requests that come as one event, at least 1
	Until       time.Time `json:"until,omitzero"`      // end of the last bin folded
	CrossedAt   time.Time `json:"crossed_at,omitzero"` // when E first reached 1/alpha
	WarmUntil   time.Time `json:"warm_until,omitzero"` // end of the warm-up
}

// Evidence computes what s says. After a crossing it is the evidence as of the
// crossing.
func (c Config) Evidence(s State) Evidence {
	c = c.withDefaults()
	e := Evidence{
		Alpha: c.Alpha, LogE: c.logE(s),
		Baseline: s.Baseline, Canary: s.Canary,
		Excess: s.Excess.estimate(), Burst: s.Excess.burst(),
		ExcessLower: s.Excess.lower(c.Alpha / 2), ExcessUpper: s.Excess.upper(c.Alpha / 2),
		Until: s.Until,
	}
	if s.Crossed != nil {
		e.LogE, e.CrossedAt = s.Crossed.LogE, s.Crossed.At
	}
	if c.WarmUp > 0 && !s.Started.IsZero() {
		e.WarmUntil = s.Started.Add(c.WarmUp)
	}
	e.EValue = min(math.Exp(e.LogE), 1e300)
	return e
}
