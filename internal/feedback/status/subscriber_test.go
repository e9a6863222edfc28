package status_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/webhook"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/feedback/status"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

const subscribing = `---
apiVersion: flyball.dev/v1
kind: Channel
metadata: {name: mail}
spec: {smtp: {host: mail.example, from: status@acme.example, tls: none}}
`

// open is a room whose page takes subscriptions.
func open(t *testing.T) *room {
	r := newRoom(t)
	r.declare(strings.Replace(page, "  title: Acme\n", "  title: Acme\n  subscribe: {email: mail, webhook: true, server: https://flyball.acme.example/}\n", 1) + subscribing)
	return r
}

// ask subscribes and gives the link to confirm.
func (r *room) ask(way, address, component string) *url.URL {
	r.t.Helper()
	before := len(r.letters.got)
	if err := r.Ask(r.t.Context(), "public", way, address, component); err != nil {
		r.t.Fatal(err)
	}
	r.settle()
	if len(r.letters.got) != before+1 {
		r.t.Fatalf("%d messages for one wish", len(r.letters.got)-before)
	}
	return r.linkOf(r.letters.got[before], status.DoConfirm)
}

func (r *room) linkOf(m notify.Message, do string) *url.URL {
	r.t.Helper()
	l, ok := m.Text.Find(do)
	if !ok || !strings.HasPrefix(l.URL, "https://flyball.acme.example/status/public/"+do+"?") {
		r.t.Fatalf("no link to %s in %+v", do, m.Text)
	}
	u, err := url.Parse(l.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	return u
}

func (r *room) follow(do string, u *url.URL) error {
	err := r.Follow(r.t.Context(), do, "public", u.Query())
	r.settle()
	return err
}

// Nothing is sent before it is confirmed; each update is sent once, to those it
// is about; and whoever unsubscribes is forgotten.
func TestSubscribers(t *testing.T) {
	r := open(t)
	all := r.ask(status.Email, "ana@example.org", "")
	hook := r.ask(status.Webhook, "https://hooks.example.org/T0KEN", "find")
	r.ask(status.Email, "never@example.org", "")
	if err := r.follow(status.DoConfirm, all); err != nil {
		t.Fatal(err)
	}
	if err := r.follow(status.DoConfirm, all); err != nil {
		t.Errorf("confirmed twice: %v", err)
	}
	if err := r.follow(status.DoConfirm, hook); err != nil {
		t.Fatal(err)
	}
	r.letters.got = nil
	r.outage("Payments fail", "pay=major_outage")
	r.pass(time.Minute)
	if len(r.letters.got) != 1 || r.letters.got[0].To.Address != "ana@example.org" || r.letters.got[0].Text.Title != "Acme: Payments fail (investigating)" || r.letters.got[0].Text.Urgency != notify.Low {
		t.Fatalf("sent %+v", r.letters.got)
	}
	r.outage("Search fails", "find=partial_outage")
	r.pass(time.Minute)
	if len(r.letters.got) != 3 || r.letters.got[1].ID == r.letters.got[0].ID {
		t.Fatalf("sent %d", len(r.letters.got))
	}
	i := slices.IndexFunc(r.letters.got, func(m notify.Message) bool { return m.To.URL != "" })
	if m := r.letters.got[i]; m.To.Class != notify.Public || !bytes.Contains(m.Body, []byte(`"status.update"`)) {
		t.Errorf("the webhook got %+v %s", m.To, m.Body)
	}

	// A channel that is down is tried again, with the same identifier.
	r.letters.down = true
	before := len(r.letters.got)
	n := r.outage("Again", "pay=degraded_performance")
	r.pass(30 * time.Second)
	r.letters.down = false
	r.pass(2 * time.Hour)
	if len(r.letters.got) != before+1 {
		t.Errorf("after it was down: %d", len(r.letters.got)-before)
	}

	listed, err := r.try(developer, "statuspage.subscribers", status.SubscribersInput{Page: "public"})
	if err != nil {
		t.Fatal(err)
	}
	if items := listed.(operation.Page[status.Subscribed]).Items; len(items) != 2 || strings.Contains(fmt.Sprint(items), "ana@") || strings.Contains(fmt.Sprint(items), "T0KEN") {
		t.Errorf("listed %+v", items)
	} else {
		find := items[slices.IndexFunc(items, func(s status.Subscribed) bool { return s.Way == status.Webhook })]
		who := operation.Caller{Name: "user:op", Grants: []operation.Grant{{Role: operation.Operator}}}
		if _, err := r.try(who, "statuspage.forget", status.ForgetInput{Page: "public", Subscriber: find.Subscriber}); err != nil {
			t.Error(err)
		}
		if _, err := r.try(who, "statuspage.forget", status.ForgetInput{Page: "public", Subscriber: find.Subscriber}); problem.KindOf(err) != problem.NotFound {
			t.Errorf("forgotten twice: %v", err)
		}
	}
	stop := r.linkOf(r.letters.got[0], status.DoUnsubscribe)
	for range 2 {
		if err := r.follow(status.DoUnsubscribe, stop); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.follow(status.DoConfirm, all); problem.KindOf(err) != problem.NotFound {
		t.Errorf("confirmed after the end: %v", err)
	}
	before = len(r.letters.got)
	r.say(status.PostInput{Notice: n.Name, Phase: "resolved", Text: "over"})
	r.pass(time.Minute)
	if len(r.letters.got) != before {
		t.Errorf("told after the end: %+v", r.letters.got[before:])
	}
	r.pass(49 * time.Hour)
	if err := r.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{"ana@example.org": false, "never@example.org": false, "T0KEN": false} {
		if got := r.recorded(address); got != want {
			t.Errorf("%s is in the log: %t", address, got)
		}
	}
}

// recorded reports whether the log holds a text anywhere but in the wish itself.
func (r *room) recorded(text string) bool {
	r.t.Helper()
	events, err := r.Log.Read(r.t.Context(), event.Query{Limit: 100_000})
	if err != nil {
		r.t.Fatal(err)
	}
	found := false
	for _, e := range events {
		if !bytes.Contains(e.Data, []byte(text)) {
			continue
		}
		if e.Type != status.EventAsked {
			r.t.Errorf("%s is in %s: %s", text, e.Type, e.Data)
		}
		found = true
	}
	return found
}

// outage opens a notice about a component.
func (r *room) outage(title, component string) status.Notice {
	return r.say(status.PostInput{Title: title, Text: "We look into it.", Components: []string{component}})
}

// Links cannot be made up, nor used for something else, nor for ever.
func TestLinks(t *testing.T) {
	r := open(t)
	u := r.ask(status.Email, "ana@example.org", "")
	change := func(key, value string) url.Values {
		q := u.Query()
		q.Set(key, value)
		return q
	}
	for name, q := range map[string]url.Values{
		"another signature":  change("k", "AAAAAAAAAAAAAAAAAAAAAA"),
		"another subscriber": change("s", "00000000000000000000"),
		"more time":          change("until", "9999999999"),
		"no time":            change("until", ""),
		"nothing":            {},
	} {
		if err := r.Follow(t.Context(), status.DoConfirm, "public", q); problem.KindOf(err) != problem.Denied {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.Follow(t.Context(), status.DoUnsubscribe, "public", u.Query()); problem.KindOf(err) != problem.Denied {
		t.Errorf("to unsubscribe with a link to confirm: %v", err)
	}
	if err := r.Follow(t.Context(), status.DoConfirm, "other", u.Query()); problem.KindOf(err) != problem.Denied {
		t.Errorf("on another page: %v", err)
	}
	r.pass(status.ConfirmWithin)
	if err := r.follow(status.DoConfirm, u); problem.KindOf(err) != problem.Blocked {
		t.Errorf("too late: %v", err)
	}
}

// Who asks again at once gets nothing more; what cannot be sent to is refused.
func TestAsking(t *testing.T) {
	r := open(t)
	r.ask(status.Email, "ana@example.org", "")
	for range 3 {
		if err := r.Ask(t.Context(), "public", status.Email, "Ana@example.org", ""); err != nil {
			t.Fatal(err)
		}
	}
	r.settle()
	if len(r.letters.got) != 1 {
		t.Errorf("%d messages to one who was asked for four times", len(r.letters.got))
	}
	r.pass(2 * time.Hour)
	r.ask(status.Email, "ana@example.org", "")
	for _, c := range [][3]string{
		{status.Email, "ana", ""}, {status.Email, "Ana <ana@example.org>", ""}, {status.Email, "ana@example.org\r\nBcc: x@example.org", ""}, {status.Email, strings.Repeat("a", 300) + "@example.org", ""},
		{status.Webhook, "ftp://x", ""}, {status.Webhook, "https://u:p@x", ""}, {status.Webhook, "https://", ""}, {"pigeon", "coop", ""}, {status.Email, "ana@example.org", "nowhere"},
	} {
		if err := r.Ask(t.Context(), "public", c[0], c[1], c[2]); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%q: %v", c, err)
		}
	}
}

// A subscriber's webhook that points into this network is never called, however
// its name looks, and the address it has is not told in the refusal.
func TestPrivateWebhooks(t *testing.T) {
	r := open(t)
	called := 0
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called++ }))
	defer inside.Close()
	r.Mail.Notifier = webhook.New(clock.Wall())
	address := strings.Replace(inside.URL, "127.0.0.1", "localhost", 1) + "/T0KEN"
	if err := r.Ask(t.Context(), "public", status.Webhook, address, ""); err != nil {
		t.Fatal(err)
	}
	r.settle()
	failed, err := r.Log.Read(t.Context(), event.Query{Types: []string{action.EventFailed}})
	if err != nil || len(failed) != 1 || called != 0 {
		t.Fatalf("%d refusals, called %d times: %v", len(failed), called, err)
	}
	if text := string(failed[0].Data); strings.Contains(text, "T0KEN") || strings.Contains(text, "localhost") {
		t.Errorf("the refusal says %s", text)
	}
}

// Many subscribers are told in portions, each once.
func TestManySubscribers(t *testing.T) {
	r := open(t)
	const many = 220
	for i := range many {
		u := r.ask(status.Email, fmt.Sprintf("user%d@example.org", i), "")
		if err := r.Follow(t.Context(), status.DoConfirm, "public", u.Query()); err != nil {
			t.Fatal(err)
		}
	}
	r.letters.got = nil
	r.counts.set("checkout", "availability", slo.Availability, 90, 100, "page")
	r.outage("Down", "pay=major_outage")
	r.pass(time.Minute)
	to := map[string]int{}
	for _, m := range r.letters.got {
		to[m.To.Address]++
	}
	if len(to) != many || len(r.letters.got) != many {
		t.Errorf("%d messages to %d of %d", len(r.letters.got), len(to), many)
	}
}
