package proxy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// spool is a file of published, unacknowledged bins, so that they outlive the
// process. Each line is a CRC-32C in eight hexadecimal digits, a space and a
// record in JSON. The end may be torn by a crash; it is then cut off. The file
// is written without fsync: it outlives the process, not the machine, whose
// end would end the traffic too.
type spool struct {
	path   string
	file   *os.File
	size   int64 // bytes known to be good
	lines  int
	behind bool // a write failed: the file lacks something until rewritten
}

// record is one line: a bin, or how far bins are numbered and acknowledged.
type record struct {
	Bin  *Bin  `json:"bin,omitempty"`
	Last int64 `json:"last,omitempty"`
	Ack  int64 `json:"ack,omitempty"`
}

// spooled is what a spool held.
type spooled struct {
	bins        []Bin // unacknowledged, by rising Seq
	last, acked int64
	good        int64 // bytes up to the end of the last good line
	lines       int
	damaged     int // lines that were not what was written
}

const (
	spoolSlack = 4096    // lines of acknowledged bins tolerated before a rewrite
	maxLine    = 1 << 20 // longest line accepted
	crcDigits  = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openSpool opens or creates a spool and reads what it holds.
func openSpool(path string) (*spool, spooled, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, spooled{}, fmt.Errorf("spool: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, spooled{}, fmt.Errorf("spool: %w", err)
	}
	held, err := decodeSpool(f)
	if err == nil {
		err = f.Truncate(held.good)
	}
	if err == nil {
		_, err = f.Seek(held.good, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, spooled{}, problem.New(problem.Unavailable, "proxy.spool", "%s cannot be read: %w", path, err)
	}
	return &spool{path: path, file: f, size: held.good, lines: held.lines}, held, nil
}

// decodeSpool reads records until the end. A damaged line is skipped and
// counted; a torn end is not part of the good bytes.
func decodeSpool(r io.Reader) (spooled, error) {
	var s spooled
	in := bufio.NewReaderSize(r, 64<<10)
	var offset int64
	for {
		line, err := readLine(in)
		offset += int64(len(line))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return spooled{}, err
		}
		rec, ok := decodeLine(line)
		if !ok || rec.Bin != nil && rec.Bin.Seq <= s.last {
			s.damaged++
			continue
		}
		s.good, s.lines = offset, s.lines+1
		if rec.Bin != nil {
			s.bins = append(s.bins, *rec.Bin)
			s.last = rec.Bin.Seq
		}
		s.last = max(s.last, rec.Last, rec.Ack)
		s.acked = max(s.acked, rec.Ack)
	}
	n := 0
	for n < len(s.bins) && s.bins[n].Seq <= s.acked {
		n++
	}
	s.bins = s.bins[n:]
	return s, nil
}

// readLine reads through the next newline. Of a line longer than maxLine it
// returns the whole length but nobody will find it valid.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > maxLine {
			return line, nil // the rest is read as further damaged lines
		}
	}
}

func decodeLine(line []byte) (record, bool) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	if len(line) < crcDigits+1 || line[crcDigits] != ' ' {
		return record{}, false
	}
	want, err := strconv.ParseUint(string(line[:crcDigits]), 16, 32)
	body := line[crcDigits+1:]
	if err != nil || crc32.Checksum(body, castagnoli) != uint32(want) {
		return record{}, false
	}
	var rec record
	if json.Unmarshal(body, &rec) != nil || rec.Bin != nil && len(rec.Bin.Slow) != len(rec.Bin.Thresholds) {
		return record{}, false
	}
	return rec, true
}

func encodeRecord(to *bytes.Buffer, rec record) error {
	body, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	fmt.Fprintf(to, "%0*x %s\n", crcDigits, crc32.Checksum(body, castagnoli), body)
	return nil
}

func (s *spool) append(bins []Bin) error {
	recs := make([]record, len(bins))
	for i := range bins {
		recs[i].Bin = &bins[i]
	}
	return s.write(recs...)
}

func (s *spool) acknowledge(seq int64) error { return s.write(record{Ack: seq}) }

func (s *spool) write(recs ...record) error {
	var buf bytes.Buffer
	for _, rec := range recs {
		if err := encodeRecord(&buf, rec); err != nil {
			return err
		}
	}
	n, err := s.file.WriteAt(buf.Bytes(), s.size)
	if err != nil {
		s.behind = true
		if n > 0 {
			err = errors.Join(err, s.file.Truncate(s.size))
		}
		return err
	}
	s.size += int64(n)
	s.lines += len(recs)
	return nil
}

// worthRewriting says that most of the file is acknowledged, or that it lacks
// something.
func (s *spool) worthRewriting(live int) bool {
	return s.behind || s.lines > spoolSlack && s.lines > 2*live
}

// rewrite replaces the file by one that holds just these bins.
func (s *spool) rewrite(bins []Bin, last, acked int64) (err error) {
	s.behind = true
	var buf bytes.Buffer
	for i := range bins {
		if err := encodeRecord(&buf, record{Bin: &bins[i]}); err != nil {
			return err
		}
	}
	if err := encodeRecord(&buf, record{Last: last, Ack: acked}); err != nil {
		return err
	}
	tmp := s.path + ".new"
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			if rm := os.Remove(tmp); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
				err = errors.Join(err, rm)
			}
		}
	}()
	if _, err = f.Write(buf.Bytes()); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = os.Rename(tmp, s.path); err != nil {
		return err
	}
	s.file.Close() // the replaced file; its content is in the new one
	s.file, s.size, s.lines, s.behind = f, int64(buf.Len()), len(bins)+1, false
	return nil
}

func (s *spool) close() error { return s.file.Close() }
