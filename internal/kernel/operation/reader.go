package operation

import (
	"context"

	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

type readerKey struct{}

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
