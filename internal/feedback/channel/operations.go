package channel

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Desk is what people do with channels.
type Desk struct {
	Post *Post
	Log  event.Log
	Sync func(ctx context.Context) error
}

// ListInput bounds a list of channels.
type ListInput struct {
	After string `json:"after" doc:"cursor from the page before"`
	Limit int    `json:"limit" doc:"at most this many, 1 to 500 (default 100)"`
}

// ShowInput names a channel.
type ShowInput struct {
	Channel string `json:"channel" arg:"1" doc:"name of the channel"`
}

// TestInput says where a test message goes.
type TestInput struct {
	Channel string `json:"channel" arg:"1" doc:"name of the channel"`
	To      string `json:"to" doc:"address in it, such as ana@example.org; not for channels with one address only"`
}

// Channel is a channel as declared, with what went through it.
type Channel struct {
	Channel     string `json:"channel"`
	Kind        string `json:"kind" doc:"smtp, slack, teams, ntfy, sms, voice, webpush or shoutrrr"`
	Description string `json:"description,omitempty"`
	Traffic
}

// Operations are what users can do with channels.
func (d *Desk) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ListInput, operation.Page[Channel]]{
			Noun: "channel", Verb: "list", Summary: "List the ways to reach people, with what was sent, refused and repeated", Role: operation.Viewer, Handle: d.list,
		}),
		operation.Define(operation.Spec[ShowInput, Channel]{
			Noun: "channel", Verb: "show", Summary: "Show a channel and what went through it", Role: operation.Viewer, Handle: d.show,
		}),
		operation.Define(operation.Spec[TestInput, Tested]{
			Noun: "channel", Verb: "test", Summary: "Send a test message, and say what came of it", Role: operation.Operator, Write: true,
			Help: "  flyball channel test mail --to ana@example.org", Handle: d.test,
		}),
		operation.Define(operation.Spec[SubscribeInput, Subscribed]{
			Noun: "channel", Verb: "subscribe", Summary: "Have pages pushed to a browser; its page /push does this", Role: operation.Developer, Write: true, Handle: d.subscribe,
		}),
		operation.Define(operation.Spec[UnsubscribeInput, Subscribed]{
			Noun: "channel", Verb: "unsubscribe", Summary: "Have no more pages pushed to a browser of yours", Role: operation.Developer, Write: true, Handle: d.unsubscribe,
		}),
	}
}

func (d *Desk) list(ctx context.Context, _ operation.Caller, in ListInput) (operation.Page[Channel], error) {
	r := operation.Reader(ctx, d.Post.Reader)
	specs, entries, err := catalog.List[Spec](ctx, r, Kind)
	out := operation.Page[Channel]{Items: []Channel{}}
	limit := operation.Limit(in.Limit, 100, 500)
	for i, s := range specs {
		name := entries[i].Metadata.Name
		if name <= in.After {
			continue
		}
		if len(out.Items) == limit {
			out.Next = out.Items[limit-1].Channel
			break
		}
		c, err := describe(ctx, r, name, s)
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, c)
	}
	return out, err
}

func describe(ctx context.Context, r projection.Reader, name string, s Spec) (Channel, error) {
	t, _, err := projection.Get[Traffic](ctx, r, ProjectionName, name)
	return Channel{Channel: name, Kind: s.Kind(), Description: s.Description, Traffic: t}, err
}

func (d *Desk) show(ctx context.Context, _ operation.Caller, in ShowInput) (Channel, error) {
	r := operation.Reader(ctx, d.Post.Reader)
	s, _, err := catalog.Get[Spec](ctx, r, Kind, in.Channel)
	if err != nil {
		return Channel{}, err
	}
	return describe(ctx, r, in.Channel, s)
}

func (d *Desk) test(ctx context.Context, caller operation.Caller, in TestInput) (Tested, error) {
	if err := d.Sync(ctx); err != nil {
		return Tested{}, err
	}
	s, _, err := catalog.Get[Spec](ctx, d.Post.Reader, Kind, in.Channel)
	if err != nil {
		return Tested{}, err
	}
	if err := CheckAddress(s.Settings, in.To); err != nil {
		return Tested{}, problem.New(problem.Invalid, "channel.test", "to: %w", err)
	}
	id := "test-" + strings.ToLower(rand.Text())
	l := Letter{
		ID: id, To: []Contact{{Channel: in.Channel, To: in.To}}, Body: fmt.Appendf(nil, `{"type":"channel.test","data":{"channel":%q}}`, in.Channel),
		Text: notify.Text{
			Title: "Test of channel " + in.Channel, Urgency: notify.Low,
			Lines: []string{caller.Name + " wants to know whether this arrives. Nothing is wrong, and there is nothing to do."},
		},
	}
	if web := d.Post.Address("/"); web != "" {
		l.Text.Links = []notify.Link{{Label: "Open Flyball", URL: web}}
	}
	delivery, err := d.Post.Deliver(ctx, l)
	if err != nil {
		return Tested{}, err
	}
	out := Tested{Channel: in.Channel, Delivery: delivery}
	_, err = d.Log.Append(ctx, event.Batch{Stream: stream(in.Channel), Expect: event.AnyVersion, Drafts: []event.Draft{{
		Type: EventTested, Subject: stream(in.Channel), Actor: caller.Name, Cause: operation.CallID(ctx), Data: out,
	}}})
	return out, err
}

// Tell is what came of a test.
func (t Tested) Tell() string {
	return fmt.Sprintf("%s accepted it for %s (%d, %s)", t.Channel, t.To, t.Status, t.Elapsed.Round(time.Millisecond))
}

// Header names the columns of a list of channels.
func (c Channel) Header() []string {
	return []string{"CHANNEL", "KIND", "SENT", "FAILED", "REPEATED", "LAST SENT", "LAST ERROR"}
}

// Rows is the channel as a line of a list.
func (c Channel) Rows() [][]string {
	last, wrong := "never", c.LastError
	if !c.LastSent.IsZero() {
		last = c.LastSent.UTC().Format("2006-01-02 15:04:05 MST")
	}
	if c.Works() {
		wrong = "" // it was before the newest message that was accepted
	}
	return [][]string{{c.Channel, c.Kind, strconv.Itoa(c.Sent), strconv.Itoa(c.Failures), strconv.Itoa(c.Repeated), last, wrong}}
}
