package app

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/catalog/access"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/input"
	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/feedback/budget"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/count"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/maintenance"
	"github.com/flyball-dev/flyball/internal/feedback/metrics"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/feedback/probe"
	"github.com/flyball-dev/flyball/internal/feedback/runbook"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/feedback/status"
	"github.com/flyball-dev/flyball/internal/feedback/support"
	"github.com/flyball-dev/flyball/internal/flow/artifact"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/flow/pipeline"
	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/learning/dora"
	"github.com/flyball-dev/flyball/internal/learning/paging"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
	"github.com/flyball-dev/flyball/internal/learning/why"
)

// Kinds lists every kind of resource.
func Kinds() *resource.Registry {
	return resource.NewRegistry(slices.Concat(
		catalog.Kinds(),
		policy.Kinds(),
		pipeline.Kinds(),
		slo.Kinds(checkQueries),
		metrics.Kinds(),
		probe.Kinds(),
		channel.Kinds(),
		oncall.Kinds(),
		maintenance.Kinds(alert.CheckMatcher),
		alert.Kinds(),
		runbook.Kinds(),
		postmortem.Kinds(),
		support.Kinds(),
		status.Kinds(),
	)...)
}

// Projections lists every projection.
func Projections() []*projection.Projection {
	return slices.Concat(
		[]*projection.Projection{
			action.Projection(),
			catalog.Projection(),
			access.Projection(),
			pipeline.Projection(),
			artifact.Projection(),
			rollout.Projection(),
			slo.Projection(),
			slo.AdjustmentProjection(),
			budget.Projection(),
			oncall.Projection(),
			maintenance.Projection(),
			support.Projection(),
			paging.Projection(),
		},
		change.Projections(),
		release.Projections(),
		policy.Projections(),
		channel.Projections(),
		alert.Projections(),
		incident.Projections(),
		runbook.Projections(),
		status.Projections(),
		dora.Projections(),
		postmortem.Projections(),
		why.Projections(),
	)
}

// shown lists the projections that no decision reads. In a storm they are folded
// in their own time.
func shown() []*projection.Projection {
	lists := slices.DeleteFunc(alert.Projections(), func(p *projection.Projection) bool { return p.Name != alert.ProjectionName })
	return slices.Concat(lists, dora.Projections(), why.Projections())
}

// Replayers lists, by name, the controllers whose decisions can be recomputed.
func Replayers() map[string]control.Replayer {
	return map[string]control.Replayer{
		"pipeline":   pipeline.Controller(),
		"release":    release.Controller(),
		"rollout":    rollout.Controller(),
		"objective":  slo.Controller(),
		"incident":   incident.Controller(),
		"page":       incident.CallController(),
		"mirror":     incident.MirrorController(),
		"runbook":    runbook.Controller(),
		"postmortem": postmortem.Controller(),
		"support":    support.Controller(),
		"status":     status.Controller(),
	}
}

// parts are the desks behind the operations.
type parts struct {
	applier   *catalog.Applier
	pusher    *change.Pusher
	access    *access.Desk
	probes    *probe.Desk
	scrapes   *metrics.Keeper // nil without a metrics store
	books     *budget.Books
	schedules *oncall.Desk
	post      *channel.Post
	pages     *status.Pages // what users are told
}

