package embedded

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	write "github.com/prometheus/prometheus/storage/remote"
)

// refusal is why a request that writes is not taken, with the HTTP status that
// says so: 400 and 413 mean that sending it again is of no use, 503 that it is.
type refusal struct {
	status  int
	message string
}

func (r *refusal) Error() string { return r.message }

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// enter takes a place among the requests that write, and opens the store.
func (s *Store) enter() (o *opened, leave func(), err error) {
	select {
	case s.writes <- struct{}{}:
	default:
		return nil, nil, refuse(http.StatusServiceUnavailable, "%d requests are being written, which is the limit; send this one again", cap(s.writes))
	}
	leave = func() { <-s.writes }
	if o, err = s.use(); err != nil {
		leave()
		return nil, nil, refuse(http.StatusServiceUnavailable, "%s", err)
	}
	if n := o.db.Head().NumSeries(); n >= s.o.Limits.Series {
		leave()
		return nil, nil, refuse(http.StatusServiceUnavailable, "the store holds %d series, its limit is %d: write fewer, series without new samples leave within three hours", n, s.o.Limits.Series)
	}
	return o, leave, nil
}

// read reads a body up to the limit.
func (s *Store) read(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the body cannot be read: %s", err)
	case int64(len(b)) > limit:
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes, which is the limit; send less at once", limit)
	}
	return b, nil
}

// RemoteWrite takes Prometheus remote write, 1.0 and 2.0
// (https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/).
func (s *Store) RemoteWrite() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o, leave, err := s.enter()
		if err != nil {
			answerRefusal(w, err)
			return
		}
		defer leave()
		body, err := s.snappyBody(r)
		if err != nil {
			answerRefusal(w, err)
			return
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.Header.Set("Content-Encoding", "snappy")
		o.remoteWrite.ServeHTTP(w, r)
	})
}

// snappyBody is a remote write body, still compressed, after its claim of what
// it decompresses to was checked: that much would be allocated at once.
func (s *Store) snappyBody(r *http.Request) ([]byte, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "snappy" {
		return nil, refuse(http.StatusUnsupportedMediaType, "the content encoding %.40q is not snappy", e)
	}
	body, err := s.read(r.Body, s.o.Limits.Body)
	if err != nil {
		return nil, err
	}
	n, err := snappy.DecodedLen(body)
	switch {
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the body is not snappy: %s", err)
	case int64(n) > s.o.Limits.Decompressed:
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body decompresses to %d bytes; the limit is %d", n, s.o.Limits.Decompressed)
	}
	return body, nil
}

// newRemoteWrite is Prometheus' receiver. It tells the sender what is wrong, so
// it need not tell the log.
func newRemoteWrite(o *opened) http.Handler {
	accepted := remote.MessageTypes{remote.WriteV1MessageType, remote.WriteV2MessageType}
	return write.NewWriteHandler(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), o.db, accepted, false, false, false)
}

// gunzipped is a body of OTLP, decompressed.
func (s *Store) gunzipped(r *http.Request) ([]byte, error) {
	switch e := r.Header.Get("Content-Encoding"); e {
	case "", "identity":
		return s.read(r.Body, s.o.Limits.Body)
	case "gzip":
		// The limit of the body as sent holds while it is decompressed.
		sent := &io.LimitedReader{R: r.Body, N: s.o.Limits.Body + 1}
		z, err := gzip.NewReader(sent)
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "the body is not gzip: %s", err)
		}
		b, err := s.read(z, s.o.Limits.Decompressed)
		if sent.N <= 0 {
			return nil, refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes, which is the limit; send less at once", s.o.Limits.Body)
		}
		return b, err
	default:
		return nil, refuse(http.StatusUnsupportedMediaType, "the content encoding %.40q is neither gzip nor identity", e)
	}
}

// answerRefusal answers in plain words, as receivers of remote write do.
func answerRefusal(w http.ResponseWriter, err error) {
	var r *refusal
	if !errors.As(err, &r) {
		r = refuse(http.StatusInternalServerError, "%s", err)
	}
	if r.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	http.Error(w, r.message, r.status)
}
