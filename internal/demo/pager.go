package demo

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// page is a message that reached the pager with a good signature.
type page struct {
	ID   string `json:"-"` // of the message; repeated attempts share it
	Type string `json:"type"`
	Data struct {
		Incident string `json:"incident"`
		Severity int    `json:"severity"`
		Title    string `json:"title"`
	} `json:"data"`
}

// pager receives the team's pages. It checks their signatures by the
// specification (https://www.standardwebhooks.com), with code of its own.
type pager struct {
	clock  clock.Clock
	key    []byte
	server *http.Server
	addr   string

	mu      sync.Mutex
	pages   map[string]page // by message
	refused int
}

func newPager(c clock.Clock) (*pager, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &pager{clock: c, key: make([]byte, 32), addr: l.Addr().String(), pages: map[string]page{}}
	if _, err := rand.Read(p.key); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /page", p.receive)
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
	go p.server.Serve(l) //nolint:errcheck // ends with Close
	return p, nil
}

// secret is the signing secret as the server is given it.
func (p *pager) secret() string { return "whsec_" + base64.StdEncoding.EncodeToString(p.key) }

func (p *pager) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var m page
	if err != nil || !p.signed(r.Header, body) || json.Unmarshal(body, &m) != nil {
		p.mu.Lock()
		p.refused++
		p.mu.Unlock()
		http.Error(w, "not signed by Flyball", http.StatusUnauthorized)
		return
	}
	m.ID = r.Header.Get("webhook-id")
	p.mu.Lock()
	p.pages[m.ID] = m
	p.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (p *pager) signed(h http.Header, body []byte) bool {
	id, at := h.Get("webhook-id"), h.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || p.clock.Now().Sub(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, p.key)
	io.WriteString(mac, id+"."+at+".")
	mac.Write(body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for got := range strings.FieldsSeq(h.Get("webhook-signature")) {
		if hmac.Equal([]byte(got), []byte(want)) {
			return true
		}
	}
	return false
}

// paged waits until an incident has been paged, with at most this severity
// number: 1 is the worst.
func (p *pager) paged(ctx context.Context, incident string, severity int) (page, error) {
	var found page
	err := until(ctx, p.clock, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, m := range p.pages {
			if m.Data.Incident == incident && m.Data.Severity <= severity {
				found = m
				return true
			}
		}
		return false
	})
	return found, err
}

func (p *pager) close() { _ = p.server.Close() }

// until looks again and again whether something holds, until ctx is done.
func until(ctx context.Context, c clock.Clock, holds func() bool) error {
	for !holds() {
		if err := clock.Sleep(ctx, c, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
