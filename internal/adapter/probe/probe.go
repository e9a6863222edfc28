package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/outbound"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/probe"
)

// Prober is a probe.Prober.
type Prober struct {
	clock  clock.Clock
	dialer *net.Dialer
}

var _ probe.Prober = (*Prober)(nil)

// New makes a prober.
func New(c clock.Clock) *Prober {
	return &Prober{clock: c, dialer: &net.Dialer{Control: outbound.Control(outbound.Anywhere), Resolver: &net.Resolver{PreferGo: true}}}
}

// found is what one protocol found out.
type found struct {
	answer      string
	bad         string // why it is bad; empty when it is good
	certificate *tls.ConnectionState
}

func badly(answer, format string, args ...any) found {
	return found{answer: answer, bad: fmt.Sprintf(format, args...)}
}

// Probe makes one check.
func (p *Prober) Probe(ctx context.Context, c probe.Check) (probe.Outcome, error) {
	ask := map[probe.Kind]func(context.Context, probe.Check) (found, error){probe.HTTP: p.http, probe.TCP: p.tcp, probe.DNS: p.dns, probe.GRPC: p.grpc}[c.Kind]
	if ask == nil || c.Timeout <= 0 {
		return probe.Outcome{}, problem.New(problem.Invalid, "probe", "a check of kind %q with a timeout of %s cannot be made", c.Kind, c.Timeout)
	}
	within, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	started := p.clock.Now()
	f, err := ask(within, c)
	took := p.clock.Now().Sub(started)
	switch {
	case ctx.Err() != nil:
		return probe.Outcome{}, problem.New(problem.Unavailable, "probe", "the check was given up: %w", ctx.Err())
	case errors.Is(err, outbound.ErrAddress):
		return probe.Outcome{}, problem.New(problem.Invalid, "probe", "%w", err).WithNext("name an address that is neither link-local nor where a cloud keeps credentials")
	case err != nil && ours(err):
		return probe.Outcome{}, problem.New(problem.Unavailable, "probe", "the check could not be made: %w", err)
	case within.Err() != nil:
		f = badly(f.answer, "no answer within %s", c.Timeout)
	case err != nil:
		f = badly(f.answer, "%s", plain(err))
	}
	out := probe.Outcome{Good: f.bad == "", Reason: clip(f.bad), Took: took, Answer: clip(f.answer), CertificateDays: -1}
	p.certificate(&out, c, f.certificate, started)
	return out, nil
}

// certificate says how long the certificate is valid still, and whether that is
// too short.
func (p *Prober) certificate(out *probe.Outcome, c probe.Check, state *tls.ConnectionState, now time.Time) {
	if state == nil || len(state.PeerCertificates) == 0 {
		if c.CertificateDays > 0 && out.Good {
			out.Good, out.Reason = false, "there was no certificate"
		}
		return
	}
	until := state.PeerCertificates[0].NotAfter
	out.CertificateDays = max(0, int(until.Sub(now)/(24*time.Hour)))
	if out.Good && out.CertificateDays < c.CertificateDays {
		out.Good, out.Reason = false, fmt.Sprintf("the certificate ends in %d days (%s), before the %d that are wanted", out.CertificateDays, until.UTC().Format(time.DateOnly), c.CertificateDays)
	}
}

// ours reports whether a check failed through no fault of what was asked: this
// machine lacks descriptors, ports, buffers or a network, or its resolver does
// not answer. A name that does not exist is a fault of what was asked.
func ours(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EPERM} {
		if errors.Is(err, e) {
			return true
		}
	}
	var name *net.DNSError
	return errors.As(err, &name) && !name.IsNotFound
}

// plain is an error without the addresses that net puts around it.
func plain(err error) string {
	var (
		op   *net.OpError
		name *net.DNSError
	)
	switch {
	case errors.As(err, &name):
		return "there is no host " + name.Name
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, syscall.ECONNRESET):
		return "the connection was reset"
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}

// clip bounds what is kept of a foreign text.
func clip(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return s
}

func tlsConfig(c probe.Check) *tls.Config { return &tls.Config{InsecureSkipVerify: c.SkipVerify} }
