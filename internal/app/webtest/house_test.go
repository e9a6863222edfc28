package webtest_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/app"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/catalog/access"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/ingest"
	"github.com/flyball-dev/flyball/internal/face/statuspage"
	"github.com/flyball-dev/flyball/internal/face/web"
	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/feedback/budget"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/feedback/runbook"
	"github.com/flyball-dev/flyball/internal/feedback/signal"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/flow/pipeline"
	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/learning/dora"
	"github.com/flyball-dev/flyball/internal/learning/paging"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
	"github.com/flyball-dev/flyball/internal/learning/why"
	"github.com/flyball-dev/flyball/internal/port/measure"
	"github.com/flyball-dev/flyball/internal/port/traffic"
)

// house is the pages on a store in memory, with the product's own folds and
// operations and nothing that runs by itself.
type house struct {
	t         testing.TB
	clock     *clock.Virtual
	store     *memory.Store
	runner    *projection.Runner
	watcher   *slo.Watcher
	engine    *slo.Engine
	collector *signal.Collector
	world     *world
	controls  *control.Runner
	token     string
	server    *httptest.Server
	close     func()
}

func newHouse(t testing.TB, start time.Time) *house {
	t.Helper()
	h := &house{t: t, clock: clock.NewVirtual(start), world: &world{shares: map[string]int{}, splits: map[string][]traffic.Share{}}}
	h.store = memory.New(memory.Options{Clock: h.clock})
	h.runner = projection.NewRunner(h.store.Log(), h.store.States(), app.Projections()...)
	h.collector = signal.NewCollector(h.world, h.store.Blobs(), h.observe)
	var err error
	if h.engine, err = slo.NewEngine(time.Minute, start); err != nil {
		t.Fatal(err)
	}
	h.watcher = slo.NewWatcher(h.engine, slo.Setup{Reader: h.store.States(), Incidents: incident.Reported(h.store.States()), Minutes: h.minutes, Slots: slo.NewSlots(h.store.Blobs()),
		Log: h.store.Log(), Sync: h.sync, Clock: h.clock,
		Wake: func(key string) { h.controls.Wake("objective", key) }})
	h.govern()
	return h
}

func (h *house) minutes(ctx context.Context, service, environment string, from, until time.Time, add func(time.Time, int64, int64, map[int64]int64)) error {
	list, err := h.collector.Minutes(ctx, service, environment, from, until)
	for _, m := range list {
		add(m.Time, m.Requests, m.Bad, m.Slow)
	}
	return err
}

// observe passes counts on to the objectives.
func (h *house) observe(bins []measure.Bin) {
	for _, b := range bins {
		m := signal.Of(b)
		h.do(h.watcher.Count(b.Service, b.Environment, m.Time, m.Requests, m.Bad, m.Slow))
	}
}

func (h *house) sync(ctx context.Context) error { return h.runner.CatchUp(ctx) }

