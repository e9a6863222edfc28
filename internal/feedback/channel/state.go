package channel

import (
	"encoding/json"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Traffic is what went through a channel.
type Traffic struct {
	Sent      int       `json:"sent"`                 // messages that were accepted
	Failures  int       `json:"failures"`             // attempts that were not
	Repeated  int       `json:"repeated"`             // accepted though an earlier attempt may have arrived
	LastSent  time.Time `json:"last_sent,omitzero"`   //
	LastError string    `json:"last_error,omitempty"` // of the newest attempt that failed
	FailedAt  time.Time `json:"failed_at,omitzero"`   // when that was
}

// Works reports whether the newest attempt was accepted.
func (t Traffic) Works() bool { return t.FailedAt.IsZero() || t.LastSent.After(t.FailedAt) }

// ProjectionName is where a channel's traffic is folded, keyed by its name.
const ProjectionName = "channel"

// Projections are the folds of this room.
func Projections() []*projection.Projection {
	return []*projection.Projection{browsers(), projection.Define(projection.Fold[Traffic]{
		Name: ProjectionName, Version: 1, Types: []string{action.EventSucceeded, EventFailed, EventTested},
		Keys: func(e event.Event) []string {
			if c := about(e); c != "" {
				return []string{c}
			}
			return nil
		},
		Apply: func(_ string, t Traffic, e event.Event) (Traffic, error) { return t.apply(e) },
	})}
}

// about is the channel a fact concerns; empty when it is about none.
func about(e event.Event) string {
	if e.Type == action.EventSucceeded {
		d, _ := delivered(e)
		return d.Channel
	}
	f, err := event.Decode[Failed](e)
	if err != nil {
		return ""
	}
	return f.Channel
}

// delivered reads the result of an action, if that was to deliver a letter.
func delivered(e event.Event) (d Delivery, ok bool) {
	r, err := event.Decode[action.Result](e)
	if err != nil || json.Unmarshal(r.Output, &d) != nil {
		return Delivery{}, false
	}
	return d, d.Channel != "" && d.To != ""
}

func (t Traffic) apply(e event.Event) (Traffic, error) {
	switch e.Type {
	case EventFailed:
		f, err := event.Decode[Failed](e)
		if err != nil {
			return t, err
		}
		t.Failures++
		t.LastError, t.FailedAt = f.Error, e.Time
	default:
		d, ok := delivered(e)
		if e.Type == EventTested {
			tested, err := event.Decode[Tested](e)
			if err != nil {
				return t, err
			}
			d, ok = tested.Delivery, true
		}
		if ok && d.Skipped == "" {
			t.Sent++
			t.LastSent = e.Time
			if d.Repeat {
				t.Repeated++
			}
		}
	}
	return t, nil
}
