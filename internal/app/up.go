package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/git"
	"github.com/flyball-dev/flyball/internal/adapter/local"
	"github.com/flyball-dev/flyball/internal/adapter/ocilayout"
	"github.com/flyball-dev/flyball/internal/adapter/probe"
	"github.com/flyball-dev/flyball/internal/adapter/sqlite"
	"github.com/flyball-dev/flyball/internal/adapter/webpush"
	"github.com/flyball-dev/flyball/internal/agent"
	"github.com/flyball-dev/flyball/internal/face/answer"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/calendar"
	"github.com/flyball-dev/flyball/internal/face/ingest"
	"github.com/flyball-dev/flyball/internal/face/statuspage"
	"github.com/flyball-dev/flyball/internal/face/web"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/repository"
)

// UpOptions says where flyball up works and listens.
type UpOptions struct {
	Repository string      // directory of the repository
	Resources  string      // directory of resources in it
	State      string      // directory of what is kept; default .flyball in the repository
	Listen     string      // address of API and pages
	Traffic    string      // address of the proxy
	URL        string      // at which people reach API and pages, for links in messages; empty: Listen
	Hosts      []string    // names API and pages may be addressed by, besides addresses and localhost
	Prometheus string      // address of the metrics server that is asked when an objective names none; empty: the server's own store
	Metrics    MetricsKept // bounds of the metrics store
	Version    string
	// Heartbeat is an address that is told every HeartbeatEvery that the server is
	// well; empty for none.
	Heartbeat      string
	HeartbeatEvery time.Duration
	Clock          clock.Clock
	Logger         *slog.Logger
	// Events gets a line for each fact as it is recorded; nil for none.
	Events io.Writer
	// Ready is called once, when everything is up.
	Ready func(Up)
}

// Up is what a person needs to know of a running server.
type Up struct {
	URL      string // of API and pages
	SignIn   string // address that signs a browser on this machine in
	Traffic  string // of the proxy
	State    string
	Services int
}

// Server is what server.json in the state directory says, for the command
// line to find the server by.
type Server struct {
	URL       string `json:"url"`
	TokenFile string `json:"token_file"`
	Pid       int    `json:"pid"`
}

// RunUp runs server and agent until ctx is done. The agent stays up.
func RunUp(ctx context.Context, o UpOptions) error {
	// Much of what a start reads is garbage soon: collecting it while it grows
	// would take a tenth of the time.
	if os.Getenv("GOGC") == "" {
		before, ready := debug.SetGCPercent(400), o.Ready
		o.Ready = func(up Up) {
			debug.SetGCPercent(before)
			if ready != nil {
				ready(up)
			}
		}
	}
	state, err := filepath.Abs(or(o.State, filepath.Join(o.Repository, ".flyball")))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return problem.New(problem.Unavailable, "up", "the state directory cannot be made: %w", err)
	}
	if o.URL != "" {
		host, err := publicURL(o.URL)
		if err != nil {
			return err
		}
		o.Hosts = append(o.Hosts, host)
	}
	// The repository must not offer the state to be committed.
	if err := os.WriteFile(filepath.Join(state, ".gitignore"), []byte("*\n"), 0o600); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return problem.New(problem.Unavailable, "up", "cannot listen on %s: %w", o.Listen, err).WithNext("end what uses it, or choose another address with --listen")
	}
	defer listener.Close()
	st, err := sqlite.Open(ctx, filepath.Join(state, "flyball.db"), sqlite.Options{Clock: o.Clock})
	if err != nil {
		return err
	}
	defer st.Close()
	agentConfig := agent.Config{Dir: filepath.Join(state, "agent"), ProxyListen: o.Traffic, Clock: o.Clock, Log: o.Logger}
	if err := agent.Spawn(ctx, agentConfig); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	images, err := ocilayout.Open(filepath.Join(state, "artifacts"), ocilayout.Limits{})
	if err != nil {
		return err
	}
	var epoch atomic.Int64
	client := local.NewClient(filepath.Join(agentConfig.Dir, "agent.sock"), epoch.Load)
	defer client.Close()
	router := local.NewRouter(client)
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	key, err := actKey(state)
	if err != nil {
		return err
	}
	push, err := pushKey(state)
	if err != nil {
		return err
	}
	publicPush, err := webpush.PublicKey(push)
	if err != nil {
		return err
	}
	metrics := openMetrics(o, state, filepath.Join(agentConfig.Dir, "agent.sock"))
	defer metrics.Close()
	a, err := New(Config{
		State: state, Resources: o.Resources, Web: or(o.URL, "http://"+listener.Addr().String()), ActKey: key, PushKey: publicPush, Hosts: o.Hosts, Holder: hostname + ":" + state, Metrics: o.Metrics, Prometheus: o.Prometheus, Heartbeat: o.Heartbeat, HeartbeatEvery: o.HeartbeatEvery, Clock: o.Clock, Logger: o.Logger,
		Claim: func(ctx context.Context, e int64) error { epoch.Store(e); return client.Claim(ctx) },
	}, Ports{
		Store: st, Runtime: local.NewWorkloads(client), Router: router, Measures: local.NewSource(client),
		Steps: local.NewSteps(filepath.Join(state, "steps")), Images: images, Notifier: notifiers(o.Clock, push),
		Metrics: metrics, Engine: remoteEngine(o.Clock, o.Version), Prober: probe.New(o.Clock), Open: opener(o.Repository), Sites: sites(o.Clock),
	})
	if err != nil {
		return err
	}
	return a.serve(ctx, o, state, listener)
}

