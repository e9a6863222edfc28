package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// What adapters have in common follows; nobody else needs it.

// VerifyLog walks a log from its first event to the head given and checks the
// chain, that Recorded never decreases, and that each erased payload has an
// event saying so.
func VerifyLog(ctx context.Context, log event.Log, head event.Head, progress func(done, total int64)) (Report, error) {
	report := Report{}
	prev := event.Event{}
	unexplained := map[string]int64{} // erased events by ID, until the event that says so
	for report.Events < head.Position {
		events, err := log.Read(ctx, event.Query{After: prev.Position, Until: head.Position})
		if err != nil {
			return report, problem.New(problem.KindOf(err), "store.verify", "the log cannot be read after position %d: %w", prev.Position, err).
				WithNext("restore the log from a backup; everything up to this position is intact")
		}
		if len(events) == 0 {
			return report, corrupt(prev.Position+1, "the log ends before it, but its head is at %d", head.Position)
		}
		for _, e := range events {
			if err := event.Verify(e, prev.Position, prev.Hash); err != nil {
				return report, err
			}
			if e.Recorded.Before(prev.Recorded) {
				return report, corrupt(e.Position, "it was recorded before the event in front of it")
			}
			if e.Erased {
				report.Erased++
				unexplained[e.ID] = e.Position
			}
			if e.Type == event.TypeErased {
				delete(unexplained, e.Cause)
			}
			prev = e
		}
		report.Events, report.Head = prev.Position, event.Head{Position: prev.Position, Hash: prev.Hash}
		if progress != nil {
			progress(report.Events, head.Position)
		}
	}
	if len(head.Hash) > 0 && string(head.Hash) != string(report.Head.Hash) {
		return report, corrupt(head.Position, "it is not the event the head names")
	}
	for _, position := range unexplained {
		return report, corrupt(position, "its payload is gone, but no event says that it was erased")
	}
	return report, nil
}

func corrupt(position int64, format string, args ...any) error {
	return problem.New(problem.Internal, "store.verify", "log corrupted at position %d: "+format, append([]any{position}, args...)...).
		WithNext("restore the log from a backup taken before this position; everything before it is intact")
}

// StaleVersion is the conflict of an append that expected another version.
func StaleVersion(stream string, is, expected int64) error {
	return problem.New(problem.Conflict, "event.append", "stream %s is at version %d, not %d", stream, is, expected).
		WithNext("read the stream again and decide on what is there now")
}

// StaleLease is the conflict of an append under an epoch that is not the
// lease's last one.
func StaleLease(l event.Lease, is int64) error {
	return problem.New(problem.Conflict, "event.append", "lease %s is at epoch %d, the append was made under %d", l.Name, is, l.Epoch).
		WithNext("another server has taken over; this one must acquire the lease again")
}

// Held is the conflict of a lease that somebody else holds.
func Held(name, holder string, until time.Time) error {
	return problem.New(problem.Conflict, "lease.acquire", "lease %s is held by %s until %s", name, holder, until.UTC().Format(time.RFC3339))
}

// Lost is the conflict of renewing a lease that is not one's own any more.
func Lost(name, holder string, epoch int64) error {
	return problem.New(problem.Conflict, "lease.renew", "%s does not hold lease %s at epoch %d any more", holder, name, epoch).
		WithNext("acquire it again")
}

// Outrun is the conflict of a save from a cursor that is not the stored one.
func Outrun(name string, m projection.Move, version int, cursor int64) error {
	return problem.New(problem.Conflict, "projection.save", "projection %s is at version %d, position %d; the save goes from version %d, position %d",
		name, version, cursor, m.Version, m.From)
}

// NoEvent is the error of erasing what is not there.
func NoEvent(position int64) error {
	return problem.New(problem.NotFound, "event.erase", "the log has no event at position %d", position)
}

// ErasureBatch is the append that records an erasure.
func ErasureBatch(e event.Event, actor, reason string) event.Batch {
	return event.Batch{Stream: event.ErasureStream, Expect: event.AnyVersion, Drafts: []event.Draft{{
		Type: event.TypeErased, Subject: e.Subject, Actor: actor, Cause: e.ID,
		Data: event.Erasure{Position: e.Position, Type: e.Type, Reason: reason},
	}}}
}

// CheckWrites holds a Put to the bounds.
func CheckWrites(writes []BlobWrite) error {
	if len(writes) > MaxWrites {
		return problem.New(problem.Invalid, "blob.put", "%d chunks in one write, at most %d are allowed", len(writes), MaxWrites)
	}
	for _, w := range writes {
		if w.Series == "" || len(w.Series) > event.MaxField || strings.ContainsRune(w.Series, 0) {
			return problem.New(problem.Invalid, "blob.put", "a series name is empty, longer than %d bytes, or holds a NUL", event.MaxField)
		}
		if len(w.Data) > MaxBlob {
			return problem.New(problem.Invalid, "blob.put", "series %s: chunk of %d bytes, at most %d are allowed", w.Series, len(w.Data), MaxBlob)
		}
	}
	return nil
}

// PageLimit is how many rows a page may hold.
func PageLimit(f projection.Filter) int {
	if f.Limit <= 0 {
		return 100
	}
	return min(f.Limit, projection.MaxPage)
}

// Place is where a page of a list ended.
type Place struct {
	Sort string `json:"s,omitempty"`
	Key  string `json:"k"`
}

// String is the place as a cursor for clients, who need not understand it.
func (p Place) String() string {
	b, _ := json.Marshal(p)
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParsePlace reads a cursor.
func ParsePlace(cursor string) (Place, error) {
	var p Place
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		return p, problem.New(problem.Invalid, "projection.list", "%q is not a cursor this list returned", cursor).
			WithNext("start again without a cursor")
	}
	return p, nil
}
