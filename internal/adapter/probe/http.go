package probe

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/flyball-dev/flyball/internal/port/probe"
)

const maxRedirects = 5

// http asks once, on a connection of its own: what a new user would see.
func (p *Prober) http(ctx context.Context, c probe.Check) (found, error) {
	method := c.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, c.Target, nil)
	if err != nil {
		return found{}, err
	}
	req.Header.Set("User-Agent", "flyball-probe")
	for name, v := range c.Headers {
		if strings.EqualFold(name, "Host") {
			req.Host = v
		}
		req.Header.Set(name, v)
	}
	transport := &http.Transport{DialContext: p.dialer.DialContext, TLSClientConfig: tlsConfig(c), DisableKeepAlives: true, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10}
	client := &http.Client{Transport: transport, CheckRedirect: redirects(c)}
	resp, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return found{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, probe.MaxBody))
	if err != nil {
		return found{answer: resp.Status}, err
	}
	f := found{answer: resp.Status, certificate: resp.TLS}
	switch {
	case len(c.Status) == 0 && (resp.StatusCode < 200 || resp.StatusCode > 299):
		f.bad = "the answer is " + resp.Status
	case len(c.Status) > 0 && !slices.Contains(c.Status, resp.StatusCode):
		f.bad = "the answer is " + resp.Status
	case c.Contains != "" && !bytes.Contains(body, []byte(c.Contains)):
		f.bad = "the body does not contain " + clip(c.Contains)
	}
	return f, nil
}

// redirects follows them to the same host only: other hosts are not declared.
func redirects(c probe.Check) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		if !c.Redirects || len(via) > maxRedirects || !strings.EqualFold(req.URL.Hostname(), via[0].URL.Hostname()) {
			return http.ErrUseLastResponse
		}
		return nil
	}
}
