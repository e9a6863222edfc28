package probe

import (
	"context"
	"crypto/tls"

	"github.com/flyball-dev/flyball/internal/port/probe"
)

// tcp connects, and shakes hands when TLS is wanted.
func (p *Prober) tcp(ctx context.Context, c probe.Check) (found, error) {
	if !c.TLS {
		conn, err := p.dialer.DialContext(ctx, "tcp", c.Target)
		if err != nil {
			return found{}, err
		}
		defer conn.Close()
		return found{answer: conn.RemoteAddr().String()}, nil
	}
	d := tls.Dialer{NetDialer: p.dialer, Config: tlsConfig(c)}
	conn, err := d.DialContext(ctx, "tcp", c.Target)
	if err != nil {
		return found{}, err
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	return found{answer: conn.RemoteAddr().String(), certificate: &state}, nil
}
