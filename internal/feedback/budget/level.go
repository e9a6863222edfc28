package budget

import (
	"math"
	"slices"
)

// What levels are estimated from.
const (
	blockBad   = 10.0     // bad events to be expected in a block
	blockSlots = 10       // least minutes of a block
	blockMax   = 6 * 60   // most minutes of a block
	clip       = 4.0      // standard deviations beyond which a block is no part of a level
	around     = 3        // blocks to either side that make a local level
	trailing   = 7 * 1440 // minutes before a cause that its baseline is estimated from
	recent     = 1440     // minutes before it that tell a level that is newer
	edge       = 240      // minutes to either side that tell a flag's step
	wide       = 3 * 1440 // minutes that tell it where nothing else drifts
	medianChi2 = 0.4549   // of the square of a standard normal variable
)

// block is some minutes without a known disturbance, together long enough that
// their ratio means something.
type block struct {
	lo, hi int     // slots
	piece  int     // lasting causes in force, numbered by their changes
	n, b   float64 // b without what flags add
	seen   float64 // bad
	level  float64 // of the blocks around it, without outliers
}

// level is a ratio of bad events with what it was estimated from.
type level struct {
	ratio float64
	n     float64 // requests
}

// pooled is the level of blocks, leaving out those that stand out: the median
// of the ratios says what is usual, blocks more than clip standard deviations
// above it are bursts, and the rest is pooled by requests. The mean of what is
// left is nearly unbiased for counts, which a median of small counts is not.
func pooled(blocks []block, dispersion float64) level {
	if len(blocks) == 0 {
		return level{}
	}
	ratios := make([]float64, len(blocks))
	for i, b := range blocks {
		ratios[i] = b.b / b.n
	}
	middle := median(ratios)
	if len(blocks) < 3 {
		middle = math.Inf(1)
	}
	var out level
	bad := 0.0
	for _, b := range blocks {
		limit := middle + clip*math.Sqrt(dispersion*math.Max(middle, 1/b.n)/b.n)
		if r := b.b / b.n; r <= limit {
			out.n += b.n
			bad += b.b
		}
	}
	if out.n > 0 {
		out.ratio = bad / out.n
	}
	return out
}

// withPrior adds what the target says to what was seen: as much as one bad
// event, at the ratio the target allows. It matters only where little is known.
func (l level) withPrior(prior float64) level {
	n := l.n + 1/prior
	return level{ratio: (l.ratio*l.n + 1) / n, n: n}
}

// median of the values, whose order it changes; 0 of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	if m := len(v) / 2; len(v)%2 == 1 {
		return v[m]
	} else {
		return (v[m-1] + v[m]) / 2
	}
}

// blocksOf cuts quiet slots into blocks; piece tells which lasting causes are in
// force, and no block spans two.
func (a *attributor) blocksOf(quiet func(i int) bool, rough float64) []block {
	need := math.Inf(1)
	if rough > 0 {
		need = blockBad / rough
	}
	var out []block
	var b block
	slotsIn := 0
	flush := func(keep bool) {
		if last := len(out) - 1; !keep && last >= 0 && out[last].piece == b.piece && b.n > 0 {
			// Too little for a block of its own: it joins the one before.
			out[last].hi, out[last].n, out[last].b = b.hi, out[last].n+b.n, out[last].b+b.b
		} else if b.n > 0 {
			out = append(out, b)
		}
		b, slotsIn = block{}, 0
	}
	for i := range a.slots {
		if b.n > 0 && b.piece != a.piece[i] {
			flush(false)
		}
		if !quiet(i) || a.n[i] <= a.cn[i] {
			continue
		}
		if b.n == 0 {
			b.lo, b.piece = i, a.piece[i]
		}
		b.hi = i + 1
		b.n += a.n[i] - a.cn[i]
		b.b += a.b[i] - a.cb[i]
		slotsIn++
		if slotsIn >= blockSlots && b.n >= need || slotsIn >= blockMax {
			flush(true)
		}
	}
	flush(false)
	for i := range out {
		out[i].seen = out[i].b
	}
	return out
}

// smooth gives each block the level of the blocks around it in its piece.
func smooth(blocks []block, dispersion float64) {
	for i := range blocks {
		lo, hi := i, i+1
		for lo > 0 && i-lo < around && blocks[lo-1].piece == blocks[i].piece {
			lo--
		}
		for hi < len(blocks) && hi-i <= around && blocks[hi].piece == blocks[i].piece {
			hi++
		}
		blocks[i].level = pooled(blocks[lo:hi], dispersion).ratio
	}
}

// dispersionOf is how much more the blocks vary around their level than
// independent events would: 1 is not at all. It is a median, so bursts do not
// count.
func dispersionOf(blocks []block) float64 {
	var v []float64
	for _, b := range blocks {
		if expected := b.level * b.n; expected >= 1 {
			v = append(v, (b.b-expected)*(b.b-expected)/expected)
		}
	}
	if len(v) < 8 {
		return 1
	}
	return math.Max(1, median(v)/medianChi2)
}

// localLevels is the level of every slot, from the blocks of its piece: the one
// it is in, else the last one before it, else the next.
func (a *attributor) localLevels(blocks []block, otherwise float64) []float64 {
	out := make([]float64, len(a.slots))
	j := 0
	for i := range out {
		for j+1 < len(blocks) && blocks[j+1].lo <= i {
			j++
		}
		out[i] = otherwise
		switch {
		case j < len(blocks) && blocks[j].piece == a.piece[i]:
			out[i] = blocks[j].level
		case j+1 < len(blocks) && blocks[j+1].piece == a.piece[i]:
			out[i] = blocks[j+1].level
		case i > 0:
			out[i] = out[i-1]
		}
	}
	return out
}

// before is the baseline of a lasting cause that begins at slot s: the level of
// the week before it, or of the last day if that has risen since, so that a
// change is not blamed for what it found.
func (a *attributor) before(s int) level {
	var week, day []block
	at := a.minute(s)
	piece := -1
	for k := len(a.blocks) - 1; k >= 0; k-- {
		b := a.blocks[k]
		if b.hi > s {
			continue
		}
		age := at - a.minute(b.lo)
		if age > trailing && len(week) > 0 {
			break
		}
		week = append(week, b)
		if piece < 0 {
			piece = b.piece
		}
		if b.piece == piece && (age <= recent || len(day) == 0) {
			day = append(day, b)
		}
	}
	usual, now := pooled(week, a.dispersion), pooled(day, a.dispersion)
	expected := usual.ratio * now.n
	if excess := now.ratio*now.n - expected; excess > doubt*math.Sqrt(a.dispersion*expected)+1 {
		return now.withPrior(a.prior)
	}
	return usual.withPrior(a.prior)
}