// assemble makes the processors and the operations.
func (a *App) assemble() {
	reader := a.env.Reader
	a.parts.applier = &catalog.Applier{Log: a.log, Reader: reader, Sync: a.sync, Registry: Kinds()}
	a.parts.pusher = &change.Pusher{Log: a.log, Reader: reader, Sync: a.sync, Open: a.ports.Open, Apply: a.applyAt}
	a.parts.access = &access.Desk{Log: a.log, Reader: reader, Sync: a.sync, Now: a.cfg.Clock.Now}
	releases := &release.Desk{Log: a.log, Reader: reader, Sync: a.sync}
	rollouts := &rollout.Desk{Log: a.log, Reader: reader, Sync: a.sync}
	starter := &rollout.Starter{Log: a.log, Reader: reader, Goals: a.goals}

	workshop := &pipeline.Workshop{
		Dir: a.cfg.State, Steps: a.ports.Steps, Images: a.ports.Images, Reader: reader, Open: a.ports.Open,
		Environment: stepEnvironment(), Secret: stepSecret,
	}
	a.env.Sources["steps"] = workshop.Source
	runs := &pipeline.Desk{Log: a.log, Reader: reader, Sync: a.sync, Steps: a.ports.Steps, Secret: stepSecret}
	policies := &policy.Policies{Log: a.log, Reader: reader, Clock: a.cfg.Clock, Sync: a.sync, Budgets: a.budgets(), Measured: a.measured}
	backtests := &policy.Backtests{Reader: reader, Clock: a.cfg.Clock, Objectives: a.watcher, Incidents: a.watcher.Incidents, Deployments: a.deployments, Kinds: Kinds}
	a.parts.books = a.books()
	a.parts.probes = &probe.Desk{Reader: reader, Blobs: a.ports.Store.Blobs(), Prober: a.ports.Prober, Objectives: a.watcher, Clock: a.cfg.Clock}
	incidents := &incident.Incidents{Log: a.log, Reader: reader, Clock: a.cfg.Clock, Sync: a.sync, Costs: a.parts.books.Incident, Past: a.watcher.Past}
	a.parts.schedules = &oncall.Desk{Log: a.log, Reader: reader, Clock: a.cfg.Clock, Sync: a.sync}
	workbench := &runbook.Workbench{Dir: a.cfg.State, Steps: a.ports.Steps, Environment: stepEnvironment(), Secret: stepSecret, Call: a.call}
	a.env.Sources["runbook.commands"] = workbench.Source
	library := &runbook.Library{Log: a.log, Reader: reader, Clock: a.cfg.Clock, Sync: a.sync, Steps: a.ports.Steps, Secret: stepSecret}
	a.parts.pages = a.pages()
	insight := &dora.Insight{Reader: reader, Clock: a.cfg.Clock}
	postmortems := &postmortem.Desk{Log: a.log, Reader: reader, Clock: a.cfg.Clock, Sync: a.sync, Tell: a.story}
	operate := &operate{app: a}
	explain := &why.Desk{Log: a.log, Reader: reader, Replayers: Replayers(), Gates: map[string]why.Gate{
		release.ActionStart: release.Gate, runbook.ActionCommand: runbook.Gate, runbook.ActionOperation: runbook.Gate,
		incident.ActionRemind: incident.RemindGate,
	}}
	a.parts.post = &channel.Post{Reader: reader, Notifier: a.ports.Notifier, Clock: a.cfg.Clock, Web: a.cfg.Web, Key: a.cfg.ActKey, Log: a.log}
	a.parts.post.Open()

	types := slices.Concat(
		workshop.Types(), workbench.Types(),
		rollout.Types(a.ports.Runtime, a.ports.Router, a.unpack),
		[]control.Type{release.StartType(starter.Run), a.restartAction()},
		a.publishing(),
		incident.PageTypes(a.parts.post),
		[]control.Type{alert.TellType(a.parts.post)},
	)
	a.executor = control.NewExecutor(reader, types...)
	a.controls = control.NewRunner(a.env, a.cfg.Clock, a.cfg.Logger,
		a.executor,
		pulse{a.cfg.Clock, &a.pulsed},
		control.Bind(pipeline.Controller()),
		control.Bind(release.Controller()),
		control.Bind(rollout.Controller()),
		control.Bind(slo.Controller()),
		control.Bind(incident.Controller()),
		control.Bind(incident.CallController()),
		control.Bind(incident.MirrorController()),
		control.Bind(runbook.Controller()),
		control.Bind(postmortem.Controller()),
		control.Bind(support.Controller()),
		control.Bind(status.Controller()),
	)
	a.Operations = slices.Concat(
		a.parts.applier.Operations(),
		a.parts.access.Operations(),
		a.parts.pusher.Operations(),
		runs.Operations(),
		artifact.Operations(reader),
		releases.Operations(),
		rollouts.Operations(),
		a.court().Operations(),
		a.watcher.Operations(),
		a.metricsDesk().Operations(),
		a.parts.probes.Operations(),
		(&count.Desk{Reader: reader, Objectives: a.watcher}).Operations(),
		a.parts.books.Operations(),
		policies.Operations(),
		(&channel.Desk{Post: a.parts.post, Log: a.log, Sync: a.sync}).Operations(),
		backtests.Operations(),
		a.intake.Operations(),
		a.maintenance().Operations(),
		incidents.Operations(),
		library.Operations(),
		(&support.Desk{Reader: reader, Clock: a.cfg.Clock}).Operations(),
		a.parts.pages.Operations(),
		a.parts.schedules.Operations(),
		[]operation.Operation{a.replayOperation()},
		a.feeder.Operations(),
		api.EventOperations(a.ports.Store),
		insight.Operations(),
		a.pagingDesk().Operations(),
		postmortems.Operations(),
		explain.Operations(),
		operate.Operations(),
	)
	a.narrow(a.Operations)
}

