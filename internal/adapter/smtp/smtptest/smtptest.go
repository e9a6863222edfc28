// Package smtptest lends tests a real mail server: Debian's Exim in a directory
// of its own, which demands STARTTLS and a password and keeps what it is given
// in a maildir. Each session is an Exim of its own on a connection that the test
// has accepted, as inetd would do it, so that no port is chosen before it is used.
package smtptest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// What the server knows its only user by.
const (
	Username = "flyball"
	Password = "s3cret"
)

const exim = "/usr/sbin/exim4"

// Server is a mail server.
type Server struct {
	Dir    string
	CAFile string
	Port   int

	mu       sync.Mutex
	sessions []*exec.Cmd
}

// Settings are those of a channel that sends by this server; the password is
// Password, in the environment variable given.
func (s *Server) Settings(passwordEnv string) notify.Settings {
	return notify.Settings{SMTP: &notify.SMTP{
		Host: "localhost", Port: s.Port, From: "Flyball <flyball@example.org>", TLS: "starttls", CAFile: s.CAFile,
		Username: Username, PasswordEnv: passwordEnv,
	}}
}

// New starts a server.
func New(t testing.TB) *Server {
	t.Helper()
	if _, err := os.Stat(exim); err != nil {
		t.Fatalf("%v: scripts/need exim4=exim4-daemon-light installs it", err)
	}
	// Exim drops to a user of its own, who must reach its files.
	dir, err := os.MkdirTemp("/tmp", "flyball-exim-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{Dir: dir, CAFile: filepath.Join(dir, "cert.pem")}
	for _, d := range []string{"", "spool", "mail"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, d), 0o777); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
	s.certificate(t)
	config := strings.ReplaceAll(configuration, "DIR", dir)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Port = l.Addr().(*net.TCPAddr).Port
	var serving sync.WaitGroup
	serving.Go(func() { s.serve(l) })
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for _, c := range s.sessions {
			_ = c.Process.Kill()
		}
		s.mu.Unlock()
		serving.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "spool", "mainlog"))
			t.Logf("exim's log:\n%s", log)
		}
	})
	return s
}

// serve gives each connection an Exim.
func (s *Server) serve(l net.Listener) {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		file, err := conn.(*net.TCPConn).File()
		conn.Close()
		if err != nil {
			return
		}
		command := []string{exim, "-bs", "-C", filepath.Join(s.Dir, "conf")}
		if os.Geteuid() != 0 { // it gives its files to a user of its own
			command = append([]string{"sudo", "-n"}, command...)
		}
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Stdin, cmd.Stdout = file, file
		s.mu.Lock()
		err = cmd.Start()
		if err == nil {
			s.sessions = append(s.sessions, cmd)
		}
		s.mu.Unlock()
		file.Close()
		if err == nil {
			sessions.Go(func() { _ = cmd.Wait() })
		}
	}
}

// Mails are the mails that were delivered so far, in no order.
func (s *Server) Mails() (out []*mail.Message) {
	files, _ := filepath.Glob(filepath.Join(s.Dir, "mail", "new", "*"))
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if m, err := mail.ReadMessage(bytes.NewReader(raw)); err == nil {
			out = append(out, m)
		}
	}
	return out
}

// Wait waits until n mails were delivered, and fails the test after the limit.
func (s *Server) Wait(t testing.TB, n int, limit time.Duration) []*mail.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		if m := s.Mails(); len(m) >= n {
			return m
		}
		if err := clock.Sleep(ctx, clock.Wall(), 5*time.Millisecond); err != nil {
			t.Fatalf("%d mails arrived within %s, want %d", len(s.Mails()), limit, n)
		}
	}
}

// certificate makes one for localhost that signs itself.
func (s *Server) certificate(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := clock.Wall().Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(s.Dir, name), pem.EncodeToMemory(block), 0o644); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", name, err))
		}
	}
}

const configuration = `primary_hostname = mail.example.org
spool_directory = DIR/spool
log_file_path = DIR/spool/%slog
tls_certificate = DIR/cert.pem
tls_privatekey = DIR/key.pem
tls_advertise_hosts = *
auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}
acl_smtp_rcpt = rcpt
keep_environment =
begin acl
rcpt:
  require authenticated = *
          message = authenticate first
  deny local_parts = nobody
       message = there is no such mailbox
  accept
begin routers
all:
  driver = accept
  transport = keep
begin transports
keep:
  driver = appendfile
  maildir_format
  directory = DIR/mail
  user = Debian-exim
  group = Debian-exim
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{flyball}}{eq{$auth3}{s3cret}}}}
  server_set_id = $auth2
`
