// Package probe is the port to whoever asks a service from outside whether it
// works, as its users would.
//
// A Check says what is asked and what is expected. Its Outcome is good or bad,
// with the reason in a person's words. What could not be asked through a fault
// of our own (no file descriptors, no network, a resolver that does not answer)
// is neither: it is an error, and to be counted as a gap.
//
// Checks go to what is declared in git and nowhere else: names are resolved
// once and the addresses found are dialled; redirects stay on the same host, and
// only if allowed; link-local addresses, behind which cloud machines keep
// credentials, are refused; what is read is bounded.
package probe

import (
	"context"
	"time"
)

// Kind is the protocol of a check.
type Kind string

// The protocols.
const (
	HTTP Kind = "http"
	TCP  Kind = "tcp"
	DNS  Kind = "dns"
	GRPC Kind = "grpc" // the service grpc.health.v1.Health
)

// MaxBody is how much of an answer is read.
const MaxBody = 1 << 20

// Check is what is asked, and what is expected.
type Check struct {
	Kind Kind
	// Target is the address of an HTTP check, host:port of TCP and gRPC, and the
	// name that a DNS check asks for.
	Target     string
	Timeout    time.Duration // of all of it
	SkipVerify bool          // accept any certificate
	// CertificateDays is the least time that the certificate must still be valid;
	// 0 does not ask.
	CertificateDays int

	Method    string            // HTTP; empty is GET
	Headers   map[string]string // HTTP
	Status    []int             // HTTP; empty is 200 to 299
	Contains  string            // HTTP: in the first MaxBody bytes of the body
	Redirects bool              // HTTP: follow up to five, to the same host

	Server string   // DNS: host:port of the name server
	Type   string   // DNS: A, AAAA, CNAME, MX, NS or TXT
	Answer []string // DNS: one of these must be among the answers; empty is any answer

	Service string // gRPC: empty is the server as a whole
	TLS     bool   // TCP and gRPC
}

// Outcome is what came of a check.
type Outcome struct {
	Good   bool
	Reason string        // why it is bad; empty when it is good
	Took   time.Duration // until the answer was read, or the check given up
	Answer string        // what was answered, in a word: a status, an address
	// CertificateDays is how long the certificate is valid still; -1 without one.
	CertificateDays int
}

// Prober makes checks. Implementations are safe for concurrent use.
type Prober interface {
	// Probe makes one check. The error is problem.Unavailable when it could not be
	// made, problem.Invalid when it never can be.
	Probe(ctx context.Context, c Check) (Outcome, error)
}
