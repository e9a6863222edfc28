// Package event is the record of what happened, from which everything Flyball
// shows is computed.
//
// An Event is a CloudEvents 1.0 envelope with three additions: when we came to
// know it (Recorded), who did it (Actor), and which event led to it (Cause).
// Events are appended to streams under optimistic concurrency and land in one
// global chain: positions are gap-free from 1, so whoever has seen position n
// has seen everything before it, and each header is hashed with the one before
// it, so that a change to the past is found (see chain.go). A payload can be
// erased, because the chain holds only its salted digest.
//
// Log is implemented by internal/adapter/sqlite and internal/adapter/memory;
// both pass the suite in internal/port/store/storetest.
package event

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	jsonv1 "github.com/go-json-experiment/json/v1"
)

// Bounds on what one event or one append may hold.
const (
	MaxData   = 1 << 20 // bytes of one payload
	MaxField  = 1 << 10 // bytes of any header field
	MaxDrafts = 1 << 12 // events in one append
)

// TypeErased is the fact that an event's payload was erased; its data is an
// Erasure, its stream ErasureStream and its subject that of the erased event.
const (
	TypeErased    = "event.erased"
	ErasureStream = "event/erasures"
)

// Erasure says which payload was erased and why.
type Erasure struct {
	Position int64  `json:"position"` // of the erased event
	Type     string `json:"type"`     // of the erased event
	Reason   string `json:"reason"`
}

// AnyVersion tells Append not to check the stream's version.
const AnyVersion int64 = -1

// Event is one fact.
type Event struct {
	Position int64           `json:"position"`         // place in the global chain, from 1, gap-free
	Stream   string          `json:"stream"`           // unit of concurrency, such as "rollout/checkout-42"
	Version  int64           `json:"version"`          // place in the stream, from 1, gap-free
	ID       string          `json:"id"`               // unique within Source
	Source   string          `json:"source"`           // who says so, such as "flyball" or "github.com/acme/shop"
	Type     string          `json:"type"`             // noun and past participle, such as "rollout.stepped"
	Subject  string          `json:"subject"`          // what it is about, such as "rollout/checkout-42"
	Time     time.Time       `json:"time"`             // when it happened
	Recorded time.Time       `json:"recorded"`         // when we knew; never decreases along the chain
	Actor    string          `json:"actor"`            // who did it, such as "user:ana" or "controller:rollout"
	Cause    string          `json:"cause,omitempty"`  // ID of the event that led to this one
	Data     json.RawMessage `json:"data,omitempty"`   // payload; nil once erased
	Erased   bool            `json:"erased,omitempty"` // the payload was removed on request
	Salt     []byte          `json:"salt,omitempty"`   // random; removed with the payload
	Digest   []byte          `json:"digest"`           // SHA-256 of salt and payload
	Hash     []byte          `json:"hash"`             // SHA-256 of the previous hash and this header
}

// Draft is a fact not yet recorded. Time, ID and Source may be left empty:
// the log then fills in the present, a fresh identifier and "flyball".
type Draft struct {
	ID      string
	Source  string
	Type    string
	Subject string
	Time    time.Time
	Actor   string
	Cause   string
	Data    any // marshalled to JSON
}

// Lease fences a writer: an append made under a lease is refused once a newer
// epoch of the same name was granted.
type Lease struct {
	Name  string
	Epoch int64
}

// Batch is one atomic append.
type Batch struct {
	Stream string
	Expect int64 // the stream's present version, 0 for a new one, or AnyVersion
	Lease  Lease // zero: not fenced
	Drafts []Draft
}

// Query selects events in order of position.
type Query struct {
	After      int64     // positions greater than this
	Until      int64     // positions up to and including this; 0 is no bound
	Stream     string    // this stream only
	Subject    string    // this subject only
	ID         string    // the event of this identifier and of source "flyball" only: what a Cause names
	Types      []string  // these types, or prefixes ending in a dot ("rollout."); empty is all
	RecordedBy time.Time // recorded at or before; zero is no bound
	Limit      int       // at most this many, 0 is 1,000
}

// Head is the end of the chain.
type Head struct {
	Position int64  `json:"position"`
	Hash     []byte `json:"hash"`
}

// Log is the append-only chain of facts. Methods are safe for concurrent use,
// by several processes where the store behind allows it.
type Log interface {
	// Append records a batch atomically and returns when it is durable, with
	// the events as recorded. It fails with problem.Conflict when the stream is
	// not at b.Expect or the lease's epoch is stale, and problem.Invalid when a
	// draft breaks a bound. A draft whose (Source, ID) is already recorded is
	// not recorded again: the earlier event is returned in its place, and a
	// batch of which every draft is known succeeds whatever b.Expect says, so
	// that a retried append is harmless. Two equal identifiers in one batch
	// are one event. When ctx ends first, whether the batch is recorded is not
	// known; appending it again with the same IDs tells.
	Append(ctx context.Context, b Batch) ([]Event, error)
	// Read returns matching events in order of position. Fewer than the limit
	// means the end was reached.
	Read(ctx context.Context, q Query) ([]Event, error)
	// Head is the last event's position and hash; zero for an empty log.
	Head(ctx context.Context) (Head, error)
	// Version is a stream's present version, 0 for one without events. What is
	// loaded after asking may be newer; appending with Expect set to the answer
	// then fails, which is the point of asking first.
	Version(ctx context.Context, stream string) (int64, error)
	// Wait returns once the log holds an event after the position given, or
	// with ctx's error.
	Wait(ctx context.Context, after int64) error
	// Erase removes one event's payload and salt for good and records an
	// event.erased with actor and reason. The chain still verifies. Erasing
	// what is erased already records nothing and makes sure again that no copy
	// is left in the log's files. States folded from the payload are the
	// business of projection.Runner, which folds them again.
	Erase(ctx context.Context, position int64, actor, reason string) error
}

// Matches reports whether an event type is among the wanted types or prefixes.
func Matches(wanted []string, typ string) bool {
	if len(wanted) == 0 {
		return true
	}
	for _, w := range wanted {
		if w == typ || strings.HasSuffix(w, ".") && strings.HasPrefix(typ, w) {
			return true
		}
	}
	return false
}

// Decode unmarshals an event's payload into T. An erased payload gives the
// zero T: a fold must make do with what is left.
func Decode[T any](e Event) (T, error) {
	var v T
	if e.Erased {
		return v, nil
	}
	err := Unmarshal(e.Data, &v)
	return v, err
}

// Unmarshal is json.Unmarshal, at half the cost or less: the engine of
// encoding/json/v2 with the semantics of encoding/json. Folding a log is
// decoding, mostly. Fields of type json.Number are not supported.
func Unmarshal(data []byte, into any) error { return jsonv1.Unmarshal(data, into) }
