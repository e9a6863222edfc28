package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"os"
	"strconv"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/outbound"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Bounds on one delivery.
const (
	timeout   = 12 * time.Second
	maxAnswer = 64 << 10 // bytes of all that the server says
)

// Sender sends mail.
type Sender struct {
	clock  clock.Clock
	secret notify.Secrets
}

// New makes a sender that asks secret for passwords.
func New(c clock.Clock, secret notify.Secrets) *Sender { return &Sender{clock: c, secret: secret} }

// Send sends one mail. See notify.Notifier.
func (s *Sender) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	if err := notify.Check(m); err != nil {
		return notify.Receipt{}, err
	}
	to := m.To.SMTP
	if to == nil {
		return notify.Receipt{}, problem.New(problem.Invalid, "smtp.send", "the target is no mail server")
	}
	from, err := mail.ParseAddress(to.From)
	if err != nil {
		return notify.Receipt{}, problem.New(problem.Invalid, "smtp.send", "the sender's address is malformed")
	}
	if a, err := mail.ParseAddress(m.To.Address); err != nil || a.Address != m.To.Address {
		return notify.Receipt{}, problem.New(problem.Invalid, "smtp.send", "the receiver's address is malformed")
	}
	password, err := s.secret.Get(to.PasswordEnv)
	if err != nil {
		return notify.Receipt{}, err
	}
	start := s.clock.Now()
	mail, err := compose(m, from, start)
	if err != nil {
		return notify.Receipt{}, problem.New(problem.Internal, "smtp.send", "the mail cannot be written: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d := delivery{to: to, class: m.To.Class, from: from.Address, receiver: m.To.Address, password: password, mail: mail}
	answer, err := d.send(ctx)
	if err != nil {
		return notify.Receipt{}, d.classify(err)
	}
	return notify.Receipt{Status: 250, Answer: outbound.Text([]byte(answer)), Elapsed: s.clock.Now().Sub(start)}, nil
}

// delivery is one conversation with a server.
type delivery struct {
	to             *notify.SMTP
	class          notify.Class
	from, receiver string
	password       string
	mail           []byte
	sent           bool // the whole mail went out: it may have arrived
	setup          bool // the server has taken us, and the mail is next
}

func (d *delivery) send(ctx context.Context) (answer string, err error) {
	conn, config, err := d.dial(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	// Whatever happens, the conversation ends with the context.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c, err := smtp.NewClient(conn, d.to.Host)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := d.prepare(c, config); err != nil {
		return "", err
	}
	d.setup = true
	if err := c.Mail(d.from); err != nil {
		return "", err
	}
	if err := c.Rcpt(d.receiver); err != nil {
		return "", err
	}
	if answer, err = d.data(c); err != nil {
		return "", err
	}
	_ = c.Quit() // it has the mail already
	return answer, nil
}

// data sends the mail itself. Package smtp's own Data does not tell what the
// server said.
func (d *delivery) data(c *smtp.Client) (string, error) {
	id, err := c.Text.Cmd("DATA")
	if err != nil {
		return "", err
	}
	c.Text.StartResponse(id)
	_, _, err = c.Text.ReadResponse(354)
	c.Text.EndResponse(id)
	if err != nil {
		return "", err
	}
	w := c.Text.DotWriter()
	if _, err := w.Write(d.mail); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	d.sent = true
	_, answer, err := c.Text.ReadResponse(250)
	return answer, err
}

func (d *delivery) dial(ctx context.Context) (net.Conn, *tls.Config, error) {
	config := &tls.Config{ServerName: d.to.Host, MinVersion: tls.VersionTLS12}
	if d.to.CAFile != "" {
		pem, err := os.ReadFile(d.to.CAFile)
		if err != nil {
			return nil, nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, nil, errors.New("caFile holds no certificate")
		}
	}
	allowed := outbound.Public
	if d.class == notify.Declared {
		allowed = outbound.Declared
	}
	dialer := &net.Dialer{Timeout: timeout / 2, Control: outbound.Control(allowed)}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(d.to.Host, strconv.Itoa(d.to.Port)))
	if err != nil {
		return nil, nil, err
	}
	conn = bounded{conn, &io.LimitedReader{R: conn, N: maxAnswer}}
	if d.to.TLS != "tls" {
		return conn, config, nil
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, nil, err
	}
	return secure, config, nil
}

// bounded is a connection on which no more than so much is heard.
type bounded struct {
	net.Conn
	r io.Reader
}

func (b bounded) Read(p []byte) (int, error) { return b.r.Read(p) }

// prepare secures the conversation and says who we are.
func (d *delivery) prepare(c *smtp.Client, config *tls.Config) error {
	if err := c.Hello(hostname()); err != nil {
		return err
	}
	if d.to.TLS == "starttls" || d.to.TLS == "" {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("the server offers no STARTTLS")
		}
		if err := c.StartTLS(config); err != nil {
			return err
		}
	}
	if d.to.Username == "" {
		return nil
	}
	return c.Auth(smtp.PlainAuth("", d.to.Username, d.password, d.to.Host))
}

func hostname() string {
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "localhost"
}

// classify says whether a later attempt may succeed. Only what the server says
// for good about the receiver or the mail is for good; a wrong password can be
// mended.
func (d *delivery) classify(err error) error {
	var said *textproto.Error
	switch {
	case errors.Is(err, outbound.ErrAddress):
		return problem.New(problem.Invalid, "smtp.send", "the mail server is at an address that a %s target may not have", d.class)
	case errors.As(err, &said) && d.setup && said.Code/100 == 5:
		return problem.New(problem.Invalid, "smtp.send", "the mail server refuses: %d %s", said.Code, outbound.Text([]byte(said.Msg))).
			WithNext("correct the receiver's address, or ask whoever runs the mail server")
	case errors.As(err, &said):
		return problem.New(problem.Unavailable, "smtp.send", "the mail server answered %d %s", said.Code, outbound.Text([]byte(said.Msg)))
	}
	out := problem.New(problem.Unavailable, "smtp.send", "the mail server cannot be reached: %w", err)
	if d.sent {
		return notify.Uncertain(out)
	}
	return out
}
