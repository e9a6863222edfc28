package memory

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/port/store"
)

type leases struct{ s *Store }

type lease struct {
	holder string // empty: free
	epoch  int64
	until  time.Time
}

func (l leases) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (epoch int64, err error) {
	now := l.s.options.Clock.Now()
	err = l.s.write(ctx, "lease", func(db *database) error {
		held := db.leases[name]
		if held.holder != "" && held.holder != holder && now.Before(held.until) {
			return store.Held(name, held.holder, held.until)
		}
		if held.holder != holder {
			held.epoch++
		}
		epoch = held.epoch
		db.leases[name] = lease{holder: holder, epoch: epoch, until: now.Add(ttl)}
		return nil
	})
	return epoch, err
}

func (l leases) Renew(ctx context.Context, name, holder string, epoch int64, ttl time.Duration) error {
	now := l.s.options.Clock.Now()
	return l.s.write(ctx, "lease", func(db *database) error {
		held := db.leases[name]
		if held.holder != holder || held.epoch != epoch || holder == "" {
			return store.Lost(name, holder, epoch)
		}
		held.until = now.Add(ttl)
		db.leases[name] = held
		return nil
	})
}

func (l leases) Release(ctx context.Context, name, holder string, epoch int64) error {
	return l.s.write(ctx, "lease", func(db *database) error {
		if held := db.leases[name]; held.holder == holder && held.epoch == epoch {
			db.leases[name] = lease{epoch: epoch}
		}
		return nil
	})
}
