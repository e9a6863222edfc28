package sim

import (
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/measure"
	"github.com/flyball-dev/flyball/internal/port/notify"
	"github.com/flyball-dev/flyball/internal/port/store"
	"github.com/flyball-dev/flyball/internal/port/traffic"
)

// Bug is a mistake that is put between the real parts, to see that it is
// caught. Each field, when given, goes around one port.
type Bug struct {
	Name     string // what is wrong
	Caught   string // the invariant that is to find it
	Store    func(store.Store) store.Store
	Reader   func(projection.Reader) projection.Reader
	Router   func(traffic.Router) traffic.Router
	Measures func(measure.Source) measure.Source
	Notifier func(notify.Notifier) notify.Notifier
	Loses    int // appends that are acknowledged before they are durable
}

// The bugs of the modelled outside, which have no port to go around.
const (
	bugAgentEpoch = "the agent takes writes under an older epoch"
	bugLease      = "a canary's lease never lapses"
	bugSteps      = "a step's identifier is forgotten, and it is started again"
)

func (b *Bug) is(name string) bool { return b != nil && b.Name == name }

func (b *Bug) loses() int {
	if b == nil {
		return 0
	}
	return b.Loses
}

func (b *Bug) store(s store.Store) store.Store {
	if b == nil || b.Store == nil {
		return s
	}
	return b.Store(s)
}

func (b *Bug) reader(r projection.Reader) projection.Reader {
	if b == nil || b.Reader == nil {
		return r
	}
	return b.Reader(r)
}

func (b *Bug) router(r traffic.Router) traffic.Router {
	if b == nil || b.Router == nil {
		return r
	}
	return b.Router(r)
}

func (b *Bug) measures(m measure.Source) measure.Source {
	if b == nil || b.Measures == nil {
		return m
	}
	return b.Measures(m)
}

func (b *Bug) notifier(n notify.Notifier) notify.Notifier {
	if b == nil || b.Notifier == nil {
		return n
	}
	return b.Notifier(n)
}
