package status

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// The ways in which subscribers are told.
const (
	Email   = "email"
	Webhook = "webhook"
)

// Bounds on subscriptions.
const (
	// ConfirmWithin is how long a link to confirm works; after that the address
	// is erased.
	ConfirmWithin  = 48 * time.Hour
	askAgain       = time.Hour // before the same is asked again, nothing is sent
	maxSubscribers = 5000      // of one page
	maxAsking      = 500       // of one page, that have not confirmed
)

// Subscriber is somebody who wants to be told.
type Subscriber struct {
	Asking
	Position    int64     `json:"position"` // of status.asked in the log, which holds the address
	AskedAt     time.Time `json:"asked_at"`
	ConfirmedAt time.Time `json:"confirmed_at,omitzero"`
	Ended       bool      `json:"ended,omitempty"`
}

// Reader is a subscriber without the address: what decisions are made from, and
// records are kept of.
type Reader struct {
	Subscriber string `json:"subscriber"`
	Component  string `json:"component,omitempty"`
}

// subscriberName is where subscribers are folded, by PAGE/SUBSCRIBER; indexed by
// "page" once they have confirmed, by "asking" before.
const subscriberName = "status.subscriber"

func subscribers() *projection.Projection {
	return projection.Define(projection.Fold[Subscriber]{
		Name: subscriberName, Version: 1, Types: []string{EventAsked, EventConfirmed, EventEnded},
		Keys: func(e event.Event) []string {
			s, err := event.Decode[Subscription](e)
			if err != nil || s.Page == "" || s.Subscriber == "" {
				return nil // or its address was erased
			}
			return []string{s.Page + "/" + s.Subscriber}
		},
		Apply: func(_ string, s Subscriber, e event.Event) (Subscriber, error) {
			switch e.Type {
			case EventAsked:
				a, err := event.Decode[Asking](e)
				return Subscriber{Asking: a, Position: e.Position, AskedAt: e.Time}, err
			case EventConfirmed:
				s.ConfirmedAt = e.Time
			case EventEnded:
				s.Ended, s.Address = true, ""
			}
			return s, nil
		},
		Indexes: func(_ string, s Subscriber) []projection.Index {
			switch {
			case s.Ended || s.Address == "":
				return nil
			case s.ConfirmedAt.IsZero():
				return []projection.Index{{Name: "asking", Value: s.Page, Sort: fmt.Sprintf("%020d", s.AskedAt.UnixMicro())}}
			}
			return []projection.Index{{Name: "page", Value: s.Page, Sort: s.Subscriber}}
		},
	})
}

// batch is how many subscribers are told by one decision.
const batch = 200

// readers lists the subscribers of a page after one, without their addresses.
func readers(ctx context.Context, r projection.Reader, page, after string) ([]Reader, error) {
	var out []Reader
	f := projection.Filter{Index: "page", Value: page, Limit: projection.MaxPage}
	for {
		list, next, err := projection.List[Subscriber](ctx, r, subscriberName, f)
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			if s.Subscriber > after && len(out) < batch {
				out = append(out, Reader{s.Subscriber, s.Component})
			}
		}
		if f.After = next; next == "" || len(out) == batch {
			return out, nil
		}
	}
}

// announce has a post, the oldest that subscribers have yet to get, sent to the next
// of them, each by an action of its own.
func (d *decision) announce(u Unsent) {
	a := Announced{Page: d.page, Number: u.Number, Through: u.Through, Done: len(d.Readers) < batch}
	for _, r := range d.Readers {
		a.Through = r.Subscriber
		if r.Component != "" && !slices.Contains(u.Components, r.Component) {
			continue
		}
		a.Sent++
		d.plan.Actions = append(d.plan.Actions, action.Proposal{
			ID: fmt.Sprintf("status-%s-%d-%s", d.page, u.Number, r.Subscriber), Type: ActionTell, Subject: "subscribers/" + d.page, Reason: "subscribed to " + d.page,
			Params: action.Params(TellParams{Page: d.page, Subscriber: r.Subscriber, Notice: u.Notice, Number: u.Number, At: u.At}),
		})
	}
	d.fact(EventAnnounced, a)
	d.because("announce", "subscribers", "", "post %d of %s is sent to %d subscribers", u.Number, d.page, a.Sent)
}

