package proxy

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// forward sends a request to an endpoint of the chosen revision, and its
// answer back.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, rt *route, b *backend, e *endpoint, steady int64, random uint64) {
	f := &flight{arm: b.arm, arrived: steady, deadline: steady + int64(rt.timeout), writer: w}
	f.cell, f.shard = b.arm.arrive(steady, random)
	ctx, cancel := context.WithCancelCause(r.Context())
	f.context, f.cancel = ctx, cancel
	out, body := p.outbound(ctx, r)
	f.body = body != nil
	p.watch.add(f, random)
	if p.closing.Load() {
		cancel(errClosing) // Close may have looked before this was added
	}
	defer func() {
		f.remove()
		cancel(nil)
	}()
	resp, e, err := p.try(f, b, e, out, body)
	if err != nil {
		p.failed(w, r, f, body, err)
		return
	}
	defer e.release()
	defer resp.Body.Close()
	if resp.StatusCode >= 500 {
		p.strike(b, e)
	} else {
		e.succeeded()
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		p.upgrade(w, r, f, resp)
		return
	}
	p.respond(w, r, f, resp)
}

// try makes the first attempt and those that are safe to make after it. The
// endpoint returned with a response is still taken.
func (p *Proxy) try(f *flight, b *backend, e *endpoint, out *http.Request, body *requestBody) (*http.Response, *endpoint, error) {
	for {
		out.URL.Host = e.key.address
		resp, err := e.transport(out, b.protocol).RoundTrip(out)
		if err == nil {
			return resp, e, nil
		}
		theirs := out.Context().Err() == nil && body.failure() == nil || f.late.Load()
		if theirs {
			p.strike(b, e)
		}
		e.release()
		if !theirs || f.retries >= p.cfg.Retries || !repeatable(out, body, err) || f.late.Load() {
			return nil, nil, err
		}
		next := b.acquire(p.ticker.steady(), rand.Uint64(), e)
		if next == nil {
			return nil, nil, err
		}
		if next == e {
			next.release()
			return nil, nil, err
		}
		e = next
		f.retries++
	}
}

// repeatable says whether another attempt cannot do harm: nothing was sent, or
// the request changes nothing, has no body, and its connection broke before an
// answer (RFC 9110, section 9.2.2).
func repeatable(out *http.Request, body *requestBody, err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return body == nil || !body.touched.Load()
	}
	if body != nil {
		return false
	}
	switch out.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
	default:
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// strike counts a failure against an endpoint.
func (p *Proxy) strike(b *backend, e *endpoint) {
	if p.ejector.failed(b, e, p.ticker.steady()) {
		p.log.Warn("instance ejected after failures in a row", "service", e.key.service, "environment", e.key.environment,
			"revision", e.key.revision, "endpoint", e.key.address)
	}
}

// failed answers a request that got no response.
func (p *Proxy) failed(w http.ResponseWriter, r *http.Request, f *flight, body *requestBody, err error) {
	now := p.ticker.steady()
	switch {
	case p.closing.Load():
		f.count(now, outcome{aborted: true})
		panic(http.ErrAbortHandler)
	case f.late.Load():
		f.count(now, outcome{failed: true})
		answer(w, http.StatusGatewayTimeout, errTimeout.Error())
	case errors.Is(body.failure(), errBodyTooLarge):
		f.count(now, outcome{status: http.StatusRequestEntityTooLarge, aborted: true})
		w.Header().Set("Connection", "close")
		answer(w, http.StatusRequestEntityTooLarge, errBodyTooLarge.Error())
	case r.Context().Err() != nil || body.failure() != nil:
		f.count(now, outcome{aborted: true})
		panic(http.ErrAbortHandler)
	default:
		f.count(now, outcome{failed: true})
		p.log.Debug("revision failed", "service", f.arm.meter.service, "revision", f.arm.revision, "err", err)
		answer(w, http.StatusBadGateway, "the revision did not answer")
	}
}

