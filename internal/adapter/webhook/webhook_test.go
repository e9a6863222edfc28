package webhook

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
	"github.com/flyball-dev/flyball/internal/port/notify/notifytest"
)

const secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDxAEzMDEyMzQ="

// receiver is a webhook that behaves as told.
type receiver struct {
	mu        sync.Mutex
	behaviour notifytest.Behaviour
	got       []notifytest.Delivery
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.got = append(r.got, notifytest.Delivery{
		ID: req.Header.Get("webhook-id"), Body: body, Authentic: Verify(secret, req.Header, body, clock.Wall().Now()) == nil,
	})
	b := r.behaviour
	r.mu.Unlock()
	switch b {
	case notifytest.Busy:
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	case notifytest.Broken:
		w.WriteHeader(http.StatusInternalServerError)
	case notifytest.Gone:
		w.WriteHeader(http.StatusGone)
	case notifytest.Elsewhere:
		http.Redirect(w, req, "/elsewhere", http.StatusTemporaryRedirect)
	case notifytest.Silent:
		<-req.Context().Done()
	case notifytest.Flood:
		line := []byte(strings.Repeat("ä", 4096))
		for req.Context().Err() == nil {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}
}

func secrets(name string) (string, bool) { return secret, name == "PAGE_SECRET" }

func TestConformance(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Fixture {
		r := &receiver{}
		server := httptest.NewServer(r)
		t.Cleanup(server.Close)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		nobody := l.Addr().String()
		l.Close()
		return notifytest.Fixture{
			Notifier: NewWith(clock.Wall(), secrets),
			Target:   notify.Target{URL: server.URL + "/hook", SecretEnv: "PAGE_SECRET", Class: notify.Declared},
			Nobody:   notify.Target{URL: "http://" + nobody, Class: notify.Declared},
			Received: func() []notifytest.Delivery {
				r.mu.Lock()
				defer r.mu.Unlock()
				return append([]notifytest.Delivery(nil), r.got...)
			},
			Behave: func(b notifytest.Behaviour) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.behaviour = b
			},
		}
	})
}

// TestVector is the example of the Standard Webhooks specification's own
// libraries.
func TestVector(t *testing.T) {
	got, err := Sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestVerify(t *testing.T) {
	now := time.Unix(1614265330, 0)
	body := []byte("{}")
	signature, err := Sign(secret, "a", now, body)
	if err != nil {
		t.Fatal(err)
	}
	header := func(id, at, signature string) http.Header {
		h := http.Header{}
		h.Set(HeaderID, id)
		h.Set(HeaderTimestamp, at)
		h.Set(HeaderSignature, signature)
		return h
	}
	for name, c := range map[string]struct {
		h    http.Header
		body string
		at   time.Time
		ok   bool
	}{
		"as sent":                 {header("a", "1614265330", signature), "{}", now, true},
		"beside a rotated one":    {header("a", "1614265330", "v1,AAAA v1a,xyz "+signature), "{}", now, true},
		"just in time":            {header("a", "1614265330", signature), "{}", now.Add(Tolerance), true},
		"replayed later":          {header("a", "1614265330", signature), "{}", now.Add(Tolerance + time.Second), false},
		"from the future":         {header("a", "1614265330", signature), "{}", now.Add(-Tolerance - time.Second), false},
		"another body":            {header("a", "1614265330", signature), "{ }", now, false},
		"another identifier":      {header("b", "1614265330", signature), "{}", now, false},
		"another time":            {header("a", "1614265331", signature), "{}", now, false},
		"no signature":            {header("a", "1614265330", ""), "{}", now, false},
		"an unknown version":      {header("a", "1614265330", "v2"+strings.TrimPrefix(signature, "v1")), "{}", now, false},
		"a timestamp of nonsense": {header("a", "yesterday", signature), "{}", now, false},
	} {
		if err := Verify(secret, c.h, []byte(c.body), c.at); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGuardAfterResolution: a name is judged by where it leads, not by how it
// looks.
func TestGuardAfterResolution(t *testing.T) {
	r := &receiver{}
	server := httptest.NewServer(r)
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	_, err := New(clock.Wall()).Send(t.Context(), notify.Message{ID: "a", To: notify.Target{URL: "http://localhost:" + port}, Body: []byte("{}")})
	if problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), "is not an address that a public target may have") {
		t.Errorf("localhost for a public target: %v", err)
	}
	if len(r.got) != 0 {
		t.Error("it was delivered")
	}
}

func TestErrorsHoldNoSecrets(t *testing.T) {
	s := NewWith(clock.Wall(), func(string) (string, bool) { return "whsec_c2VjcmV0", true })
	for _, m := range []notify.Message{
		{ID: "a", To: notify.Target{URL: "http://127.0.0.1:1/T0KEN", Class: notify.Declared}, Body: []byte("{}")},
		{ID: "a", To: notify.Target{URL: "http://127.0.0.1/T0KEN"}, Body: []byte("{}")},
		{ID: "a", To: notify.Target{URL: "http://user:T0KEN@127.0.0.1/", Class: notify.Declared}, Body: []byte("{}")},
		{ID: "a", To: notify.Target{URL: "http://127.0.0.1:1/T0KEN", Class: notify.Declared, SecretEnv: "X"}, Body: []byte("{}")},
		{ID: "a", To: notify.Target{URL: "://T0KEN"}, Body: []byte("{}")},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := s.Send(ctx, m)
		cancel()
		if err == nil || strings.Contains(err.Error(), "T0KEN") || strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("%s: %v", m.To.URL, err)
		}
	}
	if _, err := NewWith(clock.Wall(), os.LookupEnv).Send(t.Context(), notify.Message{ID: "a", To: notify.Target{URL: "http://127.0.0.1:1", SecretEnv: "FLYBALL_NO_SUCH_VARIABLE"}}); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("a secret that is not set: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	now := time.Unix(1614265330, 0)
	signature, _ := Sign(secret, "a", now, []byte("{}"))
	f.Add("a", "1614265330", signature, "{}")
	f.Add("a", "", "v1,", "")
	f.Fuzz(func(t *testing.T, id, at, sig, body string) {
		h := http.Header{HeaderID: {id}, HeaderTimestamp: {at}, HeaderSignature: {sig}}
		if Verify(secret, h, []byte(body), now) == nil && (id != "a" || body != "{}" || at != "1614265330") {
			t.Fatalf("accepted %q %q %q %q", id, at, sig, body)
		}
	})
}