// Ask takes a wish to be told. Nothing is sent to an address but a link to
// confirm, at most once an hour; whether it was subscribed before is not told.
func (p *Pages) Ask(ctx context.Context, page, way, address, component string) error {
	spec, _, _, err := p.current(ctx, page)
	if err != nil {
		return err
	}
	if err := askable(spec, way, address, component); err != nil || len(p.Key) == 0 {
		return err
	}
	a := Asking{Page: page, Way: way, Address: address, Component: component}
	a.Subscriber = p.name(a)
	now := p.Clock.Now()
	known, ok, err := projection.Get[Subscriber](ctx, p.Reader, subscriberName, page+"/"+a.Subscriber)
	if err != nil {
		return err
	}
	if ok && !known.Ended && known.Address != "" && (!known.ConfirmedAt.IsZero() || now.Sub(known.AskedAt) < askAgain) {
		return nil
	}
	if err := p.room(ctx, page); err != nil {
		return err
	}
	tell := action.Proposal{ID: fmt.Sprintf("status-%s-confirm-%s-%d", page, a.Subscriber, now.Unix()), Type: ActionTell, Subject: "subscribers/" + page, Reason: "somebody asks to be told",
		Params: action.Params(TellParams{Page: page, Subscriber: a.Subscriber, Confirm: true, At: now})}
	_, err = p.Log.Append(ctx, event.Batch{Stream: "subscribers/" + page, Expect: event.AnyVersion, Drafts: []event.Draft{
		{Type: EventAsked, Subject: "subscribers/" + page, Time: now, Actor: "public", Data: a},
		{ID: tell.ID, Type: action.EventProposed, Subject: tell.Subject, Time: now, Actor: "public", Data: tell},
	}})
	if err == nil && ok && known.Address != "" { // the earlier wish is of no more use
		err = p.Log.Erase(ctx, known.Position, "system:status", "asked again")
	}
	return err
}

// room refuses more subscribers than a page may have.
func (p *Pages) room(ctx context.Context, page string) error {
	for index, most := range map[string]int{"asking": maxAsking, "page": maxSubscribers} {
		n := 0
		f := projection.Filter{Index: index, Value: page, Limit: projection.MaxPage}
		for {
			rows, err := p.Reader.List(ctx, subscriberName, f)
			if err != nil {
				return err
			}
			n += len(rows.Rows)
			if f.After = rows.Next; rows.Next == "" {
				break
			}
		}
		if n >= most {
			e := problem.New(problem.Unavailable, "status.subscribe", "no more subscriptions are taken now").WithNext("use the feed, or try again later")
			e.RetryAfter = time.Hour
			return e
		}
	}
	return nil
}

func askable(spec PageSpec, way, address, component string) error {
	invalid := func(format string, args ...any) error {
		return problem.New(problem.Invalid, "status.subscribe", format, args...).WithNext("go back and correct it")
	}
	if component != "" && spec.component(component) == nil {
		return invalid("there is no such component")
	}
	switch {
	case spec.Subscribe == nil || way == Email && spec.Subscribe.Email == "" || way == Webhook && !spec.Subscribe.Webhook:
		return problem.New(problem.Invalid, "status.subscribe", "this page does not send updates that way").WithNext("use the feed")
	case way == Email:
		a, err := mail.ParseAddress(address)
		if err != nil || a.Address != address || len(address) > 254 || strings.ContainsAny(address, "\r\n") {
			return invalid("that is not a mail address")
		}
	default:
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || len(address) > 2000 {
			return invalid("that is not the address of a webhook: it begins with https://")
		}
	}
	return nil
}

