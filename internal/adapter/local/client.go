package local

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/agent/contract"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Client talks to one agent. It is safe for concurrent use.
type Client struct {
	epoch func() int64
	http  *http.Client
	// One change at a time: of several writers in one process none would win
	// anything by racing.
	change sync.Mutex
}

// NewClient talks to the agent behind a unix socket. epoch is that of the lease
// under which this process writes, asked for at each write.
func NewClient(socket string, epoch func() int64) *Client {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	return &Client{epoch: epoch, http: &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", socket)
			},
			MaxIdleConnsPerHost: 4,
			IdleConnTimeout:     30 * time.Second,
		},
	}}
}

// Close lets idle connections go.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Claim writes this process's epoch into the document, so that writers with an
// older one are refused from now on.
func (c *Client) Claim(ctx context.Context) error {
	return c.update(ctx, "agent.claim", func(*contract.Document) error { return nil })
}

// Observed is how everything on the agent is. Empty names match all.
func (c *Client) Observed(ctx context.Context, service, environment string) (contract.Observed, error) {
	var o contract.Observed
	query := "?service=" + escape(service) + "&environment=" + escape(environment)
	return o, c.do(ctx, "agent.observe", http.MethodGet, "/observed"+query, nil, &o)
}

// maxTries is how often a change is repeated on a document that another process
// of the same epoch changed meanwhile.
const maxTries = 10

// update changes the desired document. The change function sees the document
// with its epoch and generation already set, and is called again when another
// writer was faster. Nothing is written when it changes nothing.
func (c *Client) update(ctx context.Context, op string, change func(*contract.Document) error) error {
	c.change.Lock()
	defer c.change.Unlock()
	var err error
	for range maxTries {
		var doc contract.Document
		if err := c.do(ctx, op, http.MethodGet, "/desired", nil, &doc); err != nil {
			return err
		}
		epoch := c.epoch()
		if doc.Epoch > epoch {
			return problem.New(problem.Conflict, op, "epoch %d is over; epoch %d is in effect", epoch, doc.Epoch).
				WithNext("another server leads; this one must get a new lease before it writes again")
		}
		before, merr := json.Marshal(doc)
		if merr != nil {
			return merr
		}
		was := doc
		doc.Epoch, doc.Generation = epoch, doc.Generation+1
		if err := change(&doc); err != nil {
			return err
		}
		same := doc
		same.Generation = was.Generation
		if after, err := json.Marshal(same); err != nil || bytes.Equal(before, after) {
			return err
		}
		err = c.do(ctx, op, http.MethodPut, "/desired", doc, nil)
		if problem.KindOf(err) != problem.Conflict {
			return err
		}
	}
	return err
}

// do sends one request; in and out may be nil.
func (c *Client) do(ctx context.Context, op, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return problem.New(problem.Unavailable, op, "the agent does not answer: %w", err).
			WithNext("it is started by the server and restarted when it crashes; see its log in runs/ of its directory")
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return contract.ReadProblem(op, resp)
	}
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	} else {
		err = json.NewDecoder(resp.Body).Decode(out)
	}
	if err != nil {
		return problem.New(problem.Unavailable, op, "the agent's answer broke off: %w", err)
	}
	return nil
}