// opener opens repositories by a path relative to the one Flyball runs in.
func opener(root string) func(ctx context.Context, path string) (repository.Repository, error) {
	return func(ctx context.Context, path string) (repository.Repository, error) {
		if !filepath.IsAbs(path) {
			path = filepath.Join(root, path)
		}
		return git.Open(ctx, path)
	}
}

// serve runs the app and its faces.
func (a *App) serve(ctx context.Context, o UpOptions, state string, listener net.Listener) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	face, err := a.Face(o.Version)
	if err != nil {
		return err
	}
	server := face.Server(o.Listen, face.Handler)
	started := make(chan struct{})
	go func() {
		select {
		case <-started:
		case <-ctx.Done():
			return
		}
		if head, err := a.log.Head(ctx); o.Events != nil && err == nil {
			go narrate(ctx, a.log, head.Position, o.Events)
		}
		if err := a.settle(ctx, o, state, listener, face); err != nil {
			stop(err)
			return
		}
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			stop(err)
		}
	}()
	err = a.Run(ctx, func() { close(started) })
	face.Close()
	quiet, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_ = server.Shutdown(quiet)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Face is the HTTP face of an app.
type Face struct {
	*api.API
	Handler http.Handler
}

// Face makes API and pages.
func (a *App) Face(version string) (*Face, error) {
	f, err := api.New(api.Options{
		Operations: a.Operations, Hooks: hooks(a.Operations), Hosts: a.cfg.Hosts, Log: a.log, Authenticator: a.parts.access, Version: version, Clock: a.cfg.Clock, Logger: a.cfg.Logger,
		Past: a.Past, Sync: a.Sync,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/api/v1/", f)
	mux.Handle("/events", f)
	a.mountMetrics(mux, f, version)
	answers := &answer.Desk{API: f, Operations: a.Operations, Reader: a.env.Reader, Key: a.cfg.ActKey, Clock: a.cfg.Clock}
	mux.Handle("/", web.New(web.Options{
		API: f, Operations: a.Operations, Reader: a.env.Reader, Log: a.log, Objectives: a.watcher, Signals: a.collector,
		Clock: a.cfg.Clock, Logger: a.cfg.Logger, Version: version, Answers: answers, PushKey: a.cfg.PushKey,
	}))
	foreign := ingest.New(ingest.Options{API: f, Intake: a.intake, Clock: a.cfg.Clock, Version: version,
		Answers: answers, Reader: a.env.Reader, Secret: secret, Notifier: a.ports.Notifier, Web: a.cfg.Web, Incidents: foreignTool{a}})
	for _, path := range ingest.Paths {
		mux.Handle(path, foreign)
	}
	mux.HandleFunc("GET "+readyPath, a.serveReady)
	mux.Handle(statuspage.Path, a.pageServer(f))
	mux.Handle(calendar.Path, calendar.New(calendar.Options{API: f, Schedules: a.parts.schedules, Clock: a.cfg.Clock}))
	return &Face{API: f, Handler: f.Guard(mux)}, nil
}

// settle applies what the repository declares, writes down how to reach the
// server, and tells that it is up.
func (a *App) settle(ctx context.Context, o UpOptions, state string, listener net.Listener, face *Face) error {
	if err := a.applyOwn(ctx, o); err != nil {
		return err
	}
	url := "http://" + listener.Addr().String()
	token, err := a.localToken(ctx, filepath.Join(state, "token"))
	if err != nil {
		return err
	}
	data, err := json.Marshal(Server{URL: url, TokenFile: "token", Pid: os.Getpid()})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(state, "server.json"), data, 0o600); err != nil {
		return err
	}
	if o.Ready != nil {
		o.Ready(Up{URL: url, SignIn: url + "/sign-in#" + token, Traffic: "http://" + o.Traffic, State: state})
	}
	return nil
}

// applyOwn applies the resources of the repository Flyball was started in: of
// its newest commit, or of the work tree while they are not committed.
func (a *App) applyOwn(ctx context.Context, o UpOptions) error {
	repo, err := a.ports.Open(ctx, o.Repository)
	if problem.KindOf(err) == problem.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	ref, commit := repository.WorkTree, ""
	if head, err := repo.Resolve(ctx, "HEAD"); err == nil {
		files, err := Resources(ctx, repo, head.SHA, a.cfg.Resources)
		if err == nil && len(files) > 0 {
			ref, commit = head.SHA, head.SHA
		}
	}
	files, err := Resources(ctx, repo, ref, a.cfg.Resources)
	if problem.KindOf(err) == problem.NotFound || err == nil && len(files) == 0 {
		a.cfg.Logger.Info("the repository declares nothing yet; flyball init writes a service file", "directory", a.cfg.Resources)
		return nil
	}
	if err != nil {
		return err
	}
	mark := appliedFrom(a.cfg.State, a.cfg.Resources, commit, files)
	if same, err := mark.still(ctx, a); same || err != nil {
		return err
	}
	if _, err := a.parts.applier.Apply(ctx, "system:up", a.cfg.Resources, commit, files); err != nil {
		return err
	}
	return mark.note(ctx, a)
}

// localToken is the administrator's token of this machine: whoever can read
// the file may do everything. It is made when there is none that works.
func (a *App) localToken(ctx context.Context, file string) (string, error) {
	if b, err := os.ReadFile(file); err == nil {
		if _, err := a.parts.access.Authenticate(ctx, string(b)); err == nil && len(b) > 0 {
			return string(b), nil
		}
	}
	_, secret, err := a.parts.access.Create(ctx, "system:up", "user:local", []operation.Grant{{Role: operation.Admin}}, 0)
	if err != nil {
		return "", err
	}
	return secret, os.WriteFile(file, []byte(secret), 0o600)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