// name stands for a subscription without telling anything of it.
func (p *Pages) name(a Asking) string {
	return hex.EncodeToString(p.mac("subscriber", a.Page, a.Way, strings.ToLower(a.Address), a.Component)[:10])
}

func (p *Pages) mac(parts ...string) []byte {
	h := hmac.New(sha256.New, p.Key)
	h.Write([]byte("flyball status 1\x00" + strings.Join(parts, "\x00")))
	return h.Sum(nil)
}

// The links that subscribers are sent.
const (
	DoConfirm     = "confirm"
	DoUnsubscribe = "unsubscribe"
)

// link is a signed link; one to confirm expires.
func (p *Pages) link(spec PageSpec, do string, s Subscriber, now time.Time) string {
	until := ""
	if do == DoConfirm {
		until = strconv.FormatInt(now.Add(ConfirmWithin).Unix(), 10)
	}
	q := url.Values{"s": {s.Subscriber}, "k": {p.sign(do, s.Page, s.Subscriber, until)}}
	if until != "" {
		q.Set("until", until)
	}
	return trimSlash(spec.Subscribe.Server) + "/status/" + s.Page + "/" + do + "?" + q.Encode()
}

func (p *Pages) sign(do, page, subscriber, until string) string {
	return base64.RawURLEncoding.EncodeToString(p.mac(do, page, subscriber, until)[:16])
}

// Check says whether a link was made here and still works. It fails with
// problem.Denied for one that was not, and problem.Blocked for one that expired.
func (p *Pages) Check(do, page string, q url.Values) error {
	want := p.sign(do, page, q.Get("s"), q.Get("until"))
	if len(p.Key) == 0 || q.Get("s") == "" || (do == DoConfirm) != (q.Get("until") != "") || !hmac.Equal([]byte(want), []byte(q.Get("k"))) {
		return problem.New(problem.Denied, "status."+do, "this link was not made by this server, or was changed on its way").WithNext("copy it whole")
	}
	if until, err := strconv.ParseInt(q.Get("until"), 10, 64); do == DoConfirm && (err != nil || p.Clock.Now().Unix() >= until) {
		return problem.New(problem.Blocked, "status.confirm", "this link has expired").WithNext("subscribe again")
	}
	return nil
}

// Follow does what a link says. Doing it again changes nothing.
func (p *Pages) Follow(ctx context.Context, do, page string, q url.Values) error {
	if err := p.Check(do, page, q); err != nil {
		return err
	}
	if err := p.Sync(ctx); err != nil {
		return err
	}
	s, ok, err := projection.Get[Subscriber](ctx, p.Reader, subscriberName, page+"/"+q.Get("s"))
	if err != nil {
		return err
	}
	gone := !ok || s.Ended || s.Address == ""
	if do == DoUnsubscribe {
		if gone {
			return nil
		}
		return p.end(ctx, s, "public", "unsubscribed")
	}
	switch {
	case gone:
		return problem.New(problem.NotFound, "status.confirm", "this subscription has ended").WithNext("subscribe again")
	case !s.ConfirmedAt.IsZero():
		return nil
	}
	_, err = p.Log.Append(ctx, event.Batch{Stream: "subscribers/" + page, Expect: event.AnyVersion, Drafts: []event.Draft{
		{ID: fmt.Sprintf("subscriber-%s-%d-confirmed", s.Subscriber, s.Position), Type: EventConfirmed, Subject: "subscribers/" + page, Time: p.Clock.Now(), Actor: "public", Data: Subscription{Page: page, Subscriber: s.Subscriber}},
	}})
	if err != nil {
		return err
	}
	return p.Sync(ctx)
}

