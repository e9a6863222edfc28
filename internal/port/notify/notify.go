// Package notify is the port to whoever must be told: it delivers one message
// to one target.
//
// Delivery is at least once. A message carries a stable identifier, the same on
// every attempt, by which a receiver drops what it has seen; when to try again
// is the caller's business (the executor of actions retries with back-off).
// Adapters pass the suite in notifytest.
package notify

import (
	"context"
	"time"
)

// MaxBody is the most bytes a message may have.
const MaxBody = 64 << 10

// Class says how far a target's address is trusted.
type Class string

// The classes of targets.
const (
	// Public is for addresses that users supply at run time: only public
	// addresses are connected to.
	Public Class = "public"
	// Declared is for addresses declared in git, reviewed like code: they may
	// also be on this machine or in a private network.
	Declared Class = "declared"
)

// Target is where a message goes.
type Target struct {
	URL string
	// SecretEnv names the environment variable that holds the signing secret.
	// The secret itself is in no message, event or log. Empty: unsigned.
	SecretEnv string
	Class     Class // empty is Public
}

// Message is one thing to tell.
type Message struct {
	ID   string // stable over attempts; printable ASCII without spaces or dots
	To   Target
	Body []byte // JSON
}

// Receipt is what is known of a delivery.
type Receipt struct {
	Status  int           `json:"status"`           // of the protocol, such as 204
	Answer  string        `json:"answer,omitempty"` // the beginning of what the receiver said
	Elapsed time.Duration `json:"elapsed"`          // in nanoseconds
}

// Notifier delivers messages. Implementations are safe for concurrent use.
type Notifier interface {
	// Send delivers once and returns when the receiver has accepted. It fails
	// with problem.Invalid when no attempt can succeed (a malformed target or
	// message, an address the target's class forbids, a receiver that is gone
	// for good), and with problem.Unavailable when a later one may; RetryAfter
	// is then set if the receiver said so. It never outlives ctx, and gives up
	// by itself after a bounded time.
	Send(ctx context.Context, m Message) (Receipt, error)
}
