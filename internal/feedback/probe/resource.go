package probe

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	port "github.com/flyball-dev/flyball/internal/port/probe"
)

// KindProbe is the kind of a probe.
const KindProbe = "Probe"

// Spec says what is asked, how often, and what is expected. It has one of HTTP,
// TCP, DNS and GRPC.
type Spec struct {
	Service     string        `json:"service"`               // whose it is
	Environment string        `json:"environment,omitempty"` // default: the service's objectives say it
	Interval    time.Duration `json:"interval,omitempty"`    // default 30s
	Timeout     time.Duration `json:"timeout,omitempty"`     // default 10s, at most the interval
	Slow        time.Duration `json:"slow,omitempty"`        // an answer that takes longer is bad; default: only the timeout counts
	HTTP        *HTTPSpec     `json:"http,omitempty"`
	TCP         *TCPSpec      `json:"tcp,omitempty"`
	DNS         *DNSSpec      `json:"dns,omitempty"`
	GRPC        *GRPCSpec     `json:"grpc,omitempty"`
}

// HTTPSpec asks by HTTP.
type HTTPSpec struct {
	URL             string            `json:"url"`
	Method          string            `json:"method,omitempty"`          // GET (default) or HEAD
	Headers         map[string]string `json:"headers,omitempty"`         // no secrets: they would stand in git
	Status          []int             `json:"status,omitempty"`          // default: 200 to 299
	Contains        string            `json:"contains,omitempty"`        // in the first MiB of the body
	CertificateDays int               `json:"certificateDays,omitempty"` // for which the certificate must be valid still
	FollowRedirects bool              `json:"followRedirects,omitempty"` // to the same host, up to five
	SkipVerify      bool              `json:"skipVerify,omitempty"`      // accept any certificate
}

// TCPSpec connects.
type TCPSpec struct {
	Address         string `json:"address"` // host:port
	TLS             bool   `json:"tls,omitempty"`
	CertificateDays int    `json:"certificateDays,omitempty"`
	SkipVerify      bool   `json:"skipVerify,omitempty"`
}

// DNSSpec asks a name server.
type DNSSpec struct {
	Name   string   `json:"name"`
	Type   string   `json:"type,omitempty"`   // A (default), AAAA, CNAME, MX, NS or TXT
	Server string   `json:"server"`           // host or host:port of the name server
	Answer []string `json:"answer,omitempty"` // one of these must be among the answers; default: any answer
}

// GRPCSpec asks the health service of a gRPC server.
type GRPCSpec struct {
	Address    string `json:"address"`           // host:port
	Service    string `json:"service,omitempty"` // default: the server as a whole
	TLS        bool   `json:"tls,omitempty"`
	SkipVerify bool   `json:"skipVerify,omitempty"`
}

// Bounds on one probe.
const (
	minInterval = 5 * time.Second
	maxInterval = time.Hour
	maxTimeout  = 30 * time.Second
	maxText     = 1024
	maxHeaders  = 20
)

var dnsTypes = []string{"A", "AAAA", "CNAME", "MX", "NS", "TXT"}

// Kinds declares the room's kind.
func Kinds() []*resource.Kind {
	return []*resource.Kind{resource.Define(KindProbe, resource.Options[Spec]{
		Summary:  "a question that is asked of a service from outside, whose answers an objective can be about",
		Defaults: defaults, Validate: validate,
	})}
}

func defaults(_ resource.Metadata, s *Spec) {
	s.Interval = cmp.Or(s.Interval, 30*time.Second)
	s.Timeout = cmp.Or(s.Timeout, min(10*time.Second, s.Interval))
	if s.HTTP != nil {
		s.HTTP.Method = cmp.Or(s.HTTP.Method, "GET")
	}
	if d := s.DNS; d != nil {
		d.Type = cmp.Or(d.Type, "A")
		if _, _, err := net.SplitHostPort(d.Server); err != nil && d.Server != "" {
			d.Server = net.JoinHostPort(d.Server, "53")
		}
	}
}

// Check is the question of a spec.
func (s *Spec) Check() port.Check {
	c := port.Check{Timeout: s.Timeout}
	switch {
	case s.HTTP != nil:
		h := s.HTTP
		c.Kind, c.Target, c.Method, c.Headers, c.Status, c.Contains = port.HTTP, h.URL, h.Method, h.Headers, h.Status, h.Contains
		c.CertificateDays, c.Redirects, c.SkipVerify = h.CertificateDays, h.FollowRedirects, h.SkipVerify
	case s.TCP != nil:
		c.Kind, c.Target, c.TLS, c.CertificateDays, c.SkipVerify = port.TCP, s.TCP.Address, s.TCP.TLS, s.TCP.CertificateDays, s.TCP.SkipVerify
	case s.DNS != nil:
		c.Kind, c.Target, c.Type, c.Server, c.Answer = port.DNS, s.DNS.Name, s.DNS.Type, s.DNS.Server, s.DNS.Answer
	case s.GRPC != nil:
		c.Kind, c.Target, c.Service, c.TLS, c.SkipVerify = port.GRPC, s.GRPC.Address, s.GRPC.Service, s.GRPC.TLS, s.GRPC.SkipVerify
	}
	return c
}