// end ends a subscription and erases its address for good.
func (p *Pages) end(ctx context.Context, s Subscriber, actor, reason string) error {
	_, err := p.Log.Append(ctx, event.Batch{Stream: "subscribers/" + s.Page, Expect: event.AnyVersion, Drafts: []event.Draft{
		{ID: fmt.Sprintf("subscriber-%s-%d-ended", s.Subscriber, s.Position), Type: EventEnded, Subject: "subscribers/" + s.Page, Time: p.Clock.Now(), Actor: actor,
			Data: Subscription{Page: s.Page, Subscriber: s.Subscriber, Reason: reason}},
	}})
	if err == nil {
		err = p.Log.Erase(ctx, s.Position, actor, reason)
	}
	if err != nil {
		return err
	}
	return p.Sync(ctx)
}

// Tend erases the addresses of those who did not confirm in time.
func (p *Pages) Tend(ctx context.Context) error {
	names, err := p.Names(ctx)
	if err != nil {
		return err
	}
	for _, page := range names {
		late, _, err := projection.List[Subscriber](ctx, p.Reader, subscriberName, projection.Filter{Index: "asking", Value: page, Limit: 100})
		if err != nil {
			return err
		}
		for _, s := range late {
			if p.Clock.Now().Sub(s.AskedAt) < ConfirmWithin {
				break
			}
			if err := p.end(ctx, s, "system:status", "not confirmed in time"); err != nil {
				return err
			}
		}
	}
	return nil
}

// SubscribersInput bounds a list of subscribers.
type SubscribersInput struct {
	Page  string `json:"page" arg:"1" doc:"status page"`
	After string `json:"after" doc:"cursor from the page before"`
	Limit int    `json:"limit" doc:"at most this many, 1 to 500 (default 100)"`
}

// Subscribed is a subscriber as those see it who run the page.
type Subscribed struct {
	Subscriber  string    `json:"subscriber"`
	Way         string    `json:"way" doc:"email or webhook"`
	Address     string    `json:"address" doc:"so that its owner recognises it and nobody else can use it"`
	Component   string    `json:"component,omitempty" doc:"empty: everything"`
	ConfirmedAt time.Time `json:"confirmed_at"`
}

// ForgetInput names a subscriber.
type ForgetInput struct {
	Page       string `json:"page" arg:"1" doc:"status page"`
	Subscriber string `json:"subscriber" arg:"2" doc:"subscriber, as statuspage subscribers lists them"`
	Reason     string `json:"reason" doc:"why, for the record"`
}

func (p *Pages) subscribed(ctx context.Context, _ operation.Caller, in SubscribersInput) (operation.Page[Subscribed], error) {
	f := projection.Filter{Index: "page", Value: in.Page, After: in.After, Limit: operation.Limit(in.Limit, 100, 500)}
	list, next, err := projection.List[Subscriber](ctx, operation.Reader(ctx, p.Reader), subscriberName, f)
	out := operation.Page[Subscribed]{Items: []Subscribed{}, Next: next}
	for _, s := range list {
		out.Items = append(out.Items, Subscribed{s.Subscriber, s.Way, channel.Mask(s.Address), s.Component, s.ConfirmedAt})
	}
	return out, err
}

// forget ends a subscription in somebody's place and erases the address.
func (p *Pages) forget(ctx context.Context, caller operation.Caller, in ForgetInput) (Subscribed, error) {
	if err := p.Sync(ctx); err != nil {
		return Subscribed{}, err
	}
	s, ok, err := projection.Get[Subscriber](ctx, p.Reader, subscriberName, in.Page+"/"+in.Subscriber)
	if err == nil && (!ok || s.Ended || s.Address == "") {
		err = problem.New(problem.NotFound, "statuspage.forget", "there is no subscriber %q", in.Subscriber).WithNext("flyball statuspage subscribers %s lists them", in.Page)
	}
	if err != nil {
		return Subscribed{}, err
	}
	reason := in.Reason
	if reason == "" {
		reason = "forgotten on request"
	}
	return Subscribed{Subscriber: s.Subscriber, Way: s.Way, Address: channel.Mask(s.Address), Component: s.Component, ConfirmedAt: s.ConfirmedAt}, p.end(ctx, s, caller.Name, reason)
}
