package postmortem

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// ActionItem is something that is to be done so that it does not happen again,
// is noticed sooner, or hurts less.
type ActionItem struct {
	Place
	Item       string      `json:"item" doc:"its name: POSTMORTEM-NUMBER"`
	Title      string      `json:"title"`
	Kind       string      `json:"kind" doc:"prevent, detect, mitigate or process"`
	Owner      string      `json:"owner" doc:"who sees to it: a person or a team"`
	Due        time.Time   `json:"due"`
	State      string      `json:"state" doc:"open or closed"`
	Overdue    bool        `json:"overdue,omitempty" doc:"open, and past its due date; worked out for the moment asked about"`
	AddedAt    time.Time   `json:"added_at"`
	AddedBy    string      `json:"added_by"`
	ClosedAt   time.Time   `json:"closed_at,omitzero"`
	ClosedBy   string      `json:"closed_by,omitempty"`
	Evidence   *Evidence   `json:"evidence,omitempty" doc:"what shows that it was done"`
	Unproven   string      `json:"unproven,omitempty" doc:"why it was closed without evidence"`
	Rehearsals []Rehearsal `json:"rehearsals,omitempty" table:"-" doc:"times in which a failure was made on purpose, the newest 20"`
}

// Rehearsal is a time in which a failure is made on purpose.
type Rehearsal struct {
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	By       string    `json:"by"`
	Reason   string    `json:"reason,omitempty"`
	Position int64     `json:"position" doc:"of the fact in the log"`
}

// The states of an action item.
const (
	ItemOpen   = "open"
	ItemClosed = "closed"
)

const keepRehearsals = 20

// itemProjection folds action items by name, indexed by "postmortem", "team",
// "open" (with the value of the team, and of "all") and "all", each in order
// of due date.
func itemProjection() *projection.Projection {
	return projection.Define(projection.Fold[ActionItem]{
		Name: ItemProjection, Version: 1,
		Types: []string{EventItemAdded, EventItemChanged, EventItemRehearsed, EventItemClosed, EventItemReopened},
		Keys: func(e event.Event) []string {
			d, err := event.Decode[Item](e)
			if err != nil || d.Item == "" {
				return nil
			}
			return []string{d.Item}
		},
		Apply: func(_ string, i ActionItem, e event.Event) (ActionItem, error) { return i.apply(e) },
		Indexes: func(_ string, i ActionItem) []projection.Index {
			due := sortable(i.Due)
			out := []projection.Index{
				{Name: "all", Value: "yes", Sort: due}, {Name: "team", Value: i.Team, Sort: due},
				{Name: "postmortem", Value: i.Postmortem, Sort: i.number()},
			}
			if i.State == ItemOpen {
				out = append(out, projection.Index{Name: "open", Value: "yes", Sort: due}, projection.Index{Name: "open.team", Value: i.Team, Sort: due})
			}
			return out
		},
	})
}

// number is the item's number, for sorting.
func (i ActionItem) number() string {
	n, _ := strconv.Atoi(i.Item[strings.LastIndex(i.Item, "-")+1:])
	return sortable(time.UnixMicro(int64(n)))
}

func (i ActionItem) apply(e event.Event) (ActionItem, error) {
	switch e.Type {
	case EventItemAdded, EventItemChanged:
		d, err := event.Decode[Item](e)
		if err != nil {
			return i, err
		}
		i.Place, i.Item, i.Title, i.Kind, i.Owner, i.Due = d.Place, d.Item, d.Title, d.Kind, d.Owner, d.Due
		if e.Type == EventItemAdded {
			i.State, i.AddedAt, i.AddedBy = ItemOpen, e.Time, e.Actor
		}
	case EventItemRehearsed:
		d, err := event.Decode[Rehearsed](e)
		if err != nil {
			return i, err
		}
		all := append(slices.Clip(i.Rehearsals), Rehearsal{From: d.From, To: d.To, By: e.Actor, Reason: d.Reason, Position: e.Position})
		i.Rehearsals = all[max(0, len(all)-keepRehearsals):]
	case EventItemClosed:
		d, err := event.Decode[Closed](e)
		if err != nil {
			return i, err
		}
		i.State, i.ClosedAt, i.ClosedBy, i.Evidence, i.Unproven = ItemClosed, e.Time, e.Actor, d.Evidence, d.Reason
	case EventItemReopened:
		i.State, i.ClosedAt, i.ClosedBy, i.Evidence, i.Unproven = ItemOpen, time.Time{}, "", nil, ""
	}
	return i, nil
}

// at is the item as it stands at a moment.
func (i ActionItem) at(now time.Time) ActionItem {
	i.Overdue = i.State == ItemOpen && now.After(i.Due)
	return i
}

// onTime reports whether an item that is, or was, due counts as closed on time.
func (i ActionItem) onTime() bool { return i.State == ItemClosed && !i.ClosedAt.After(i.Due) }

// Tally is how a team does with its action items.
type Tally struct {
	Team     string   `json:"team"`
	Open     int      `json:"open" doc:"not closed"`
	Overdue  int      `json:"overdue" doc:"of those, past their due date"`
	Closed   int      `json:"closed"`
	Proven   int      `json:"proven" doc:"of those, with evidence"`
	Due      int      `json:"due" doc:"whose due date has passed, or that were closed before it"`
	OnTime   int      `json:"on_time" doc:"of those, closed by their due date"`
	Share    *float64 `json:"share_on_time,omitempty" doc:"on_time of due; absent while none was due"`
	Earliest string   `json:"earliest,omitempty" table:"-" doc:"the open item that has been overdue for longest"`
}

// count adds one item, as it stands at a moment.
func (t *Tally) count(i ActionItem, now time.Time) {
	i = i.at(now)
	switch {
	case i.State == ItemClosed:
		t.Closed++
		if i.Evidence != nil {
			t.Proven++
		}
	default:
		t.Open++
	}
	if i.Overdue {
		t.Overdue++
		if t.Earliest == "" {
			t.Earliest = i.Item // they come in order of due date
		}
	}
	if i.State == ItemClosed || i.Overdue {
		t.Due++
	}
	if i.onTime() {
		t.OnTime++
	}
	if t.Due > 0 {
		share := float64(t.OnTime) / float64(t.Due)
		t.Share = &share
	}
}
