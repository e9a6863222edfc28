package remote

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	protocol "github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/flyball-dev/flyball/internal/port/metric"
)

// maxFrame bounds one frame of a stream. Prometheus makes them of 1 MiB.
const maxFrame = 4 << 20

// chunks collects the samples of a stream of frames.
type chunks struct {
	first, last int64 // the samples wanted, Unix milliseconds
	out         []metric.Series
	labels      []prompb.Label // of the series that is being read
	now         metric.Series
	samples     int
	iterator    chunkenc.Iterator
}

// decodeChunks reads the frames of a remote read's answer: the float samples in
// [first, last] without stale markers. What it does not understand, native
// histograms among it, is errOtherWay; what is beyond the limits is Invalid.
func decodeChunks(r io.Reader, first, last int64) (metric.Result, error) {
	c := &chunks{first: first, last: last}
	stream := &counted{r: r}
	frames := protocol.NewChunkedReader(stream, maxFrame, nil)
	for whole := 0; ; {
		data, err := frames.Next()
		if errors.Is(err, io.EOF) {
			if stream.n != whole {
				return metric.Result{}, errOtherWay // cut within the head of a frame
			}
			break
		}
		whole += len(binary.AppendUvarint(nil, uint64(len(data)))) + crc32.Size + len(data)
		var f prompb.ChunkedReadResponse
		if err != nil || f.Unmarshal(data) != nil || f.QueryIndex != 0 {
			return metric.Result{}, errOtherWay
		}
		for _, s := range f.ChunkedSeries {
			if err := c.add(s); err != nil {
				return metric.Result{}, err
			}
		}
	}
	if err := c.finish(); err != nil {
		return metric.Result{}, err
	}
	slices.SortFunc(c.out, func(a, b metric.Series) int { return metric.CompareLabels(a.Labels, b.Labels) })
	for i := 1; i < len(c.out); i++ {
		if metric.CompareLabels(c.out[i-1].Labels, c.out[i].Labels) == 0 {
			return metric.Result{}, errOtherWay
		}
	}
	return metric.Result{Series: c.out}, nil
}

// counted counts the bytes of a stream.
type counted struct {
	r io.Reader
	n int
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += n
	return n, err
}

// add reads some chunks of a series, which may go on in the next frame.
func (c *chunks) add(s *prompb.ChunkedSeries) error {
	if c.now.Labels == nil || !slices.EqualFunc(c.labels, s.Labels, func(a, b prompb.Label) bool { return a.Name == b.Name && a.Value == b.Value }) {
		if err := c.finish(); err != nil {
			return err
		}
		c.labels, c.now = s.Labels, metric.Series{Labels: make(metric.Labels, len(s.Labels))}
		for _, l := range s.Labels {
			c.now.Labels[l.Name] = l.Value
		}
	}
	c.now.Points = slices.Grow(c.now.Points, c.most(s.Chunks))
	for _, chunk := range s.Chunks {
		if err := c.chunk(chunk); err != nil {
			return err
		}
	}
	return nil
}

// most is how many samples chunks say they have, if that can be.
func (c *chunks) most(list []prompb.Chunk) int {
	n := 0
	for _, chunk := range list {
		if len(chunk.Data) >= 2 {
			n += min(int(binary.BigEndian.Uint16(chunk.Data)), 4*len(chunk.Data)) // a sample takes two bits
		}
	}
	return min(n, metric.MaxSamples-c.samples)
}

// finish puts the series that is complete with the others.
func (c *chunks) finish() error {
	if len(c.now.Points) == 0 {
		return nil
	}
	if len(c.out) == metric.MaxSeries {
		return tooMuch("%d series", len(c.out)+1, metric.MaxSeries)
	}
	c.samples++ // as for a query: a series takes room too
	c.out = append(c.out, c.now)
	c.now = metric.Series{}
	return c.room()
}

func (c *chunks) room() error {
	if c.samples > metric.MaxSamples {
		return tooMuch("%d samples", c.samples, metric.MaxSamples)
	}
	return nil
}

// chunk reads samples, whose times have to rise.
func (c *chunks) chunk(from prompb.Chunk) error {
	encoding := chunkenc.Encoding(from.Type)
	if encoding != chunkenc.EncXOR || len(from.Data) < 2 {
		return errOtherWay
	}
	data, err := chunkenc.FromData(encoding, from.Data)
	if err != nil {
		return errOtherWay
	}
	c.iterator = data.Iterator(c.iterator)
	for c.iterator.Next() == chunkenc.ValFloat {
		at, v := c.iterator.At()
		if at < c.first || at > c.last || value.IsStaleNaN(v) {
			continue
		}
		if n := len(c.now.Points); n > 0 && c.now.Points[n-1].At >= at {
			return errOtherWay
		}
		c.now.Points = append(c.now.Points, metric.Point{At: at, Value: v})
		if c.samples++; c.samples > metric.MaxSamples {
			return c.room()
		}
	}
	if c.iterator.Err() != nil {
		return errOtherWay
	}
	return nil
}