// govern makes the product's controllers, over the story's own world.
func (h *house) govern() {
	log, states := h.store.Log(), h.store.States()
	env := &control.Env{Log: log, Reader: states, Sync: h.sync, Now: h.clock.Now, Lease: func() event.Lease { return event.Lease{} },
		Sources: map[string]control.Source{
			"arms": h.world.arms, "workload": h.world.workloads, "traffic": h.world.observed,
			"objective": h.watcher.Source, "budget": policy.Source(states, h.watcher.Budgets),
			postmortem.SourceName: postmortem.Source(states, h.story()),
		}}
	starter := &rollout.Starter{Log: log, Reader: states, Goals: h.goals}
	executor := control.NewExecutor(states,
		release.StartType(starter.Run), incident.PageTypes(&channel.Post{Notifier: h.world, Clock: h.clock, Web: "https://flyball.example"})[0],
		control.Type{Name: rollout.ActionEnsure, Run: done}, control.Type{Name: rollout.ActionRemove, Run: done},
		control.Type{Name: rollout.ActionShift, Run: h.world.shift})
	h.controls = control.NewRunner(env, h.clock, slog.New(slog.NewTextHandler(testLog{h.t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		executor, control.Bind(release.Controller()), control.Bind(rollout.Controller()), control.Bind(slo.Controller()), control.Bind(incident.Controller()), control.Bind(postmortem.Controller()))
}

// story tells incidents to those who write them up, as in the product.
func (h *house) story() postmortem.Teller {
	return app.Story(h.store.Log(), h.store.States(), func(ctx context.Context, service, environment, incident string) ([]budget.Cost, error) {
		return h.books().Incident(ctx, service, environment, incident)
	})
}

// books keeps the ledgers, as the product does.
func (h *house) books() *budget.Books {
	return &budget.Books{Log: h.store.Log(), Reader: h.store.States(), Clock: h.clock, Sync: h.sync,
		Objectives: func(service, environment string) (out []*slo.Objective) {
			for _, s := range h.watcher.Snapshots(service, environment) {
				out = append(out, s.Objective)
			}
			return out
		},
		Counts: func(ctx context.Context, o *slo.Objective, from, until time.Time) (raw *slo.Series, arms []budget.Minute, err error) {
			if raw, err = h.watcher.History(ctx, o.Key(), from, until); err != nil {
				return nil, nil, err
			}
			_, revisions, err := h.collector.History(ctx, o.Service, o.Environment, from, until)
			for _, m := range revisions {
				if last := len(arms) - 1; last < 0 || !arms[last].Time.Equal(m.Time) {
					arms = append(arms, budget.Minute{Time: m.Time})
				}
				bad := m.Bad
				if o.Indicator.Kind == slo.Latency {
					bad = m.Slow[int64(o.Indicator.Threshold.Float64()*float64(time.Second))]
				}
				arm := &arms[len(arms)-1]
				arm.Arms = append(arm.Arms, budget.Arm{Revision: m.Revision, Total: m.Requests, Bad: bad})
			}
			return raw, arms, err
		}}
}

func done(context.Context, action.Action) (any, error) { return nil, nil }

// goals are what canaries are judged by, as in the product.
func (h *house) goals(service, environment string) []rollout.Goal {
	var out []rollout.Goal
	for _, s := range h.watcher.Snapshots(service, environment) {
		o := s.Objective
		g := rollout.Goal{Name: "errors", Objective: o.Name, Target: o.Target.Float64()}
		if o.Indicator.Kind == slo.Latency {
			g.ThresholdNS = int64(o.Indicator.Threshold.Float64() * float64(time.Second))
			g.Name = "slower than " + time.Duration(g.ThresholdNS).String()
		}
		out = append(out, g)
	}
	return out
}

// do fails the test on an error.
func (h *house) do(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// open puts API and pages on top, and makes a token for ana.
func (h *house) open() {
	h.t.Helper()
	ctx := context.Background()
	log, states := h.store.Log(), h.store.States()
	desk := &access.Desk{Log: log, Reader: states, Sync: h.sync, Now: h.clock.Now}
	intake := &alert.Intake{Log: log, Reader: states, Sync: h.sync, Clock: h.clock}
	operations := slices.Concat(
		intake.Operations(),
		(&catalog.Applier{Log: log, Reader: states, Sync: h.sync, Registry: app.Kinds()}).Operations(),
		desk.Operations(),
		(&change.Pusher{Log: log, Reader: states, Sync: h.sync}).Operations(),
		(&pipeline.Desk{Log: log, Reader: states, Sync: h.sync, Steps: printed{}}).Operations(),
		(&release.Desk{Log: log, Reader: states, Sync: h.sync}).Operations(),
		(&rollout.Desk{Log: log, Reader: states, Sync: h.sync}).Operations(),
		(&incident.Incidents{Log: log, Reader: states, Sync: h.sync, Clock: h.clock, Costs: h.books().Incident, Past: h.watcher.Past}).Operations(),
		h.statusPages().Operations(),
		(&runbook.Library{Log: log, Reader: states, Sync: h.sync, Clock: h.clock}).Operations(),
		(&policy.Policies{Log: log, Reader: states, Sync: h.sync, Clock: h.clock, Budgets: h.watcher.Budgets}).Operations(),
		h.books().Operations(), h.watcher.Operations(),
		(&oncall.Desk{Log: log, Reader: states, Sync: h.sync, Clock: h.clock}).Operations(),
		(&dora.Insight{Reader: states, Clock: h.clock}).Operations(),
		(&paging.Desk{Reader: states, Clock: h.clock, Look: func(context.Context, projection.Reader) paging.Lookup { return paging.Lookup{} }}).Operations(),
		(&postmortem.Desk{Log: log, Reader: states, Sync: h.sync, Clock: h.clock, Tell: h.story()}).Operations(),
		(&why.Desk{Log: log, Reader: states, Replayers: app.Replayers(), Gates: map[string]why.Gate{release.ActionStart: release.Gate}}).Operations(),
		api.EventOperations(h.store),
	)
	quiet := slog.New(slog.NewTextHandler(testLog{h.t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	face, err := api.New(api.Options{Operations: operations, Log: log, Authenticator: desk, Clock: h.clock, Logger: quiet, Past: h.past,
		Sync: func(ctx context.Context, _ int64) error { return h.sync(ctx) }, Limits: api.Limits{PerClient: 200}})
	h.do(err)
	mux := http.NewServeMux()
	mux.Handle("/api/v1/", face)
	mux.Handle("/events", face)
	mux.Handle("/", web.New(web.Options{API: face, Operations: operations, Reader: states, Log: log, Objectives: h.watcher, Signals: h.collector, Clock: h.clock, Logger: quiet}))
	mux.Handle(statuspage.Path, statuspage.New(statuspage.Options{API: face, Pages: h.statusPages(), Clock: h.clock}))
	foreign := ingest.New(ingest.Options{API: face, Intake: intake, Clock: h.clock})
	for _, path := range ingest.Paths {
		mux.Handle(path, foreign)
	}
	h.server = httptest.NewServer(face.Guard(mux))
	h.close = func() { face.Close(); h.server.Close() }
	_, h.token, err = desk.Create(ctx, "system", "user:ana", []operation.Grant{{Role: operation.Admin}}, 0)
	h.do(err)
	h.do(h.sync(ctx))
	h.do(intake.Load(ctx))
}

func (h *house) past(ctx context.Context, at time.Time) (projection.Reader, error) {
	store := memory.New(memory.Options{Clock: h.clock})
	err := projection.Rebuild(ctx, h.store.Log(), store.States(), event.Query{RecordedBy: at}, app.Projections()...)
	return store.States(), err
}

type testLog struct{ t testing.TB }

var _ io.Writer = testLog{}

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(string(p))
	return len(p), nil
}
