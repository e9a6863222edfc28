package channel_test

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

var (
	key   = channel.Key(strings.Repeat("k", 32))
	start = time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC)
)

func TestAct(t *testing.T) {
	act := channel.Act{Does: channel.Acknowledge, Incident: "inc-web-1", Person: "ana", Expires: start.Add(time.Hour).Unix()}
	token := key.Seal(act)
	if got, err := key.Open(token, start); err != nil || got != act {
		t.Fatalf("opened %+v, %v", got, err)
	}
	if _, err := key.Open(token, start.Add(time.Hour)); problem.KindOf(err) != problem.Blocked || !strings.Contains(err.Error(), "worked until 2026-11-21 16:00 UTC") {
		t.Errorf("expired: %v", err)
	}
	raw, _ := base64.RawURLEncoding.DecodeString(token)
	for i := range raw {
		changed := append([]byte(nil), raw...)
		changed[i] ^= 1
		if _, err := key.Open(base64.RawURLEncoding.EncodeToString(changed), start); problem.KindOf(err) != problem.Denied {
			t.Fatalf("changed at %d: %v", i, err)
		}
	}
	other := channel.Key(strings.Repeat("x", 32))
	for name, forged := range map[string]string{
		"another server's": other.Seal(act), "nothing": "", "half": token[:len(token)/2], "with padding": token + "=", "long": strings.Repeat("A", 10_000),
		"another act": key.Seal(channel.Act{Does: "delete", Incident: "x", Expires: act.Expires}),
	} {
		if _, err := key.Open(forged, start); problem.KindOf(err) != problem.Denied {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := channel.Key(nil).Open(channel.Key(nil).Seal(act), start); problem.KindOf(err) != problem.Denied {
		t.Errorf("without a key: %v", err)
	}
}

func FuzzAct(f *testing.F) {
	f.Add(key.Seal(channel.Act{Does: channel.Resolve, Incident: "i", Person: "p", Expires: start.Add(time.Hour).Unix()}))
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		if a, err := key.Open(token, start); err == nil && key.Seal(a) != strings.TrimSpace(token) {
			t.Fatalf("%q was not sealed by the key", token)
		}
	})
}

// sender is a notifier that does what the test says.
type sender func(ctx context.Context, m notify.Message) (notify.Receipt, error)

func (s sender) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) { return s(ctx, m) }

func webhooks(urls ...string) (out []channel.Contact) {
	for _, u := range urls {
		out = append(out, channel.Contact{URL: u})
	}
	return out
}

// Contacts are tried in order; what was tried in vain is in the delivery, with
// no more of an address than its host.
func TestDeliver(t *testing.T) {
	c := clock.NewVirtual(start)
	var got notify.Message
	p := &channel.Post{Clock: c, Web: "https://flyball.example/", Key: key, Notifier: sender(func(_ context.Context, m notify.Message) (notify.Receipt, error) {
		if strings.Contains(m.To.URL, "busy") {
			return notify.Receipt{}, problem.New(problem.Unavailable, "test", "busy")
		}
		got = m
		return notify.Receipt{Status: 204}, nil
	})}
	d, err := p.Deliver(t.Context(), channel.Letter{
		ID: "page-1", To: webhooks("https://busy.example/T0KEN", "https://good.example/T0KEN", "https://never.example"),
		Acts: []string{channel.Acknowledge}, Incident: "inc-1", Person: "ana", Text: notify.Text{Title: "t"}, Tries: 2,
	})
	if err != nil || d.To != "good.example" || d.Attempt != 3 || len(d.Failed) != 1 || d.Failed[0].To != "busy.example" || d.Status != 204 {
		t.Fatalf("%+v, %v", d, err)
	}
	link, ok := got.Text.Find(channel.Acknowledge)
	if !ok || link.URL != "https://flyball.example/act/"+link.Token {
		t.Fatalf("link %+v", link)
	}
	if a, err := key.Open(link.Token, start); err != nil || a.Incident != "inc-1" || a.Person != "ana" {
		t.Errorf("act %+v, %v", a, err)
	}
	if _, err := p.Deliver(t.Context(), channel.Letter{ID: "x"}); problem.KindOf(err) != problem.Invalid {
		t.Errorf("to nobody: %v", err)
	}
}

