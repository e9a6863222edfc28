package agent

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"

	"github.com/flyball-dev/flyball/internal/agent/contract"
	"github.com/flyball-dev/flyball/internal/agent/proxy"
	"github.com/flyball-dev/flyball/internal/agent/supervise"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/measure"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// handler answers package contract's requests.
func (a *agent) handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, contract.MaxBytes)
			answer, err := f(r)
			if err != nil {
				contract.WriteProblem(w, err)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			// The client may be gone; there is nobody else to tell.
			_ = json.NewEncoder(w).Encode(answer)
		})
	}
	handle("GET /desired", func(*http.Request) (any, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.store.doc, nil
	})
	handle("PUT /desired", func(r *http.Request) (any, error) {
		var doc contract.Document
		if err := decode(r, &doc); err != nil {
			return nil, err
		}
		return struct{}{}, a.put(doc)
	})
	handle("POST /refresh", func(r *http.Request) (any, error) {
		var refresh contract.Refresh
		if err := decode(r, &refresh); err != nil {
			return nil, err
		}
		return struct{}{}, a.refresh(refresh)
	})
	handle("GET /observed", func(r *http.Request) (any, error) {
		q := r.URL.Query()
		return a.observe(q.Get("service"), q.Get("environment")), nil
	})
	handle("GET /output", func(r *http.Request) (any, error) { return a.output(r.URL.Query()) })
	handle("GET /bins", func(r *http.Request) (any, error) { return a.bins(r.URL.Query()) })
	handle("POST /bins/ack", func(r *http.Request) (any, error) {
		var ack contract.Ack
		if err := decode(r, &ack); err != nil {
			return nil, err
		}
		a.proxy.Ack(ack.Seq)
		return struct{}{}, nil
	})
	build := a.cfg.build()
	handle("GET /healthz", func(*http.Request) (any, error) { return health{Build: build}, nil })
	mux.Handle("GET /metrics", a.metrics())
	return mux
}

// health is what an agent that serves says of itself.
type health struct {
	Build string `json:"build"`
}

func decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return problem.New(problem.Invalid, "agent.admin", "the request body is not understood: %w", err)
	}
	return nil
}

// integer reads an optional number of a query.
func integer(q url.Values, name string) (int64, error) {
	if q.Get(name) == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(q.Get(name), 10, 64)
	if err != nil {
		return 0, problem.New(problem.Invalid, "agent.admin", "%s=%q is no integer", name, q.Get(name))
	}
	return n, nil
}

func (a *agent) output(q url.Values) (workload.Chunk, error) {
	const op = "agent.output"
	var none workload.Chunk
	ref := workload.Ref{Service: q.Get("service"), Environment: q.Get("environment"), Revision: q.Get("revision")}
	id := q.Get("instance")
	if err := errors.Join(ref.Validate(), workload.ValidateName(id)); err != nil {
		return none, problem.New(problem.Invalid, op, "%w", err)
	}
	offset, err := integer(q, "offset")
	if err != nil {
		return none, err
	}
	limit, err := integer(q, "limit")
	if err != nil {
		return none, err
	}
	chunk, err := supervise.Read(a.instanceDir(ref, id), offset, int(min(limit, workload.MaxOutput)))
	if errors.Is(err, fs.ErrNotExist) {
		return none, problem.New(problem.NotFound, op, "%s has no instance %s", ref, id)
	}
	return chunk, err
}

// bins gives a page of what the proxy counted. Watermarks are read first: what
// they cover is published by then, so it is in this page if that is not cut.
func (a *agent) bins(q url.Values) (measure.Page, error) {
	page := measure.Page{Bins: []measure.Bin{}}
	after, err := integer(q, "after")
	if err != nil {
		return page, err
	}
	limit, err := integer(q, "max")
	if err != nil {
		return page, err
	}
	if limit < 1 || limit > measure.MaxBins {
		return page, problem.New(problem.Invalid, "agent.bins", "max=%d, want 1 to %d", limit, measure.MaxBins)
	}
	a.mu.Lock()
	routes := a.store.doc.Routes
	a.mu.Unlock()
	for _, r := range routes {
		until := a.proxy.Watermark(r.Service, r.Environment)
		if !until.IsZero() {
			page.Watermarks = append(page.Watermarks, measure.Watermark{Service: r.Service, Environment: r.Environment, Until: until})
		}
	}
	for _, b := range a.proxy.Bins(after, int(limit)) {
		page.Bins = append(page.Bins, bin(b))
	}
	if len(page.Bins) == int(limit) {
		page.More, page.Watermarks = true, nil
	}
	return page, nil
}

// bin is the proxy's bin in the port's words.
func bin(b proxy.Bin) measure.Bin {
	m := measure.Bin{
		Seq: b.Seq, Service: b.Service, Environment: b.Environment, Revision: b.Revision,
		Time: b.Time, Width: b.Width,
		Requests: b.Requests, Errors: b.Errors, Overdue: b.Overdue, Aborted: b.Aborted,
		Retries: b.Retries, Faults: b.Faults, Classes: b.Classes,
		Histogram: measure.Histogram{Schema: b.Histogram.Schema, Sum: b.Histogram.Sum},
	}
	for i, t := range b.Thresholds {
		m.Slow = append(m.Slow, measure.Slow{Threshold: t, Count: b.Slow[i]})
	}
	for _, k := range b.Histogram.Buckets {
		m.Histogram.Buckets = append(m.Histogram.Buckets, measure.Bucket{Index: k.Index, Count: k.Count})
	}
	return m
}