func validate(c *resource.Checker, s *Spec) {
	if s.Service == "" {
		c.Errorf("service", "required", "a probe is of a service: name it")
	}
	c.Refers("service", catalog.KindService, s.Service)
	c.Refers("environment", catalog.KindEnvironment, s.Environment)
	if s.Interval < minInterval || s.Interval > maxInterval {
		c.Errorf("interval", "range", "interval is %s; it must be between %s and %s", s.Interval, minInterval, maxInterval)
	}
	if s.Timeout <= 0 || s.Timeout > min(s.Interval, maxTimeout) {
		c.Errorf("timeout", "range", "timeout is %s; it must be positive, at most the interval (%s) and at most %s", s.Timeout, s.Interval, maxTimeout)
	}
	if s.Slow < 0 || s.Slow > s.Timeout {
		c.Errorf("slow", "range", "slow is %s; it must be between 0 and the timeout (%s), after which there is no answer anyway", s.Slow, s.Timeout)
	}
	n := 0
	for _, given := range []bool{s.HTTP != nil, s.TCP != nil, s.DNS != nil, s.GRPC != nil} {
		if given {
			n++
		}
	}
	if n != 1 {
		c.Errorf("", "exclusive", "write one of http, tcp, dns and grpc; there are %d", n)
	}
	validateHTTP(c, s.HTTP)
	validateDNS(c, s.DNS)
	if s.TCP != nil {
		address(c, "tcp.address", s.TCP.Address)
		days(c, "tcp.certificateDays", s.TCP.CertificateDays, s.TCP.TLS)
	}
	if s.GRPC != nil {
		address(c, "grpc.address", s.GRPC.Address)
		if len(s.GRPC.Service) > maxText {
			c.Errorf("grpc.service", "range", "the name is longer than %d bytes", maxText)
		}
	}
}

func validateHTTP(c *resource.Checker, h *HTTPSpec) {
	if h == nil {
		return
	}
	u, err := url.Parse(h.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		c.Errorf("http.url", "format", "this is no address that can be asked; write one such as https://shop.example/health")
		return
	}
	if u.User != nil {
		c.Errorf("http.url", "secret", "a secret has no place in git: probe an address that needs none")
	}
	if h.Method != "GET" && h.Method != "HEAD" {
		c.Errorf("http.method", "format", "a probe only looks: the method is GET or HEAD, not %q", h.Method)
	}
	if len(h.Headers) > maxHeaders {
		c.Errorf("http.headers", "range", "there are %d headers; the limit is %d", len(h.Headers), maxHeaders)
	}
	for name, v := range h.Headers {
		if len(name)+len(v) > maxText || name == "" || strings.ContainsAny(name+v, "\r\n\x00") {
			c.Errorf("http.headers."+name, "format", "this is no header")
		}
		if strings.EqualFold(name, "Authorization") || strings.EqualFold(name, "Cookie") {
			c.Errorf("http.headers."+name, "secret", "a secret has no place in git: probe an address that needs none")
		}
	}
	for i, s := range h.Status {
		if s < 100 || s > 599 {
			c.Errorf(fmt.Sprintf("http.status[%d]", i), "range", "%d is no HTTP status", s)
		}
	}
	if len(h.Contains) > maxText {
		c.Errorf("http.contains", "range", "the text is longer than %d bytes", maxText)
	}
	if h.Contains != "" && h.Method == "HEAD" {
		c.Errorf("http.contains", "exclusive", "an answer to HEAD has no body to look in; use GET")
	}
	days(c, "http.certificateDays", h.CertificateDays, u.Scheme == "https")
}

func days(c *resource.Checker, at string, n int, encrypted bool) {
	if n < 0 || n > 3650 {
		c.Errorf(at, "range", "%d is no number of days between 0 and 3650", n)
	}
	if n > 0 && !encrypted {
		c.Errorf(at, "exclusive", "without TLS there is no certificate")
	}
}

func validateDNS(c *resource.Checker, d *DNSSpec) {
	if d == nil {
		return
	}
	if d.Name == "" || len(d.Name) > 253 || strings.ContainsAny(d.Name, " /@") {
		c.Errorf("dns.name", "format", "%.60q is no name to ask for", d.Name)
	}
	if !slices.Contains(dnsTypes, d.Type) {
		c.Errorf("dns.type", "format", "the type is one of %s, not %q", strings.Join(dnsTypes, ", "), d.Type)
	}
	address(c, "dns.server", d.Server)
	if len(d.Answer) > 100 {
		c.Errorf("dns.answer", "range", "there are %d answers; the limit is 100", len(d.Answer))
	}
}

func address(c *resource.Checker, at, v string) {
	host, text, err := net.SplitHostPort(v)
	if n, perr := strconv.Atoi(text); err != nil || perr != nil || n < 1 || n > 65535 || host == "" || strings.ContainsAny(host, "/@ ") {
		c.Errorf(at, "format", "%q is no address; write host:port", v)
	}
}
