package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// How often a watched answer is asked for: at most, while events come, and at
// least, because measurements change without one.
const (
	watchAtMost  = 250 * time.Millisecond
	watchAtLeast = 5 * time.Second
)

// watch shows an answer again whenever it changes, until interrupted: in place
// on a terminal, one after the other elsewhere.
func (s *Session) watch(ctx context.Context, op operation.Operation, in any) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := make(chan struct{}, 1)
	go s.follow(ctx, followed{}, func(sse) error {
		select {
		case changed <- struct{}{}:
		default:
		}
		return nil
	})
	var shown []byte
	for {
		raw, err := s.answer(ctx, op, in)
		if err == nil {
			shown, err = s.redraw(op, raw, shown)
		}
		if err != nil && (problem.KindOf(err) != problem.Unavailable || shown == nil) {
			return err
		}
		if err := clock.Sleep(ctx, s.clock, watchAtMost); err != nil {
			return err
		}
		timer := s.clock.NewTimer(watchAtLeast)
		select {
		case <-changed:
		case <-timer.C():
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// redraw shows an answer if it differs from what is shown.
func (s *Session) redraw(op operation.Operation, raw, shown []byte) ([]byte, error) {
	text, _, err := s.rendered(op, raw)
	if err != nil || shown != nil && bytes.Equal(text, shown) {
		return shown, err
	}
	switch {
	case s.Terminal && shown == nil:
		_, err = fmt.Fprintf(s.Out, "\x1b[2J\x1b[H%s", text)
	case s.Terminal:
		// Home, each line cleared behind its text, everything below cleared.
		_, err = fmt.Fprint(s.Out, "\x1b[H"+strings.ReplaceAll(string(text), "\n", "\x1b[K\n")+"\x1b[J")
	case s.Format == "json":
		_, err = s.Out.Write(append(bytes.TrimSpace(raw), '\n')) // one line each
	case s.Format == "yaml":
		_, err = s.Out.Write(append([]byte("---\n"), text...))
	case shown != nil:
		_, err = s.Out.Write(append([]byte("\n"), text...))
	default:
		_, err = s.Out.Write(text)
	}
	return text, err
}
