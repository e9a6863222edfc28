// Package notifytest is the suite that every notify.Notifier passes. An
// adapter's own test calls Run.
package notifytest

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Delivery is a message as a receiver got it.
type Delivery struct {
	ID        string
	Body      []byte
	Authentic bool // the receiver could verify who sent it
}

// Fixture is a notifier with a receiver it can reach.
type Fixture struct {
	Notifier notify.Notifier
	Target   notify.Target // reaches the receiver, signed
	// Received lists what the receiver got so far, refused messages included.
	Received func() []Delivery
	// Behave says how the receiver answers from now on.
	Behave func(Behaviour)
	// Nobody is a target behind which nobody listens.
	Nobody notify.Target
	// Words says that the channel carries the text for people: what is received
	// then contains its title, not the JSON.
	Words bool
	// Nameless says that the receiver is not told the identifier.
	Nameless bool
	// Timeless says that a busy receiver has no way to say when to try again.
	Timeless bool
}

// Title is what the suite's message tells people.
const Title = "SEV2 übermäßig"

// Behaviour is how a receiver answers.
type Behaviour int

// The behaviours.
const (
	Accept    Behaviour = iota
	Busy                // not now, try again in 7 seconds
	Broken              // an error of the receiver's
	Gone                // never again
	Elsewhere           // points to another address
	Silent              // takes the message and never answers
	Flood               // accepts, with an endless answer
)

// Run checks the contract.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	body := []byte(`{"type":"test","data":{"text":"übermäßig"}}`)
	message := func(f Fixture) notify.Message {
		return notify.Message{
			ID: "page-1", To: f.Target, Body: body,
			Text: notify.Text{Title: Title, Lines: []string{"checkout in prod"}, Links: []notify.Link{{Label: "Open", URL: "https://flyball.example/incidents/1"}}},
		}
	}
	same := func(f Fixture, d Delivery) bool {
		if f.Words {
			return strings.Contains(string(d.Body), Title)
		}
		return bytes.Equal(d.Body, body)
	}

	t.Run("delivers the body as given, with its identifier, authentic", func(t *testing.T) {
		f := open(t)
		r, err := f.Notifier.Send(t.Context(), message(f))
		if err != nil {
			t.Fatal(err)
		}
		got := f.Received()
		if len(got) != 1 || got[0].ID != "page-1" && !f.Nameless || !same(f, got[0]) || !got[0].Authentic {
			t.Fatalf("received %+v", got)
		}
		if r.Elapsed < 0 || r.Status == 0 {
			t.Errorf("receipt %+v", r)
		}
	})
	t.Run("the identifier is the same on every attempt", func(t *testing.T) {
		f := open(t)
		f.Behave(Broken)
		if _, err := f.Notifier.Send(t.Context(), message(f)); problem.KindOf(err) != problem.Unavailable {
			t.Fatalf("a receiver's error: %v", err)
		}
		f.Behave(Accept)
		if _, err := f.Notifier.Send(t.Context(), message(f)); err != nil {
			t.Fatal(err)
		}
		if got := f.Received(); len(got) != 2 || got[0].ID != got[1].ID || !got[1].Authentic {
			t.Fatalf("received %+v", got)
		}
	})
	t.Run("a busy receiver says when to try again", func(t *testing.T) {
		f := open(t)
		f.Behave(Busy)
		_, err := f.Notifier.Send(t.Context(), message(f))
		var p *problem.Error
		if !errors.As(err, &p) || p.Kind != problem.Unavailable || p.RetryAfter != 7*time.Second && !f.Timeless {
			t.Fatalf("busy: %#v", err)
		}
	})
	t.Run("a receiver that is gone is not asked again", func(t *testing.T) {
		f := open(t)
		f.Behave(Gone)
		if _, err := f.Notifier.Send(t.Context(), message(f)); problem.KindOf(err) != problem.Invalid {
			t.Fatalf("gone: %v", err)
		}
	})
	t.Run("a message is not sent elsewhere", func(t *testing.T) {
		f := open(t)
		f.Behave(Elsewhere)
		if _, err := f.Notifier.Send(t.Context(), message(f)); err == nil {
			t.Fatal("followed a receiver elsewhere, or took that for acceptance")
		}
		if got := f.Received(); len(got) != 1 {
			t.Fatalf("received %d messages", len(got))
		}
	})
	t.Run("nobody listening may be somebody later", func(t *testing.T) {
		f := open(t)
		m := message(f)
		m.To = f.Nobody
		if _, err := f.Notifier.Send(t.Context(), m); problem.KindOf(err) != problem.Unavailable {
			t.Fatalf("nobody: %v", err)
		}
	})
	t.Run("a silent receiver is not waited for beyond the context", func(t *testing.T) {
		f := open(t)
		f.Behave(Silent)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := f.Notifier.Send(ctx, message(f))
			done <- err
		}()
		for len(f.Received()) == 0 {
			select {
			case err := <-done:
				t.Fatalf("returned before the receiver answered: %v", err)
			default:
				runtime.Gosched()
			}
		}
		cancel()
		select {
		case err := <-done:
			if err == nil {
				t.Fatal("accepted by silence")
			}
		case <-t.Context().Done():
			t.Fatal("outlived its context")
		}
	})
	t.Run("an endless answer is cut", func(t *testing.T) {
		f := open(t)
		f.Behave(Flood)
		r, err := f.Notifier.Send(t.Context(), message(f))
		if err != nil || len(r.Answer) > 1<<10 {
			t.Fatalf("answer of %d bytes, %v", len(r.Answer), err)
		}
	})
	t.Run("what cannot be sent is refused at once", func(t *testing.T) {
		f := open(t)
		private := f.Target
		private.Class = notify.Public
		for name, m := range map[string]notify.Message{
			"no identifier":                     {To: f.Target, Body: body},
			"an identifier with a line break":   {ID: "a\r\nb: c", To: f.Target, Body: body},
			"an identifier with a dot":          {ID: "a.b", To: f.Target, Body: body},
			"no target":                         {ID: "a", Body: body},
			"a target that is no address":       {ID: "a", To: notify.Target{URL: "gopher://x"}, Body: body},
			"a body over the bound":             {ID: "a", To: f.Target, Body: bytes.Repeat([]byte("x"), notify.MaxBody+1)},
			"a private address of a user's own": {ID: "a", To: private, Body: body},
		} {
			if _, err := f.Notifier.Send(t.Context(), m); problem.KindOf(err) != problem.Invalid {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := f.Received(); len(got) != 0 {
			t.Errorf("received %d messages", len(got))
		}
	})
}
