// Package workloadtest is the conformance suite of port workload: what every
// adapter must do, tried on the real thing.
package workloadtest

import (
	"context"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// patience is how long an asynchronous effect may take.
const patience = 60 * time.Second

// eventually asks again and again until ok, and fails the test with what was
// last said when patience ends.
func eventually(t *testing.T, ask func() (said string, ok bool)) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	for {
		said, ok := ask()
		if ok {
			return
		}
		if clock.Sleep(ctx, clock.Wall(), 20*time.Millisecond) != nil {
			t.Fatalf("not within %s; at last: %s", patience, said)
		}
	}
}