// A receiver that lets one wait is left alone for a while, and the others are
// not held up by it.
func TestSlowChannel(t *testing.T) {
	c := clock.NewVirtual(start)
	asked := 0
	p := &channel.Post{Clock: c, Notifier: sender(func(_ context.Context, m notify.Message) (notify.Receipt, error) {
		if strings.Contains(m.To.URL, "slow") {
			asked++
			c.Advance(5 * time.Second)
			return notify.Receipt{}, problem.New(problem.Unavailable, "test", "no answer")
		}
		return notify.Receipt{Status: 200}, nil
	})}
	for range 3 {
		d, err := p.Deliver(t.Context(), channel.Letter{ID: "a", To: webhooks("https://slow.example", "https://good.example")})
		if err != nil || d.To != "good.example" {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if asked != 1 {
		t.Errorf("the slow one was asked %d times within a moment", asked)
	}
	c.Advance(11 * time.Second)
	_, _ = p.Deliver(t.Context(), channel.Letter{ID: "b", To: webhooks("https://slow.example")})
	if asked != 2 {
		t.Errorf("it was not asked again later: %d", asked)
	}
}

// More deliveries to one receiver than it has places for wait a little, then
// come back later.
func TestCrowdedChannel(t *testing.T) {
	c := clock.NewVirtual(start)
	inside, release := make(chan struct{}), make(chan struct{})
	p := &channel.Post{Clock: c, Notifier: sender(func(context.Context, notify.Message) (notify.Receipt, error) {
		inside <- struct{}{}
		<-release
		return notify.Receipt{Status: 200}, nil
	})}
	done := make(chan error)
	send := func() {
		_, err := p.Deliver(context.Background(), channel.Letter{ID: "a", To: webhooks("https://one.example")})
		done <- err
	}
	for range 3 {
		go send()
		<-inside
	}
	go send()
	var err error
	for waiting := true; waiting; {
		select {
		case err = <-done:
			waiting = false
		default:
			c.Advance(100 * time.Millisecond)
		}
	}
	if problem.KindOf(err) != problem.Unavailable {
		t.Errorf("the fourth: %v", err)
	}
	close(release)
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestMask(t *testing.T) {
	for to, want := range map[string]string{
		"ana@example.org": "a…@example.org", "+4930123456": "+49…56", "https://hooks.example/T0KEN": "hooks.example", "payments-pager": "pay…", "ab": "ab…", "": "…",
	} {
		if got := channel.Mask(to); got != want {
			t.Errorf("%q: %q, want %q", to, got, want)
		}
	}
}

// In a room nobody knows who follows a link: answers are left to people, and
// to channels that say who has pressed.
func TestLinksInARoom(t *testing.T) {
	own := notify.Link{Label: "Confirm", URL: "https://f.example/confirm", Act: "confirm"}
	for _, c := range []struct {
		person string
		want   int
	}{{"ana", 2}, {"", 1}} {
		var got []notify.Link
		p := &channel.Post{Clock: clock.NewVirtual(start), Web: "https://f.example", Key: key, Notifier: sender(func(_ context.Context, m notify.Message) (notify.Receipt, error) {
			got = m.Text.Links
			return notify.Receipt{Status: 200}, nil
		})}
		l := channel.Letter{ID: "a", To: webhooks("https://room.example"), Acts: []string{channel.Acknowledge}, Incident: "i", Person: c.person, Text: notify.Text{Links: []notify.Link{own}}}
		if _, err := p.Deliver(t.Context(), l); err != nil || len(got) != c.want || got[len(got)-1] != own {
			t.Errorf("for %q: %+v, %v", c.person, got, err)
		}
	}
}