// maintenance is the desk of planned work.
func (a *App) maintenance() *maintenance.Desk {
	return &maintenance.Desk{
		Log: a.log, Reader: a.env.Reader, Clock: a.cfg.Clock, Sync: a.sync, Matcher: alert.CheckMatcher, Changed: a.intake.WindowsChanged, Alerts: a.intake.Covered,
		Objectives: func(service, environment string) (keys []string) {
			for _, s := range a.watcher.Snapshots(service, environment) {
				keys = append(keys, s.ID)
			}
			return keys
		},
	}
}

// call calls an operation by name, as a runbook does.
func (a *App) call(ctx context.Context, caller operation.Caller, name string, body []byte) error {
	for _, o := range a.Operations {
		if o.Name() != name {
			continue
		}
		if o.Local || o.Stream {
			break
		}
		in := o.NewInput()
		if err := input.JSON(o, in, body); err != nil {
			return err
		}
		_, err := o.Call(ctx, caller, in)
		return err
	}
	return problem.New(problem.Invalid, "runbook.operation", "there is no operation %q to call", name).WithNext("flyball --help lists them, as noun and verb")
}

// Access is where tokens are kept.
func (a *App) Access() *access.Desk { return a.parts.access }

// Apply applies a directory of resources.
func (a *App) Apply(ctx context.Context, actor, dir, commit string, files map[string][]byte) (catalog.Report, error) {
	return a.parts.applier.Apply(ctx, actor, dir, commit, files)
}

// stepEnvironment is what steps get of the server's own environment: where
// programs are, how packages are fetched, and the caches of Go that this user
// has already; nothing else is inherited.
func stepEnvironment() map[string]string {
	env := map[string]string{}
	for _, name := range []string{"PATH", "LANG", "GOPROXY", "GOFLAGS", "GONOSUMDB", "GOSUMDB", "GOTOOLCHAIN", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "NPM_CONFIG_REGISTRY"} {
		if v, ok := os.LookupEnv(name); ok {
			env[name] = v
		}
	}
	if dir, err := os.UserCacheDir(); err == nil {
		keepDir(env, "GOCACHE", filepath.Join(dir, "go-build"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		keepDir(env, "GOMODCACHE", filepath.Join(home, "go", "pkg", "mod"))
	}
	return env
}

// keepDir passes a directory on: the one the environment names, else the usual
// one if it is there.
func keepDir(env map[string]string, name, usual string) {
	dir := os.Getenv(name)
	if dir == "" {
		dir = usual
	}
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		env[name] = dir
	}
}

// stepSecret gives a pipeline's secret from the server's environment.
func stepSecret(name string) (string, bool) { return os.LookupEnv("FLYBALL_SECRET_" + name) }
