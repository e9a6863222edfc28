package probe

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/probe"
)

// expect makes a check and compares what came of it: good or bad, answer,
// reason.
func expect(t *testing.T, c probe.Check, want string) {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = 20 * time.Second
	}
	out, err := New(clock.Wall()).Probe(context.Background(), c)
	if err != nil {
		t.Errorf("%s %s: %v", c.Kind, c.Target, err)
		return
	}
	got := "bad"
	if out.Good {
		got = "good"
	}
	if got = got + ": " + out.Answer + ": " + out.Reason; got != want {
		t.Errorf("%s %s:\n got %s\nwant %s", c.Kind, c.Target, got, want)
	}
}

// closed is an address at which nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	// A socket that is bound and does not listen refuses, and nobody else gets its port.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
}

func web(t *testing.T) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "all is well, "+r.Header.Get("X-Who")+" at "+r.Host)
	})
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("x", 64<<10)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/never", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	return mux
}

func TestHTTP(t *testing.T) {
	s := httptest.NewServer(web(t))
	defer s.Close()
	host := s.Listener.Addr().String()
	check := func(path string) probe.Check { return probe.Check{Kind: probe.HTTP, Target: s.URL + path} }
	with := func(path string, change func(*probe.Check)) probe.Check {
		c := check(path)
		change(&c)
		return c
	}
	expect(t, check("/ok"), "good: 200 OK: ")
	expect(t, with("/ok", func(c *probe.Check) { c.Method = "HEAD" }), "good: 200 OK: ")
	expect(t, with("/ok", func(c *probe.Check) {
		c.Headers, c.Contains = map[string]string{"X-Who": "ana", "Host": "shop.example"}, "ana at shop.example"
	}), "good: 200 OK: ")
	expect(t, with("/ok", func(c *probe.Check) { c.Contains = "missing" }), "bad: 200 OK: the body does not contain missing")
	expect(t, with("/ok", func(c *probe.Check) { c.Status = []int{204} }), "bad: 200 OK: the answer is 200 OK")
	expect(t, check("/broken"), "bad: 500 Internal Server Error: the answer is 500 Internal Server Error")
	expect(t, with("/broken", func(c *probe.Check) { c.Status = []int{200, 500} }), "good: 500 Internal Server Error: ")
	expect(t, check("/moved"), "bad: 302 Found: the answer is 302 Found")
	expect(t, with("/moved", func(c *probe.Check) { c.Redirects = true }), "good: 200 OK: ")
	expect(t, with("/loop", func(c *probe.Check) { c.Redirects = true }), "bad: 302 Found: the answer is 302 Found")
	expect(t, with("/elsewhere", func(c *probe.Check) { c.Redirects = true }), "bad: 302 Found: the answer is 302 Found")
	expect(t, with("/endless", func(c *probe.Check) { c.Contains = "y" }), "bad: 200 OK: the body does not contain y")
	expect(t, with("/never", func(c *probe.Check) { c.Timeout = 50 * time.Millisecond }), "bad: : no answer within 50ms")
	expect(t, with("/ok", func(c *probe.Check) { c.CertificateDays = 1 }), "bad: 200 OK: there was no certificate")
	expect(t, probe.Check{Kind: probe.HTTP, Target: "http://" + closed(t)}, "bad: : the connection was refused")
	expect(t, probe.Check{Kind: probe.HTTP, Target: "https://" + host}, "bad: : http: server gave HTTP response to HTTPS client")
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(web(t))
	defer s.Close()
	host := s.Listener.Addr().String()
	// The certificate of httptest is valid until 2084.
	days := int(time.Until(s.Certificate().NotAfter) / (24 * time.Hour))
	expect(t, probe.Check{Kind: probe.HTTP, Target: s.URL + "/ok", SkipVerify: true, CertificateDays: 30}, "good: 200 OK: ")
	expect(t, probe.Check{Kind: probe.TCP, Target: host, TLS: true, SkipVerify: true, CertificateDays: 30}, "good: "+host+": ")
	expect(t, probe.Check{Kind: probe.TCP, Target: host, TLS: true, SkipVerify: true, CertificateDays: days + 10},
		fmt.Sprintf("bad: %s: the certificate ends in %d days (%s), before the %d that are wanted", host, days, s.Certificate().NotAfter.UTC().Format(time.DateOnly), days+10))
	out, err := New(clock.Wall()).Probe(context.Background(), probe.Check{Kind: probe.HTTP, Target: s.URL + "/ok", Timeout: 20 * time.Second})
	if err != nil || out.Good || !strings.Contains(out.Reason, "certificate") {
		t.Errorf("a certificate that nobody signed: %+v, %v", out, err)
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	expect(t, probe.Check{Kind: probe.TCP, Target: l.Addr().String()}, "good: "+l.Addr().String()+": ")
	expect(t, probe.Check{Kind: probe.TCP, Target: closed(t)}, "bad: : the connection was refused")
}

// What could not be asked is an error and no outcome.
func TestOurOwnFaults(t *testing.T) {
	p := New(clock.Wall())
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Probe(over, probe.Check{Kind: probe.TCP, Target: "127.0.0.1:1", Timeout: time.Second}); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("given up: %v", err)
	}
	for _, c := range []probe.Check{
		{Kind: probe.TCP, Target: "169.254.169.254:80", Timeout: time.Second},
		{Kind: probe.HTTP, Target: "http://169.254.169.254/latest/meta-data", Timeout: time.Second},
		{Kind: probe.DNS, Target: "a.example", Type: "A", Server: "[fe80::1]:53", Timeout: time.Second},
		{Kind: "smoke", Target: "a", Timeout: time.Second},
		{Kind: probe.TCP, Target: "127.0.0.1:1"},
	} {
		if _, err := p.Probe(context.Background(), c); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s %s: %v, want invalid", c.Kind, c.Target, err)
		}
	}
	for err, want := range map[error]bool{
		&net.OpError{Op: "dial", Err: syscall.EMFILE}:                                              true,
		&net.OpError{Op: "dial", Err: syscall.ENETUNREACH}:                                         true,
		&net.OpError{Op: "dial", Err: &net.DNSError{Err: "server misbehaving", IsTemporary: true}}: true,
		&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}:        false,
		&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}:                                        false,
		io.EOF: false,
	} {
		if ours(err) != want {
			t.Errorf("%v is our own fault: %v", err, !want)
		}
	}
}

