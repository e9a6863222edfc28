package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	protocol "github.com/prometheus/prometheus/storage/remote"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// How long it is believed that a server can be read by chunks, or cannot.
const (
	readableFor   = 5 * time.Minute // its configuration may change
	unreadableFor = time.Hour
)

// errOtherWay says that samples are to be asked for by a query.
var errOtherWay = errors.New("not by remote read")

// readable reports whether samples can be read as chunks, by remote read, with
// the same result as by a query. Remote read adds the server's external labels
// to every series and a query does not: so a server that has some, or does not
// show its configuration, is asked by queries.
func (c *Client) readable(ctx context.Context) bool {
	c.mu.Lock()
	known, able := c.cfg.Clock.Now().Before(c.known), c.able
	c.mu.Unlock()
	if known {
		return able
	}
	e, err := c.call(ctx, http.MethodGet, "status/config", url.Values{})
	if problem.KindOf(err) == problem.Unavailable {
		return false // it is asked again
	}
	var d struct {
		YAML string `json:"yaml"`
	}
	able = err == nil && json.Unmarshal(e.Data, &d) == nil && d.YAML != "" && !strings.Contains(d.YAML, "external_labels:")
	c.learn(able)
	return able
}

// learn remembers whether remote read is there.
func (c *Client) learn(able bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.able, c.known = able, c.cfg.Clock.Now().Add(unreadableFor)
	if able {
		c.known = c.cfg.Clock.Now().Add(readableFor)
	}
}

// read gives the samples in [first, last] by remote read with streamed chunks
// (https://prometheus.io/docs/prometheus/latest/querying/remote_read_api/), or
// errOtherWay.
func (c *Client) read(ctx context.Context, matchers []*labels.Matcher, first, last int64) (metric.Result, error) {
	if err := c.resting(); err != nil {
		return metric.Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := c.question(ctx, matchers, first, last)
	if err != nil {
		return metric.Result{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return metric.Result{}, unreachable(err)
	}
	defer resp.Body.Close()
	switch status := resp.StatusCode; {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		return metric.Result{}, c.refused(resp, envelope{})
	case status/100 == 5 && status != http.StatusNotImplemented:
		return metric.Result{}, errOtherWay // the query's answer says what is wrong
	case status/100 != 2 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/x-streamed-protobuf"):
		c.learn(false)
		return metric.Result{}, errOtherWay
	}
	body := &io.LimitedReader{R: resp.Body, N: c.cfg.MaxBytes + 1}
	out, err := decodeChunks(body, first, last)
	switch {
	case ctx.Err() != nil:
		return metric.Result{}, unreachable(ctx.Err())
	case body.N <= 0:
		return metric.Result{}, c.tooLarge()
	}
	return out, err
}

// question is the request for samples in [first, last].
func (c *Client) question(ctx context.Context, matchers []*labels.Matcher, first, last int64) (*http.Request, error) {
	q, err := protocol.ToQuery(first, last, matchers, nil)
	if err != nil {
		return nil, errOtherWay
	}
	ask := prompb.ReadRequest{Queries: []*prompb.Query{q}, AcceptedResponseTypes: []prompb.ReadRequest_ResponseType{prompb.ReadRequest_STREAMED_XOR_CHUNKS}}
	body, err := ask.Marshal()
	if err != nil {
		return nil, errOtherWay
	}
	req, err := c.request(ctx, http.MethodPost, "read", nil)
	if err != nil {
		return nil, err
	}
	body = snappy.Encode(nil, body)
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("X-Prometheus-Remote-Read-Version", "0.1.0")
	req.Header.Del("Accept")
	return req, nil
}
