package sqlite

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

func (w *writer) lease(name string) (lease, error) {
	row, err := w.conn.first("SELECT holder, epoch, until FROM lease WHERE name = ?", name)
	if err != nil || row == nil {
		return lease{}, err
	}
	return lease{holder: row[0].(string), epoch: row[1].(int64), until: time.UnixMicro(row[2].(int64))}, nil
}

func (w *writer) setLease(name string, l lease) error {
	return w.conn.exec("INSERT INTO lease (name, holder, epoch, until) VALUES (?1, ?2, ?3, ?4)"+
		" ON CONFLICT (name) DO UPDATE SET holder = ?2, epoch = ?3, until = ?4", name, l.holder, l.epoch, l.until.UnixMicro())
}

func (l leases) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (int64, error) {
	var epoch int64
	err := l.s.write(ctx, "lease.acquire", func(w *writer) error {
		held, err := w.lease(name)
		if err != nil {
			return err
		}
		now := l.s.options.Clock.Now()
		if held.holder != "" && held.holder != holder && now.Before(held.until) {
			return store.Held(name, held.holder, held.until)
		}
		if held.holder != holder {
			held.epoch++
		}
		epoch = held.epoch
		return w.setLease(name, lease{holder: holder, epoch: epoch, until: now.Add(ttl)})
	}, nil)
	if err != nil {
		return 0, err
	}
	return epoch, nil
}

func (l leases) Renew(ctx context.Context, name, holder string, epoch int64, ttl time.Duration) error {
	return l.s.write(ctx, "lease.renew", func(w *writer) error {
		held, err := w.lease(name)
		if err != nil {
			return err
		}
		if held.holder != holder || held.epoch != epoch || holder == "" {
			return store.Lost(name, holder, epoch)
		}
		held.until = l.s.options.Clock.Now().Add(ttl)
		return w.setLease(name, held)
	}, nil)
}

func (l leases) Release(ctx context.Context, name, holder string, epoch int64) error {
	return l.s.write(ctx, "lease.release", func(w *writer) error {
		held, err := w.lease(name)
		if err != nil || held.holder != holder || held.epoch != epoch {
			return err
		}
		return w.setLease(name, lease{epoch: epoch})
	}, nil)
}
