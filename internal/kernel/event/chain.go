package event

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// The chain, after Crosby and Wallach, "Efficient Data Structures for
// Tamper-Evident Logging" (2009), in its simplest form:
//
//	digest(n) = SHA-256(salt(n) ‖ payload(n))
//	hash(n)   = SHA-256(hash(n-1) ‖ header(n) ‖ digest(n)),  hash(0) = 32 zeros
//
// where header is every field but Data and Salt, each prefixed with its length.

// Seal does what recording a batch needs and its place in the chain does not:
// it checks bounds, marshals payloads, and salts and digests them. Adapters
// call it before writers take turns, and Place once it is a batch's turn.
func Seal(b Batch) ([]Event, error) {
	if len(b.Drafts) == 0 || len(b.Drafts) > MaxDrafts {
		return nil, problem.New(problem.Invalid, "event.append", "a batch of %d events for stream %q, from 1 to %d are allowed", len(b.Drafts), b.Stream, MaxDrafts)
	}
	if b.Expect < AnyVersion {
		return nil, problem.New(problem.Invalid, "event.append", "version %d of stream %q cannot be expected", b.Expect, b.Stream)
	}
	sealed := make([]Event, len(b.Drafts))
	salts := make([]byte, saltSize*len(b.Drafts))
	rand.Read(salts)
	for i, d := range b.Drafts {
		e, err := seal(d, b.Stream, salts[i*saltSize:(i+1)*saltSize:(i+1)*saltSize])
		if err != nil {
			return nil, err
		}
		sealed[i] = e
	}
	return sealed, nil
}

func seal(d Draft, stream string, salt []byte) (Event, error) {
	data, err := json.Marshal(d.Data)
	if err != nil {
		return Event{}, problem.New(problem.Invalid, "event.append", "payload of %s: %w", d.Type, err)
	}
	e := Event{
		Stream: stream, ID: d.ID, Source: d.Source, Type: d.Type, Subject: d.Subject,
		Time: d.Time.UTC().Truncate(time.Microsecond), Actor: d.Actor, Cause: d.Cause, Data: data,
	}
	if e.Source == "" {
		e.Source = "flyball"
	}
	if e.Subject == "" {
		e.Subject = stream
	}
	if err := check(e); err != nil {
		return Event{}, err
	}
	e.Salt = salt
	e.Digest = digest(e.Salt, e.Data)
	return e, nil
}

// Place puts a sealed event at its place: after the event whose hash is prev,
// recorded at the instant given. An empty ID or Time is filled in.
func (e Event) Place(position, version int64, recorded time.Time, prev []byte) Event {
	e.Position, e.Version = position, version
	e.Recorded = recorded.UTC().Truncate(time.Microsecond)
	if e.Time.IsZero() {
		e.Time = e.Recorded
	}
	if e.ID == "" {
		// Identifiers that grow with time keep an index on them compact.
		e.ID = strconv.FormatInt(e.Recorded.UnixMicro(), 32) + rand.Text()[:13]
	}
	e.Hash = hash(prev, e)
	return e
}

// Record seals one draft and places it.
func Record(d Draft, stream string, position, version int64, recorded time.Time, prev []byte) (Event, error) {
	sealed, err := Seal(Batch{Stream: stream, Drafts: []Draft{d}})
	if err != nil {
		return Event{}, err
	}
	return sealed[0].Place(position, version, recorded, prev), nil
}

func check(e Event) error {
	if e.Type == "" || e.Stream == "" || e.Actor == "" {
		return problem.New(problem.Invalid, "event.append", "event %q in stream %q by %q: type, stream and actor are required", e.Type, e.Stream, e.Actor)
	}
	for _, s := range []string{e.Stream, e.ID, e.Source, e.Type, e.Subject, e.Actor, e.Cause} {
		if len(s) > MaxField || !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			return problem.New(problem.Invalid, "event.append", "%s: a header field is longer than %d bytes, not UTF-8, or holds a NUL", e.Type, MaxField)
		}
	}
	if y := e.Time.Year(); y < 1 || y > 9999 {
		return problem.New(problem.Invalid, "event.append", "%s: happened in the year %d, from 1 to 9999 are allowed", e.Type, y)
	}
	if len(e.Data) > MaxData {
		return problem.New(problem.Invalid, "event.append", "%s: payload of %d bytes, at most %d are allowed", e.Type, len(e.Data), MaxData)
	}
	return nil
}

// Verify checks one event against the hash before it. An error names the
// position and what does not fit.
func Verify(e Event, prevPosition int64, prev []byte) error {
	switch {
	case e.Position != prevPosition+1:
		return corrupt(e, "follows position %d: there is a gap", prevPosition)
	case !e.Erased && !bytes.Equal(e.Digest, digest(e.Salt, e.Data)):
		return corrupt(e, "its payload does not match its digest")
	case e.Erased && len(e.Data) > 0:
		return corrupt(e, "it is marked erased and still has a payload")
	case !bytes.Equal(e.Hash, hash(prev, e)):
		return corrupt(e, "its header does not match the chain")
	}
	return nil
}

func corrupt(e Event, format string, args ...any) error {
	return problem.New(problem.Internal, "event.verify", "log corrupted at position %d (%s, stream %s): %s",
		e.Position, e.Type, e.Stream, fmt.Sprintf(format, args...)).
		WithNext("restore the log from a backup taken before this position; everything before it is intact")
}

const saltSize = 16 // bytes

func digest(salt, data []byte) []byte {
	h := sha256.New()
	h.Write(salt)
	h.Write(data)
	return h.Sum(nil)
}

var origin [sha256.Size]byte

func hash(prev []byte, e Event) []byte {
	if len(prev) == 0 {
		prev = origin[:]
	}
	b := make([]byte, 0, 512)
	b = append(b, prev...)
	for _, n := range []int64{e.Position, e.Version, e.Time.UnixMicro(), e.Recorded.UnixMicro()} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	for _, s := range []string{e.Stream, e.ID, e.Source, e.Type, e.Subject, e.Actor, e.Cause} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	b = append(b, e.Digest...)
	sum := sha256.Sum256(b)
	return sum[:]
}
