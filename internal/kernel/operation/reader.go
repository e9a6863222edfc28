package operation

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

type (
	readerKey struct{}
	atKey     struct{}
	callKey   struct{}
)

// WithReader has operations read the facts as of another moment: a face that
// is asked for --at T puts a reader of the states as recorded by T here.
func WithReader(ctx context.Context, past projection.Reader) context.Context {
	return context.WithValue(ctx, readerKey{}, past)
}

// Reader is the reader an operation's reads use: the one of the moment asked
// for, or the live one.
func Reader(ctx context.Context, live projection.Reader) projection.Reader {
	if past, ok := ctx.Value(readerKey{}).(projection.Reader); ok {
		return past
	}
	return live
}

// WithAt tells operations the moment asked for by --at.
func WithAt(ctx context.Context, at time.Time) context.Context {
	return context.WithValue(ctx, atKey{}, at)
}

// At is the moment asked for; ok is false for the present.
func At(ctx context.Context) (at time.Time, ok bool) {
	at, ok = ctx.Value(atKey{}).(time.Time)
	return at, ok
}

// WithCall gives a call its identifier.
func WithCall(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, callKey{}, id)
}

// CallID identifies the call being handled, and is the same when a caller
// repeats it with its idempotency key: facts whose ID starts with it are
// recorded once. It is also the ID of the operation.called event, and so the
// Cause of those facts. Empty outside a face.
func CallID(ctx context.Context) string {
	id, _ := ctx.Value(callKey{}).(string)
	return id
}

// FactID identifies a fact by the call that led to it, so that a repeated call
// records it once. Empty outside a face.
func FactID(ctx context.Context, what string) string {
	if id := CallID(ctx); id != "" {
		return id + "#" + what
	}
	return ""
}
