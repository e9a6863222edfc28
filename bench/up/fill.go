package main

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flyball-dev/flyball/bench/stage"
	"github.com/flyball-dev/flyball/internal/adapter/sqlite"
	"github.com/flyball-dev/flyball/internal/flow/artifact"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// span is the time over which the copied deliveries are spread.
const span = 90 * 24 * time.Hour

// filled says what is in the log.
type filled struct {
	events int
	bytes  int64 // of payload
	file   int64
}

// fill appends copies of a delivery until the log has the number of events
// wanted. The last delivery of each service is of the repository's newest
// commit, so that the server finds nothing to do.
func fill(ctx context.Context, s *stage.Stage, o options, delivery []event.Event) (filled, error) {
	names := make([]string, o.services-1)
	for i := range names {
		names[i] = fmt.Sprintf("service-%03d", i+1)
	}
	if err := s.Commit(ctx, "more services", map[string]string{"flyball/flyball.yaml": resources(append(names, original))}); err != nil {
		return filled{}, err
	}
	newest, err := exec.CommandContext(ctx, "git", "-C", s.Repo, "rev-parse", "HEAD").Output()
	if err != nil {
		return filled{}, err
	}
	path := filepath.Join(s.State(), "flyball.db")
	st, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return filled{}, err
	}
	defer st.Close()
	c, err := newCopier(st.Log(), delivery, strings.TrimSpace(string(newest)))
	if err != nil {
		return filled{}, err
	}
	each := max(1, o.events/len(delivery)/o.services)
	errs := make([]error, len(names)+1)
	var wg sync.WaitGroup
	for i, name := range append(names, original) {
		wg.Go(func() {
			for n := 0; n < each && errs[i] == nil; n++ {
				errs[i] = c.copy(ctx, name, n, each)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return filled{}, err
		}
	}
	h, err := st.Log().Head(ctx)
	if err != nil {
		return filled{}, err
	}
	if err := st.Close(); err != nil {
		return filled{}, err
	}
	info, err := os.Stat(path)
	return filled{int(h.Position), c.bytes.Load(), info.Size()}, err
}

// copier makes deliveries out of one.
type copier struct {
	log            event.Log
	delivery       []event.Event
	commit, digest string // of the delivery
	newest         string // commit that the last copies are of
	began          time.Time
	bytes          atomic.Int64
}

func newCopier(log event.Log, delivery []event.Event, newest string) (*copier, error) {
	c := &copier{log: log, delivery: delivery, newest: newest, began: time.Now().Add(-span)}
	for _, e := range delivery {
		switch e.Type {
		case change.EventPushed:
			d, err := event.Decode[change.Pushed](e)
			if err != nil {
				return nil, err
			}
			c.commit = d.Commit
		case artifact.EventBuilt:
			d, err := event.Decode[artifact.Built](e)
			if err != nil {
				return nil, err
			}
			c.digest = strings.TrimPrefix(d.Digest, "sha256:")
		}
	}
	if c.commit == "" || c.digest == "" {
		return nil, fmt.Errorf("the delivery recorded has no change or no artifact")
	}
	return c, nil
}

// copy appends the n-th delivery of a service, stream by stream as they came.
func (c *copier) copy(ctx context.Context, service string, n, of int) error {
	sum := sha1.Sum(fmt.Appendf(nil, "%s %d", service, n))
	commit := hex.EncodeToString(sum[:])
	digest := hex.EncodeToString(sum[:]) + c.digest[40:]
	if n == of-1 {
		commit = c.newest
	}
	// What is short stands alone too, in the names of changes and revisions.
	names := strings.NewReplacer(original, service, c.commit, commit, c.commit[:7], commit[:7],
		c.digest, digest, "-"+c.digest[:12], "-"+digest[:12], "-"+c.digest[:6], "-"+digest[:6])
	moved := c.began.Add(time.Duration(n) * span / time.Duration(of)).Sub(c.delivery[0].Time)
	for i := 0; i < len(c.delivery); {
		b := event.Batch{Stream: names.Replace(c.delivery[i].Stream), Expect: event.AnyVersion}
		for stream := c.delivery[i].Stream; i < len(c.delivery) && c.delivery[i].Stream == stream; i++ {
			e := c.delivery[i]
			d := event.Draft{
				ID: names.Replace(e.ID), Type: e.Type, Subject: names.Replace(e.Subject), Time: e.Time.Add(moved),
				Actor: e.Actor, Cause: names.Replace(e.Cause), Data: json.RawMessage(names.Replace(string(e.Data))),
			}
			if d.ID == e.ID {
				d.ID = "" // a random one
			}
			c.bytes.Add(int64(len(d.Data.(json.RawMessage))))
			b.Drafts = append(b.Drafts, d)
		}
		if _, err := c.log.Append(ctx, b); err != nil {
			return err
		}
	}
	return nil
}
