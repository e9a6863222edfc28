package proxy

import (
	"net"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// hopByHop are the fields that concern one connection only (RFC 9110, section
// 7.6.1), and those that older programs treat so.
var hopByHop = [...]string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// forwarded are the fields in which proxies say whom they speak for.
var forwarded = [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Real-Ip"}

// requestHeader makes the header for a revision out of a client's.
func (p *Proxy) requestHeader(r *http.Request) http.Header {
	in := r.Header
	h := make(http.Header, len(in)+5)
	for k, v := range in {
		h[k] = v
	}
	upgrade := upgradeOf(in)
	trailers := false
	if te := in["Te"]; te != nil {
		trailers = httpguts.HeaderValuesContainsToken(te, "trailers")
	}
	removeHopByHop(h)
	if upgrade != "" {
		h["Connection"] = []string{"Upgrade"}
		h["Upgrade"] = []string{upgrade}
	}
	if trailers {
		h["Te"] = []string{"trailers"}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // otherwise the transport names itself
	}
	p.forwardedHeader(h, r)
	return h
}

func (p *Proxy) forwardedHeader(h http.Header, r *http.Request) {
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = r.RemoteAddr
	}
	before := h["X-Forwarded-For"]
	if !p.cfg.TrustForwarded {
		before = nil
		for _, k := range forwarded {
			delete(h, k)
		}
	}
	// One array for all: the values live and die together.
	values := [4]string{client, r.Host, "http", "1.1 flyball"}
	if len(before) > 0 {
		values[0] = strings.Join(before, ", ") + ", " + client
	}
	if r.TLS != nil {
		values[2] = "https"
	}
	if r.ProtoMajor == 2 {
		values[3] = "2.0 flyball"
	}
	if via := h["Via"]; len(via) > 0 {
		values[3] = strings.Join(via, ", ") + ", " + values[3]
	}
	h["X-Forwarded-For"] = values[0:1:1]
	if h["X-Forwarded-Host"] == nil {
		h["X-Forwarded-Host"] = values[1:2:2]
	}
	if h["X-Forwarded-Proto"] == nil {
		h["X-Forwarded-Proto"] = values[2:3:3]
	}
	h["Via"] = values[3:4:4]
}

// removeHopByHop removes what concerns one connection only, including what
// Connection names.
func removeHopByHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, k := range hopByHop {
		delete(h, k)
	}
}

// upgradeOf is the protocol a header asks to change to, or "".
func upgradeOf(h http.Header) string {
	if h["Upgrade"] == nil || !httpguts.HeaderValuesContainsToken(h["Connection"], "Upgrade") {
		return ""
	}
	return h.Get("Upgrade")
}

// copyHeader copies a response's header to the client, and says whether its
// body must be flushed piece by piece.
func copyHeader(w http.ResponseWriter, r *http.Request, resp *http.Response) (flush bool) {
	removeHopByHop(resp.Header)
	h := w.Header()
	for k, v := range resp.Header {
		h[k] = v
	}
	if n := len(resp.Trailer); n > 0 {
		names := make([]string, 0, n)
		for k := range resp.Trailer {
			names = append(names, k)
		}
		h["Trailer"] = []string{strings.Join(names, ", ")}
	}
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		// A revision may answer before it has read everything. A writer that
		// cannot do both at once reads the rest first, which is as correct.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	return resp.ContentLength < 0
}

// copyTrailer copies the trailer, announced or not, after the body.
func copyTrailer(h http.Header, resp *http.Response) {
	for k, v := range resp.Trailer {
		if httpguts.HeaderValuesContainsToken(h["Trailer"], k) { // announced
			h[k] = v
		} else {
			h[http.TrailerPrefix+k] = v
		}
	}
}
