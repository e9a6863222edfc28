package slo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"
)

// The stored form of slots: a version byte, then varints, then a CRC-32. Slots
// are kept in columns: runs of slots and gaps, totals, bads. A column holds the
// zigzag differences between neighbours; a zero is followed by how many more
// zeros follow. Steady traffic costs about three bytes for each slot.
const codecVersion = 1

// errCorrupt is what every damaged form decodes to.
var errCorrupt = errors.New("the stored slots are damaged")

// Encode is the compact form of a history of events.
func (s *Series) Encode() []byte {
	b := []byte{codecVersion}
	b = binary.AppendUvarint(b, uint64(s.width))
	b = binary.AppendUvarint(b, uint64(s.phase))
	b = binary.AppendUvarint(b, uint64(s.scale))
	b = binary.AppendUvarint(b, uint64(len(s.index)))
	if len(s.index) > 0 {
		b = binary.AppendVarint(b, s.index[0])
	}
	for i := 0; i < len(s.index); {
		run := 1
		for i+run < len(s.index) && s.index[i+run] == s.index[i+run-1]+1 {
			run++
		}
		b = binary.AppendUvarint(b, uint64(run))
		if i += run; i < len(s.index) {
			b = binary.AppendUvarint(b, uint64(s.index[i]-s.index[i-1]-1))
		}
	}
	b = appendColumn(b, len(s.index), func(i int) int64 { return s.total[i+1] - s.total[i] })
	b = appendColumn(b, len(s.index), func(i int) int64 {
		return s.total[i+1] - s.total[i] - s.good[i+1] + s.good[i]
	})
	return checksummed(b)
}

func checksummed(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b)) }

// DecodeSeries is the history that Encode wrote.
func DecodeSeries(data []byte) (*Series, error) {
	r, err := openStored(data)
	if err != nil {
		return nil, err
	}
	s := &Series{width: int64(r.uvarint()), phase: int64(r.uvarint()), scale: int64(r.uvarint()), good: []int64{0}, total: []int64{0}}
	n := r.count(1)
	if s.width <= 0 || s.scale <= 0 || s.phase < 0 || s.phase >= s.width {
		return nil, errCorrupt
	}
	if n > 0 {
		s.index = make([]int64, 0, n)
		next := r.varint()
		for len(s.index) < n && !r.bad {
			run := int64(r.uvarint())
			if run <= 0 || run > int64(n-len(s.index)) {
				return nil, errCorrupt
			}
			for range run {
				s.index = append(s.index, next)
				next++
			}
			if len(s.index) < n {
				gap := int64(r.uvarint())
				if gap <= 0 || gap > 1<<62 || next > 1<<62 {
					return nil, errCorrupt
				}
				next += gap
			}
		}
	}
	total, bad := r.column(n), r.column(n)
	if r.bad || len(r.rest) > 0 {
		return nil, errCorrupt
	}
	s.good, s.total = slices.Grow(s.good, n), slices.Grow(s.total, n)
	for i := range n {
		if bad[i] < 0 || total[i] < bad[i] {
			return nil, errCorrupt
		}
		s.good, s.total = append(s.good, s.good[i]+total[i]-bad[i]), append(s.total, s.total[i]+total[i])
	}
	return s, nil
}

// Merge adds the slots of another history of the same width and phase, such as
// the next chunk; where both have a slot, counts add up.
func (s *Series) Merge(other *Series) error {
	if other.Len() == 0 {
		return nil
	}
	if s.width != other.width || s.phase != other.phase || s.scale != other.scale {
		return fmt.Errorf("slots of %s cannot be merged into slots of %s", other.Width(), s.Width())
	}
	after := len(s.index) == 0 || s.index[len(s.index)-1] < other.index[0]
	for i, n := range other.index {
		good, total := other.good[i+1]-other.good[i], other.total[i+1]-other.total[i]
		if after {
			s.push(n, good, total)
		} else if err := s.Add(s.start(n), good, total); err != nil {
			return err
		}
	}
	return nil
}

// Between is the slots that begin in [from, to).
func (s *Series) Between(from, to time.Time) *Series {
	i := s.search(floorDiv(from.UnixNano()-s.phase+s.width-1, s.width))
	j := max(i, s.search(floorDiv(to.UnixNano()-s.phase+s.width-1, s.width)))
	out := &Series{width: s.width, phase: s.phase, scale: s.scale, good: []int64{0}, total: []int64{0}}
	for ; i < j; i++ {
		out.push(s.index[i], s.good[i+1]-s.good[i], s.total[i+1]-s.total[i])
	}
	return out
}

// appendColumn writes n numbers as differences, zeros by the run.
func appendColumn(b []byte, n int, at func(int) int64) []byte {
	last := int64(0)
	for i := 0; i < n; {
		v := at(i)
		if v != last {
			b = binary.AppendVarint(b, v-last)
			last, i = v, i+1
			continue
		}
		run := 1
		for i+run < n && at(i+run) == last {
			run++
		}
		b = append(b, 0)
		b = binary.AppendUvarint(b, uint64(run-1))
		i += run
	}
	return b
}

// stored reads varints; the first that is missing sets bad.
type stored struct {
	rest []byte
	bad  bool
}

// openStored checks version and checksum.
func openStored(data []byte) (*stored, error) {
	if len(data) < 5 {
		return nil, errCorrupt
	}
	body := data[:len(data)-4]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(data[len(data)-4:]) {
		return nil, errCorrupt
	}
	if body[0] != codecVersion {
		return nil, fmt.Errorf("stored slots of version %d cannot be read by this version", body[0])
	}
	return &stored{rest: body[1:]}, nil
}

func (r *stored) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *stored) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// maxStored bounds what one stored form may unfold into.
const maxStored = 1 << 22

// count is a number of things of a size, within bounds.
func (r *stored) count(size int) int {
	n := r.uvarint()
	if n > uint64(maxStored/size) {
		r.bad, r.rest = true, nil
		return 0
	}
	return int(n)
}

// column is the n numbers that appendColumn wrote.
func (r *stored) column(n int) []int64 {
	out := make([]int64, 0, min(n, 1<<16))
	last := int64(0)
	for len(out) < n && !r.bad {
		d := r.varint()
		if d != 0 {
			last += d
			out = append(out, last)
			continue
		}
		run := r.uvarint()
		if run >= uint64(n-len(out)) {
			r.bad = true
			break
		}
		for range run + 1 {
			out = append(out, last)
		}
	}
	if r.bad {
		return make([]int64, n)
	}
	return out
}
