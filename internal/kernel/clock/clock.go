// Package clock is the only place in Flyball that reads the time.
//
// Everything that decides is handed one "now"; everything that waits asks a
// Clock for a timer. Wall is the machine's clock; Virtual stands still until a
// test or the simulator advances it, so a month passes in microseconds and the
// same seed always gives the same history.
package clock

import (
	"context"
	"time"
)

// Clock tells the time and wakes sleepers. Implementations are safe for
// concurrent use.
type Clock interface {
	// Now is the present instant. On the wall it is in local time and carries
	// Go's monotonic reading, which UTC() would drop: differences of two such
	// instants survive a jump of the machine's clock.
	Now() time.Time
	// NewTimer fires once, d after Now; a non-positive d fires at once.
	NewTimer(d time.Duration) Timer
}

// Timer is one pending wake-up.
type Timer interface {
	// C delivers the instant at which the timer fired, once.
	C() <-chan time.Time
	// Stop prevents a pending fire and reports whether it did.
	Stop() bool
}

// Sleep waits for d on c, or until ctx is done, whose error it then returns.
func Sleep(ctx context.Context, c Clock, d time.Duration) error {
	t := c.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Wall is the machine's clock.
func Wall() Clock { return wall{} }

type wall struct{}

func (wall) Now() time.Time { return time.Now() }

func (wall) NewTimer(d time.Duration) Timer { return wallTimer{time.NewTimer(d)} }

type wallTimer struct{ t *time.Timer }

func (t wallTimer) C() <-chan time.Time { return t.t.C }
func (t wallTimer) Stop() bool          { return t.t.Stop() }
