package slo

import "math"

// cell is the counts of one slot, in budget units.
type cell struct {
	bad, total int64
	known      int64 // base slots that reported
}

func (c cell) plus(d cell) cell  { return cell{c.bad + d.bad, c.total + d.total, c.known + d.known} }
func (c cell) minus(d cell) cell { return cell{c.bad - d.bad, c.total - d.total, c.known - d.known} }

// cells stores slots in eight bytes each until a count outgrows its bits, then
// wide. One cache line holds eight slots, which is what a tick over many
// objectives costs.
type cells struct {
	packed []uint64 // total in 32 bits, known in 8, bad in 24
	wide   []cell   // instead of packed
}

const (
	maxPackedBad   = 1<<24 - 1
	maxPackedKnown = 1<<8 - 1
)

// newCells touches every page at once. Otherwise the system would find memory
// for them when a slot is first reached, for all objectives in the same tick.
func newCells(n int) cells {
	const page = 4096 / 8
	c := cells{packed: make([]uint64, n)}
	for i := 0; i < n; i += page {
		c.packed[i] = 0
	}
	if n > 0 {
		c.packed[n-1] = 0
	}
	return c
}

func (c *cells) len() int { return max(len(c.packed), len(c.wide)) }

func (c *cells) get(p int) cell {
	if c.wide != nil {
		return c.wide[p]
	}
	v := c.packed[p]
	return cell{bad: int64(v & maxPackedBad), total: int64(v >> 32), known: int64(v >> 24 & maxPackedKnown)}
}

func (c *cells) set(p int, v cell) {
	if c.wide == nil && (v.total > math.MaxUint32 || v.bad > maxPackedBad || v.known > maxPackedKnown) {
		wide := make([]cell, len(c.packed))
		for i := range wide {
			wide[i] = c.get(i)
		}
		c.wide, c.packed = wide, nil
	}
	if c.wide != nil {
		c.wide[p] = v
		return
	}
	c.packed[p] = uint64(v.total)<<32 | uint64(v.known)<<24 | uint64(v.bad)
}

func (c *cells) clear(p int) {
	if c.wide != nil {
		c.wide[p] = cell{}
		return
	}
	c.packed[p] = 0
}

// ring is the newest slots of one width.
type ring struct {
	width int64 // nanoseconds
	head  int64 // index of the newest slot
	cells cells
}

func newRing(width int64, slots int) ring { return ring{width: width, cells: newCells(slots)} }

func (r *ring) holds(i int64) bool { return i <= r.head && i > r.head-int64(r.cells.len()) }

func (r *ring) place(i int64) int { return int(floorMod(i, int64(r.cells.len()))) }

// at is slot i; slots outside of the ring are empty.
func (r *ring) at(i int64) cell {
	if !r.holds(i) {
		return cell{}
	}
	return r.cells.get(r.place(i))
}

// add adds to slot i, if the ring holds it.
func (r *ring) add(i int64, d cell) {
	if r.holds(i) {
		r.cells.set(r.place(i), r.at(i).plus(d))
	}
}

// advance makes slot head the newest and empties the slots it enters.
func (r *ring) advance(head int64) {
	for i := max(r.head+1, head-int64(r.cells.len())+1); i <= head; i++ {
		r.cells.clear(r.place(i))
	}
	r.head = max(r.head, head)
}
