package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/flyball-dev/flyball/internal/agent/contract"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// lease is how far the lease of a route is.
type lease struct {
	contract.Key
	Issued   int64     `json:"issued"` // generation of the split it belongs to
	Ends     time.Time `json:"ends"`
	Lapsed   bool      `json:"lapsed"`
	LapsedAt time.Time `json:"lapsed_at,omitzero"`

	stop chan struct{} // ends the wait for Ends; nil when nobody waits
}

// leases keeps those of all routes. Its methods want the agent's lock held. Time
// is measured by timers, which do not follow when the machine's clock is set;
// Ends matters only to observers and after a restart.
type leases struct {
	path  string
	clk   clock.Clock
	byKey map[contract.Key]*lease
	// due is called, without the lock, when a lease may have run out; the channel
	// tells this wait from later ones.
	due func(*lease, chan struct{})
}

func openLeases(dir string, clk clock.Clock, due func(*lease, chan struct{})) (*leases, error) {
	ls := &leases{path: filepath.Join(dir, "leases.json"), clk: clk, due: due, byKey: map[contract.Key]*lease{}}
	text, err := os.ReadFile(ls.path)
	if errors.Is(err, fs.ErrNotExist) {
		return ls, nil
	}
	if err != nil {
		return nil, err
	}
	var list []*lease
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", ls.path, err)
	}
	for _, l := range list {
		ls.byKey[l.Key] = l
	}
	return ls, nil
}

// follow makes the leases those of doc. A route issued anew gets a new lease;
// others go on, after a restart with what was left of them.
func (ls *leases) follow(doc contract.Document) {
	now := ls.clk.Now()
	kept := map[contract.Key]*lease{}
	for _, r := range doc.Routes {
		if r.Lease == 0 {
			continue
		}
		l := ls.byKey[r.Key()]
		switch {
		case l == nil || l.Issued != r.Issued:
			l = &lease{Key: r.Key(), Issued: r.Issued, Ends: now.Add(r.Lease)}
			ls.wait(l, r.Lease)
		case !l.Lapsed && l.stop == nil: // from an earlier agent
			if left := min(l.Ends.Sub(now), r.Lease); left > 0 {
				ls.wait(l, left)
			} else {
				l.Lapsed, l.LapsedAt = true, now
			}
		}
		kept[r.Key()] = l
	}
	for k, l := range ls.byKey {
		if kept[k] != l {
			l.halt()
		}
	}
	ls.byKey = kept
}

// wait calls due after d.
func (ls *leases) wait(l *lease, d time.Duration) {
	l.halt()
	stop := make(chan struct{})
	l.stop = stop
	timer := ls.clk.NewTimer(d)
	go func() {
		defer timer.Stop()
		select {
		case <-timer.C():
			ls.due(l, stop)
		case <-stop:
		}
	}()
}

func (l *lease) halt() {
	if l.stop != nil {
		close(l.stop)
		l.stop = nil
	}
}

// refresh lets the lease of a route run anew.
func (ls *leases) refresh(r contract.Route) error {
	if r.Lease == 0 {
		return nil
	}
	l := ls.byKey[r.Key()]
	if l.Lapsed {
		return problem.New(problem.Conflict, "agent.refresh", "the lease of %s/%s lapsed at %s; all traffic is on %s",
			r.Service, r.Environment, l.LapsedAt.Format(time.RFC3339), r.Stable).
			WithNext("shift traffic anew if the canary should go on")
	}
	l.Ends = ls.clk.Now().Add(r.Lease)
	ls.wait(l, r.Lease)
	return ls.save(false)
}

// lapse ends a lease for good; false when it was renewed or replaced meanwhile.
func (ls *leases) lapse(l *lease, stop chan struct{}) bool {
	if ls.byKey[l.Key] != l || l.Lapsed || l.stop != stop {
		return false
	}
	l.halt()
	l.Lapsed, l.LapsedAt = true, ls.clk.Now()
	return true
}

func (ls *leases) lapsed(k contract.Key) bool {
	l := ls.byKey[k]
	return l != nil && l.Lapsed
}

// save writes the leases. What is lost without durably is time: after a power
// cut, a lease may have less left than it had.
func (ls *leases) save(durably bool) error {
	list := make([]*lease, 0, len(ls.byKey))
	for _, l := range ls.byKey {
		list = append(list, l)
	}
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	if durably {
		return writeDurably(ls.path, text)
	}
	if err := os.WriteFile(ls.path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(ls.path+".new", ls.path)
}