// nameServer answers for shop.example by UDP, cutting long answers off, and by
// TCP.
func nameServer(t *testing.T) string {
	t.Helper()
	udp, tcp := bothPorts(t)
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			late := answered(buf[:n], false)
			late[0]++ // the reply to another question comes first
			udp.WriteTo(late, from)
			udp.WriteTo(answered(buf[:n], true), from)
		}
	}()
	go func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			var size [2]byte
			io.ReadFull(conn, size[:])
			q := make([]byte, binary.BigEndian.Uint16(size[:]))
			io.ReadFull(conn, q)
			reply := answered(q, false)
			conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
			conn.Close()
		}
	}()
	return udp.LocalAddr().String()
}

// bothPorts is one port for UDP and TCP.
func bothPorts(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 100 {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if tcp, err := net.Listen("tcp", udp.LocalAddr().String()); err == nil {
			t.Cleanup(func() { udp.Close(); tcp.Close() })
			return udp, tcp
		}
		udp.Close() // the port is taken for TCP
	}
	t.Fatal("no port is free for both")
	return nil, nil
}

func answered(question []byte, udp bool) []byte {
	var q dnsmessage.Message
	if q.Unpack(question) != nil {
		return nil
	}
	name, typ := q.Questions[0].Name, q.Questions[0].Type
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true}, Questions: q.Questions}
	add := func(body dnsmessage.ResourceBody) {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name, Type: typ, Class: dnsmessage.ClassINET}, Body: body})
	}
	to := dnsmessage.MustNewName("mail.example.")
	switch {
	case name.String() == "gone.example.":
		m.RCode = dnsmessage.RCodeNameError
	case typ == dnsmessage.TypeA:
		add(&dnsmessage.AResource{A: [4]byte{192, 0, 2, 2}})
		add(&dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}})
	case typ == dnsmessage.TypeAAAA:
		add(&dnsmessage.AAAAResource{AAAA: [16]byte{0x20, 1, 0xd, 0xb8, 15: 1}})
	case typ == dnsmessage.TypeMX:
		add(&dnsmessage.MXResource{Pref: 10, MX: to})
	case typ == dnsmessage.TypeNS:
		add(&dnsmessage.NSResource{NS: to})
	case typ == dnsmessage.TypeTXT && udp:
		m.Truncated = true
	case typ == dnsmessage.TypeTXT:
		add(&dnsmessage.TXTResource{TXT: []string{"v=spf1 ", "-all"}})
	}
	b, _ := m.Pack()
	return b
}

func TestDNS(t *testing.T) {
	server := nameServer(t)
	check := func(name, typ string, answer ...string) probe.Check {
		return probe.Check{Kind: probe.DNS, Target: name, Type: typ, Server: server, Answer: answer}
	}
	expect(t, check("shop.example", "A"), "good: 192.0.2.1 192.0.2.2: ")
	expect(t, check("shop.example.", "A", "192.0.2.9", "192.0.2.2"), "good: 192.0.2.1 192.0.2.2: ")
	expect(t, check("shop.example", "A", "192.0.2.9"), "bad: 192.0.2.1 192.0.2.2: the answer is 192.0.2.1 192.0.2.2, not 192.0.2.9")
	expect(t, check("shop.example", "AAAA"), "good: 2001:db8::1: ")
	expect(t, check("shop.example", "MX", "10 mail.example"), "good: 10 mail.example: ")
	expect(t, check("shop.example", "NS"), "good: mail.example: ")
	expect(t, check("shop.example", "TXT", "v=spf1 -all"), "good: v=spf1 -all: ")
	expect(t, check("shop.example", "CNAME"), "bad: : there is no CNAME record")
	expect(t, check("gone.example", "A"), "bad: NameError: the name server says NameError")
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	expect(t, probe.Check{Kind: probe.DNS, Target: "a.example", Type: "A", Server: silent.LocalAddr().String(), Timeout: 50 * time.Millisecond}, "bad: : no answer within 50ms")
}

// Whatever a server answers is read without harm.
func FuzzAnswers(f *testing.F) {
	q, _, err := dnsQuestion(probe.Check{Target: "shop.example", Type: "A"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answered(q, true))
	f.Add([]byte{0, 0, 0, 0, 2, 8, 1})
	f.Add([]byte{0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, answers, err := dnsAnswers(b, dnsmessage.TypeA); err == nil && len(answers) > 100 {
			t.Errorf("%d answers", len(answers))
		}
		if status, err := healthStatus(b); err == nil && status == "" {
			t.Error("a status without a name")
		}
	})
}
