package smtp

import (
	"bufio"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/smtp/smtptest"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
	"github.com/flyball-dev/flyball/internal/port/notify/notifytest"
)

func secrets(name string) (string, bool) { return smtptest.Password, name == "MAIL_PASSWORD" }

// words is what a mail says in plain text, its subject first.
func words(t *testing.T, m *mail.Message) (plain, html string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("content type %q: %v", kind, err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	var texts []string
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if len(texts) != 2 {
		t.Fatalf("%d parts", len(texts))
	}
	return texts[0], texts[1]
}

// A real mail server takes the mail after STARTTLS and with a password.
func TestRealServer(t *testing.T) {
	server := smtptest.New(t)
	s := New(clock.Wall(), secrets)
	m := notify.Message{
		ID: "page-1", To: notify.Target{Settings: server.Settings("MAIL_PASSWORD"), Address: "ana@example.org", Class: notify.Declared},
		Text: notify.Text{
			Title: "SEV2 checkout: zu viele Fehler, größer als <5 %>\r\nBcc: x@example.org", Thread: "inc-checkout-1", Lines: []string{"checkout in prod", ".", strings.Repeat("long ", 300)},
			Links: []notify.Link{{Label: "Acknowledge", URL: "https://flyball.example/act/abc?x=1&y=2", Act: "acknowledge"}},
		},
	}
	r, err := s.Send(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != 250 || r.Elapsed <= 0 || !strings.Contains(r.Answer, "OK id=") {
		t.Errorf("receipt %+v", r)
	}
	got := server.Wait(t, 1, 20*time.Second)[0]
	subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
	if err != nil || subject != m.Text.Title {
		t.Errorf("subject %q, %v", subject, err)
	}
	for name, want := range map[string]string{
		"To": "<ana@example.org>", "From": `"Flyball" <flyball@example.org>`, "Message-Id": "<page-1@example.org>", "Auto-Submitted": "auto-generated",
		"X-Auto-Response-Suppress": "All", "References": "<inc-checkout-1.thread@example.org>", "Importance": "high", "Bcc": "",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	plain, html := words(t, got)
	plain = strings.ReplaceAll(plain, "\r\n", "\n") // as the maildir has it
	if !strings.Contains(plain, "\n.\n") || !strings.Contains(plain, strings.Repeat("long ", 300)) || !strings.Contains(plain, "Acknowledge:\nhttps://flyball.example/act/abc?x=1&y=2\n") {
		t.Errorf("text:\n%s", plain)
	}
	if !strings.Contains(html, `href="https://flyball.example/act/abc?x=1&amp;y=2"`) || !strings.Contains(html, "größer als &lt;5 %&gt;") {
		t.Errorf("html:\n%s", html)
	}

	m.To.Address = "nobody@example.org"
	if _, err := s.Send(t.Context(), m); problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), "there is no such mailbox") {
		t.Errorf("an unknown mailbox: %v", err)
	}
	m.To.Address = "ana@example.org"
	wrong := New(clock.Wall(), func(string) (string, bool) { return "wr0ng", true })
	if _, err := wrong.Send(t.Context(), m); problem.KindOf(err) != problem.Unavailable || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("a wrong password: %v", err)
	}
	m.To.SMTP.CAFile = ""
	if _, err := s.Send(t.Context(), m); problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate nobody trusts: %v", err)
	}
}

// mailbox is a server that behaves as told; the real one cannot.
type mailbox struct {
	mu        sync.Mutex
	behaviour notifytest.Behaviour
	got       []notifytest.Delivery
}

func (b *mailbox) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go b.talk(c)
	}
}

func (b *mailbox) talk(c net.Conn) {
	defer c.Close()
	say := func(line string) { io.WriteString(c, line+"\r\n") }
	say("220 test")
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); verb {
		case "DATA":
			say("354 go on")
			var raw strings.Builder
			for line != ".\r\n" {
				if line, err = r.ReadString('\n'); err != nil {
					return
				}
				raw.WriteString(line)
			}
			if !b.took(c, raw.String()) {
				return
			}
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// took notes a mail and answers as told.
func (b *mailbox) took(c net.Conn, raw string) bool {
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		return false
	}
	subject, _ := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	id, _, _ := strings.Cut(strings.Trim(m.Header.Get("Message-Id"), "<>"), "@")
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, notifytest.Delivery{ID: id, Body: []byte(subject), Authentic: m.Header.Get("From") != ""})
	answers := map[notifytest.Behaviour]string{
		notifytest.Busy: "451 later", notifytest.Broken: "452 full", notifytest.Gone: "550 gone", notifytest.Elsewhere: "551 try <else@example.org>",
		notifytest.Flood: "250 " + strings.Repeat("ä", 1500),
	}
	if b.behaviour == notifytest.Silent {
		return true
	}
	answer := answers[b.behaviour]
	if answer == "" {
		answer = "250 taken"
	}
	io.WriteString(c, answer+"\r\n")
	return true
}

func TestConformance(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Fixture {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		b := &mailbox{}
		go b.serve(l)
		t.Cleanup(func() { l.Close() })
		gone, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		gone.Close()
		target := func(l net.Listener) notify.Target {
			return notify.Target{Address: "ana@example.org", Class: notify.Declared, Settings: notify.Settings{SMTP: &notify.SMTP{
				Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, From: "flyball@example.org", TLS: "none",
			}}}
		}
		return notifytest.Fixture{
			Notifier: New(clock.Wall(), secrets), Target: target(l), Nobody: target(gone), Words: true, Timeless: true,
			Received: func() []notifytest.Delivery {
				b.mu.Lock()
				defer b.mu.Unlock()
				return append([]notifytest.Delivery(nil), b.got...)
			},
			Behave: func(x notifytest.Behaviour) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.behaviour = x
			},
		}
	})
}

// A server that never stops talking is not listened to for ever.
func TestEndlessGreeting(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		for err == nil {
			_, err = io.WriteString(c, "220-"+strings.Repeat("x", 1000)+"\r\n")
		}
	}()
	_, err = New(clock.Wall(), secrets).Send(t.Context(), notify.Message{ID: "a", To: notify.Target{
		Address: "ana@example.org", Class: notify.Declared,
		Settings: notify.Settings{SMTP: &notify.SMTP{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, From: "a@example.org", TLS: "none"}},
	}})
	if problem.KindOf(err) != problem.Unavailable || len(err.Error()) > 5000 {
		t.Errorf("%.200v", err)
	}
}
