package web

import (
	"context"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/flyball-dev/flyball/internal/face/answer"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/signal"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Objectives tells how objectives stand now. slo.Watcher is one.
type Objectives interface {
	// Snapshots is every objective's state, of one place or, with empty names, of all.
	Snapshots(service, environment string) []slo.Snapshot
	// Snapshot is one objective's state, by key; problem.NotFound for an unknown one.
	Snapshot(key string) (slo.Snapshot, error)
	// List chooses, orders and pages through all of them.
	List(in slo.ListInput) (slo.Listing, error)
	// Past is what an objective counted in [from, now), in slots.
	Past(ctx context.Context, key string, from, now time.Time) (*slo.Series, error)
	// Preview replays an objective under another target or window.
	Preview(ctx context.Context, in slo.PreviewInput) (slo.Preview, error)
}

// Signals gives what services received, minute by minute. signal.Collector is one.
type Signals interface {
	Minutes(ctx context.Context, service, environment string, from, until time.Time) ([]signal.Minute, error)
}

// Log is the part of the event log that pages read.
type Log interface {
	Read(ctx context.Context, q event.Query) ([]event.Event, error)
	Head(ctx context.Context) (event.Head, error)
}

// Options are what the pages are made from.
type Options struct {
	API        *api.API              // who calls, and every operation
	Operations []operation.Operation // those marked Local are left out
	Reader     projection.Reader     // present states
	Log        Log
	Objectives Objectives // nil: pages say that nothing is measured
	Signals    Signals    // nil: no charts of traffic
	Clock      clock.Clock
	Logger     *slog.Logger // nil: slog.Default
	Version    string       // of the program
	PushKey    string       // that browsers sign up for push with, base64url; empty: they cannot
	Answers    *answer.Desk // links in messages; nil: there are none
}

// site is the pages at work.
type site struct {
	o          Options
	operations map[string]operation.Operation
	pages      map[string]*template.Template
	assets     assets
}

// New makes the handler of all pages. It expects to stand behind api.Guard,
// beside the API's own paths.
func New(o Options) http.Handler {
	if o.Clock == nil {
		o.Clock = clock.Wall()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &site{o: o, operations: map[string]operation.Operation{}, assets: newAssets()}
	for _, op := range o.Operations {
		if !op.Local {
			s.operations[op.Name()] = op
		}
	}
	s.pages = parse(s.assets)
	mux := http.NewServeMux()
	s.routes(mux)
	return secured(mux)
}

func (s *site) routes(mux *http.ServeMux) {
	for path, build := range map[string]builder{
		"GET /{$}":                       s.now,
		"GET /services":                  s.serviceList,
		"GET /services/{name}":           s.service,
		"GET /changes":                   s.changeList,
		"GET /changes/{name}":            s.change,
		"GET /pipelines/{name}":          s.run,
		"GET /rollouts":                  s.rolloutList,
		"GET /rollouts/{name}":           s.rollout,
		"GET /objectives":                s.objectiveList,
		"GET /objectives/{name}":         s.objective,
		"GET /objectives/{name}/preview": s.preview,
		"GET /incidents":                 s.incidentList,
		"GET /reports":                   s.reports,
		"GET /runbooks":                  s.runbookList,
		"GET /runbooks/runs/{name}":      s.runbookRun,
		"GET /incidents/{name}":          s.incident,
		"GET /statuspages":               s.statusList,
		"GET /statuspages/{name}":        s.statusPage,
		"GET /postmortems":               s.postmortemList,
		"GET /postmortems/{name}":        s.postmortem,
		"GET /alerts":                    s.alertList,
		"GET /alerts/{name...}":          s.alert,
		"GET /oncall":                    s.oncall,
		"GET /escalations":               s.escalationList,
		"GET /escalations/{name}":        s.escalation,
		"GET /insights":                  s.insights,
		"GET /policies":                  s.policies,
		"GET /audit":                     s.audit,
		"GET /audit/{position}":          s.fact,
		"GET /why/{subject...}":          s.why,
		"GET /search":                    s.search,
		"GET /operations":                s.operationList,
		"GET /operations/{name}":         s.operation,
		"GET /keys":                      s.keys,
		"/":                              s.nowhere,
	} {
		mux.Handle(path, s.page(build))
	}
	mux.HandleFunc("GET /reports/{file}", s.reportFile)
	mux.HandleFunc("POST /operations/{name}", s.perform)
	mux.Handle("GET /push", s.page(s.push))
	mux.HandleFunc("GET /push-worker.js", s.pushWorker)
	mux.HandleFunc("GET "+channel.ActPath+"{token}", s.actPage)
	mux.HandleFunc("POST "+channel.ActPath+"{token}", s.act)
	mux.HandleFunc("GET /sign-in", s.signInPage)
	mux.HandleFunc("POST /sign-in", s.signIn)
	mux.HandleFunc("POST /sign-out", s.signOut)
	mux.HandleFunc("POST /theme", s.theme)
	mux.Handle("GET /static/", s.assets)
}

// policyHeader lets a page use this server's own files and nothing else.
const policyHeader = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policyHeader)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		next.ServeHTTP(w, r)
	})
}