// respond copies a response to the client.
func (p *Proxy) respond(w http.ResponseWriter, r *http.Request, f *flight, resp *http.Response) {
	stream := streams(resp.Header)
	if stream {
		// Its latency is that of its header; how long it lasts says nothing.
		f.count(p.ticker.steady(), outcome{status: resp.StatusCode, failed: resp.StatusCode >= 500 || grpcFailed(resp.Header)})
		f.untimed()
	}
	flush := copyHeader(w, r, resp) || stream
	w.WriteHeader(resp.StatusCode)
	readErr, writeErr := copyBody(w, resp.Body, flush)
	switch {
	case readErr == nil && writeErr == nil:
		copyTrailer(w.Header(), resp)
		f.count(p.ticker.steady(), outcome{status: resp.StatusCode, failed: resp.StatusCode >= 500})
		return
	case p.closing.Load(), !f.late.Load() && (writeErr != nil || r.Context().Err() != nil):
		f.count(p.ticker.steady(), outcome{aborted: true})
	default:
		f.count(p.ticker.steady(), outcome{failed: true})
	}
	// Only a cut connection or a reset stream tells the client that the rest
	// is missing.
	panic(http.ErrAbortHandler)
}

// streams says whether a response goes on for as long as it likes.
func streams(h http.Header) bool {
	ct := h["Content-Type"]
	return len(ct) > 0 && (hasPrefixFold(ct[0], "text/event-stream") || hasPrefixFold(ct[0], "application/grpc"))
}

// grpcFailed says whether a gRPC call failed at the server without a message:
// its status is then in the header. The codes are those the OpenTelemetry
// conventions count as server errors.
func grpcFailed(h http.Header) bool {
	switch h.Get("Grpc-Status") {
	case "2", "4", "12", "13", "14", "15": // unknown, deadline exceeded, unimplemented, internal, unavailable, data loss
		return true
	}
	return false
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyBody copies until the end or an error, flushing after each piece if told
// to. It tells the side of an error.
func copyBody(w http.ResponseWriter, body io.Reader, flush bool) (readErr, writeErr error) {
	rc := http.NewResponseController(w)
	if flush {
		if err := rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return nil, err
		}
	}
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	for {
		n, err := body.Read(buf[:])
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return nil, werr
			}
			if flush && err == nil {
				if werr := rc.Flush(); werr != nil && !errors.Is(werr, http.ErrNotSupported) {
					return nil, werr
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return err, nil
		}
	}
}

// outbound makes the request for a revision.
func (p *Proxy) outbound(ctx context.Context, r *http.Request) (*http.Request, *requestBody) {
	out := (&http.Request{
		Method: r.Method, Host: r.Host, Header: p.requestHeader(r),
		URL: &url.URL{Scheme: "http", Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery},
	}).WithContext(ctx)
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return out, nil
	}
	body := &requestBody{from: r.Body, left: p.cfg.MaxBodyBytes}
	out.Body, out.ContentLength, out.Trailer = body, r.ContentLength, r.Trailer
	return out, body
}

var errBodyTooLarge = errors.New("the request body is too large")

// requestBody is what the client sends. It knows whether any of it was taken
// and what went wrong on the client's side, and is not closed between attempts.
type requestBody struct {
	from    io.Reader
	left    int64 // negative from the start: unbounded
	touched atomic.Bool
	failed  atomic.Pointer[error]
}

func (b *requestBody) Read(to []byte) (int, error) {
	b.touched.Store(true)
	n, err := b.from.Read(to)
	if b.left >= 0 {
		if int64(n) > b.left {
			n, err = int(b.left), errBodyTooLarge
		}
		b.left -= int64(n)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed.Store(&err)
	}
	return n, err
}

// Close leaves the client's body to its server, which closes it.
func (b *requestBody) Close() error { return nil }

// failure is what went wrong in reading from the client, if anything.
func (b *requestBody) failure() error {
	if b == nil {
		return nil
	}
	if err := b.failed.Load(); err != nil {
		return *err
	}
	return nil
}
