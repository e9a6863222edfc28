package site

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/flyball-dev/flyball/internal/adapter/outbound"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/site"
)

// putTimeout is how long one file may take.
const putTimeout = 30 * time.Second

// Put publishes by HTTP PUT.
type Put struct {
	clock  clock.Clock
	secret func(name string) (string, bool)
	client *http.Client
}

// NewPut makes a publisher that finds its secrets by the names of environment
// variables with secret; nil asks this process's own environment.
func NewPut(c clock.Clock, secret func(name string) (string, bool)) *Put {
	if secret == nil {
		secret = os.LookupEnv
	}
	dialer := &net.Dialer{Timeout: putTimeout / 3, Control: outbound.Control(outbound.Declared)}
	return &Put{clock: c, secret: secret, client: &http.Client{Timeout: putTimeout,
		Transport:     &http.Transport{DialContext: dialer.DialContext, ForceAttemptHTTP2: true, IdleConnTimeout: putTimeout, MaxResponseHeaderBytes: 16 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Publish writes every file below t.Address.
func (p *Put) Publish(ctx context.Context, t site.Target, f site.Files) (site.Receipt, error) {
	r := site.Receipt{Files: len(f)}
	if err := site.Check(f); err != nil {
		return r, err
	}
	base, err := url.Parse(t.Address)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return r, problem.New(problem.Invalid, "site.publish", "the address is not http:// or https:// with a host")
	}
	for _, name := range f.Names() {
		if err := p.put(ctx, t, base.JoinPath(name), name, f[name]); err != nil {
			return r, err
		}
		r.Written++
	}
	return r, nil
}

func (p *Put) put(ctx context.Context, t site.Target, to *url.URL, name string, data []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, to.String(), bytes.NewReader(data))
	if err != nil {
		return problem.New(problem.Invalid, "site.publish", "the address is malformed")
	}
	req.Header.Set("Content-Type", ContentType(name))
	req.Header.Set("Cache-Control", "public, max-age=60")
	if err := p.sign(ctx, req, t, data); err != nil {
		return err
	}
	res, err := p.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address
		}
		kind := problem.Unavailable
		if errors.Is(err, outbound.ErrAddress) {
			kind = problem.Invalid
		}
		return problem.New(kind, "site.publish", "%s cannot be reached: %w", to.Host, err)
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(res.Body, 300))
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return problem.New(problem.Unavailable, "site.publish", "%s answered %d to PUT %s: %s", to.Host, res.StatusCode, name, strings.ToValidUTF8(string(said), "\uFFFD")).
			WithNext("check the address and what it takes to write there")
	}
	return nil
}

// sign adds the credentials that the target asks for.
func (p *Put) sign(ctx context.Context, req *http.Request, t site.Target, data []byte) error {
	if t.TokenEnv != "" {
		token, err := p.get(t.TokenEnv)
		req.Header.Set("Authorization", "Bearer "+token)
		return err
	}
	if t.S3 == nil {
		return nil
	}
	key, err := p.get(t.S3.AccessKeyEnv)
	if err != nil {
		return err
	}
	secret, err := p.get(t.S3.SecretKeyEnv)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", digest)
	// S3 signs paths as they are sent.
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	return signer.SignHTTP(ctx, aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, req, digest, "s3", t.S3.Region, p.clock.Now())
}

func (p *Put) get(name string) (string, error) {
	if v, ok := p.secret(name); ok && v != "" {
		return v, nil
	}
	return "", problem.New(problem.Unavailable, "site.publish", "the environment variable %s, which holds what requests are signed with, is not set", name).
		WithNext("set it where the server runs, and restart the server")
}

// ContentType is what a file of a site is served as.
func ContentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".json":
		return "application/json"
	case ".atom":
		return "application/atom+xml; charset=utf-8"
	case ".ics":
		return "text/calendar; charset=utf-8"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}
