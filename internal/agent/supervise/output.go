package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

const (
	currentLog  = "output.log"
	rotatedMark = currentLog + "." // followed by the offset of the file's first byte
)

// Chunk is a piece of output.
type Chunk = workload.Chunk

// outputWriter appends to the segments of one run.
type outputWriter struct {
	dir   string
	limit Output
	file  *os.File
	start int64 // offset of the current segment's first byte
	size  int64 // bytes in it
}

func openOutput(dir string, limit Output) (*outputWriter, error) {
	segments, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	w := &outputWriter{dir: dir, limit: limit}
	if n := len(segments); n > 0 {
		w.start, w.size = segments[n-1].start, segments[n-1].size
	}
	w.file, err = os.OpenFile(filepath.Join(dir, currentLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	return w, err
}

// Write keeps p and never fails: the command must not block or die because the
// disk is full. What cannot be written is not kept.
func (w *outputWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if w.size >= w.limit.SegmentBytes {
			if err := w.rotate(); err != nil {
				return total, nil
			}
		}
		part := p[:min(int64(len(p)), w.limit.SegmentBytes-w.size)]
		n, err := w.file.Write(part)
		w.size += int64(n)
		if err != nil {
			return total, nil
		}
		p = p[n:]
	}
	return total, nil
}

func (w *outputWriter) rotate() error {
	current := filepath.Join(w.dir, currentLog)
	fresh, err := os.OpenFile(filepath.Join(w.dir, ".output-next"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if err := os.Rename(current, fmt.Sprintf("%s%d", filepath.Join(w.dir, rotatedMark), w.start)); err != nil {
		return errors.Join(err, fresh.Close())
	}
	if err := os.Rename(fresh.Name(), current); err != nil {
		return errors.Join(err, fresh.Close())
	}
	w.file.Close()
	w.file, w.start, w.size = fresh, w.start+w.size, 0
	return w.prune()
}

func (w *outputWriter) prune() error {
	segments, err := listSegments(w.dir)
	if err != nil {
		return err
	}
	first := 0
	if w.limit.KeepFirst {
		first = 1
	}
	for excess := len(segments) - w.limit.Segments; excess > 0; excess-- {
		if err := os.Remove(segments[first].path); err != nil {
			return err
		}
		segments = append(segments[:first], segments[first+1:]...)
	}
	return nil
}

// segment is one file of output.
type segment struct {
	path        string
	start, size int64
}

func (s segment) end() int64 { return s.start + s.size }

// listSegments lists the output files by offset, the current one last. Gaps
// between them are what was dropped.
func listSegments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []segment
	var current *segment
	for _, e := range entries {
		rotated, isRotated := strings.CutPrefix(e.Name(), rotatedMark)
		if !isRotated && e.Name() != currentLog {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // rotated away or pruned since
		}
		if err != nil {
			return nil, err
		}
		s := segment{path: filepath.Join(dir, e.Name()), size: info.Size()}
		if !isRotated {
			current = &s
		} else if s.start, err = strconv.ParseInt(rotated, 10, 64); err == nil {
			list = append(list, s)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].start < list[j].start })
	if current != nil {
		if n := len(list); n > 0 {
			current.start = list[n-1].end()
		}
		list = append(list, *current)
	}
	return list, nil
}

func measureSegments(list []segment) (printed, dropped int64) {
	for _, s := range list {
		dropped += s.start - printed
		printed = s.end()
	}
	return printed, dropped
}

// Read gives the output from offset on: at most limit bytes (at most, and for 0,
// workload.MaxOutput). A negative offset means that many bytes before the end.
// It does not wait for more.
func Read(dir string, offset int64, limit int) (Chunk, error) {
	if limit <= 0 || limit > workload.MaxOutput {
		limit = workload.MaxOutput
	}
	status, err := Observe(dir) // before the files: an ended run prints no more
	if err != nil {
		return Chunk{}, err
	}
	if offset < 0 {
		offset = max(0, status.OutputBytes+offset)
	}
	for try := 0; ; try++ {
		chunk, err := readOnce(dir, offset, limit)
		// A file may be rotated away between listing and opening.
		if errors.Is(err, errRotated) && try < 10 {
			continue
		}
		if err != nil {
			return Chunk{}, err
		}
		chunk.End = status.Ended() && chunk.Next >= status.OutputBytes
		return chunk, nil
	}
}

var errRotated = errors.New("the output was rotated while it was read")

func readOnce(dir string, offset int64, limit int) (Chunk, error) {
	chunk := Chunk{Offset: offset, Next: offset}
	list, err := listSegments(dir)
	if err != nil {
		return chunk, err
	}
	i := sort.Search(len(list), func(i int) bool { return list[i].end() > offset })
	if i == len(list) {
		return chunk, nil
	}
	s := list[i]
	if offset < s.start {
		chunk.Dropped = s.start - offset
		chunk.Offset = s.start
	}
	f, err := os.Open(s.path)
	if err != nil {
		return chunk, errRotated
	}
	defer f.Close()
	after, err := listSegments(dir)
	if err != nil {
		return chunk, err
	}
	if len(after) <= i || after[i].path != s.path || after[i].start != s.start {
		return chunk, errRotated
	}
	chunk.Data = make([]byte, min(int64(limit), s.end()-chunk.Offset))
	n, err := f.ReadAt(chunk.Data, chunk.Offset-s.start)
	if err != nil && err != io.EOF {
		return chunk, err
	}
	chunk.Data = chunk.Data[:n]
	chunk.Next = chunk.Offset + int64(n)
	return chunk, nil
}

// Follow hands every chunk from offset on to yield, waiting for more, until the
// run has ended, yield fails or ctx is done.
func Follow(ctx context.Context, clk clock.Clock, dir string, offset int64, yield func(Chunk) error) error {
	for {
		chunk, err := Read(dir, offset, 0)
		if err != nil {
			return err
		}
		if len(chunk.Data) > 0 || chunk.Dropped > 0 {
			if err := yield(chunk); err != nil {
				return err
			}
		}
		if chunk.End {
			return nil
		}
		offset = chunk.Next
		if len(chunk.Data) == 0 {
			if err := clock.Sleep(ctx, clk, 100*time.Millisecond); err != nil {
				return err
			}
		}
	}
}
