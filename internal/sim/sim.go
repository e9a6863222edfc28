package sim

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// Options of one run.
type Options struct {
	Seed  uint64
	State string    // absolute directory in which parts may leave files
	Bug   *Bug      // planted; nil for none
	Trace io.Writer // what happens, line by line; nil for silence
}

// Violation is something that must hold and did not.
type Violation struct {
	Invariant string // its name in the list of Invariants
	Detail    string
	Second    int // of the simulation
}

// String is the violation in one line.
func (v Violation) String() string {
	return fmt.Sprintf("second %d: %s: %s", v.Second, v.Invariant, v.Detail)
}

// Result is what one run came to.
type Result struct {
	Seed       uint64
	Seconds    int // of virtual time
	Events     int
	Decisions  int // recomputed
	Gates      int // recomputed
	Rollouts   int
	Outcomes   map[string]int // of rollouts
	Crashes    int            // of servers
	Takeovers  int            // by a second server, the first one being suspended
	AgentDowns int
	Incidents  int
	Pages      int
	Violations []Violation
	Digest     string // of the history: the same for the same seed
}

// start is when every simulation begins.
var start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// Run simulates one seed.
func Run(o Options) Result {
	w := newWorld(o)
	w.run()
	w.judge()
	return w.result
}

// world is one company, with everything under it.
type world struct {
	options Options
	bug     *Bug // never nil
	logger  *slog.Logger
	clock   *clock.Virtual
	second  int // since the start; leases and processes are timed by it, whatever the clock says
	company company
	chaos   *chaos
	plane   *plane
	shop    *workshop
	pager   *pager
	keeper  *keeper // the store and what it acknowledged
	people  *people
	server  *server // nil while none is up
	former  *server // suspended, and not aware of it
	upAt    int     // second at which the next server comes up
	servers int     // started so far
	acting  *server // whose code is running now
	settled bool    // nothing breaks any more
	result  Result
	seen    map[string]bool // violations already told
}

func newWorld(o Options) *world {
	w := &world{options: o, bug: o.Bug, logger: slog.New(slog.DiscardHandler), clock: clock.NewVirtual(start), seen: map[string]bool{}}
	if w.bug == nil {
		w.bug = &Bug{}
	}
	w.result = Result{Seed: o.Seed, Outcomes: map[string]int{}}
	if o.Trace != nil {
		w.logger = slog.New(slog.NewTextHandler(traceWriter{w}, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: withoutTime}))
	}
	w.chaos = newChaos(w, o.Seed)
	w.company = drawCompany(o.Seed)
	w.plane = newPlane(w, o.Seed)
	w.shop = newWorkshop(w)
	w.pager = &pager{w: w, accepted: map[string]int{}}
	w.keeper = newKeeper(w)
	w.people = newPeople(w, o.Seed)
	return w
}

// traceWriter puts what the App logs into the trace.
type traceWriter struct{ w *world }

func (t traceWriter) Write(b []byte) (int, error) {
	t.w.tracef("log    %s", b[:len(b)-1])
	return len(b), nil
}

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
		return slog.Attr{}
	}
	return a
}

func (w *world) tracef(format string, args ...any) {
	if w.options.Trace != nil {
		fmt.Fprintf(w.options.Trace, "%4d  %s\n", w.second, fmt.Sprintf(format, args...))
	}
}

// violated notes a violation, each once.
func (w *world) violated(invariant, format string, args ...any) {
	v := Violation{Invariant: invariant, Detail: fmt.Sprintf(format, args...), Second: w.second}
	if key := v.Invariant + v.Detail; !w.seen[key] && len(w.result.Violations) < 50 {
		w.seen[key] = true
		w.result.Violations = append(w.result.Violations, v)
		w.tracef("VIOLATION  %s: %s", v.Invariant, v.Detail)
	}
}

// run lives through the company's busy time and then lets it come to rest.
func (w *world) run() {
	for w.second < w.company.busy {
		w.pass()
	}
	w.settled = true
	// Whoever is left to himself ends, or asks a person, within his deadlines.
	w.rest(w.company.patience(), true)
	w.people.checkAsked()
	w.people.answering = true
	if !w.people.nothingMoves(false) {
		w.rest(w.company.patience(), false)
	}
	w.plane.idle = true
	for still := 0; still < 5; still++ { // counts under way, acknowledgements, pages
		if w.pass(); len(w.plane.pending) > 0 {
			still = 0
		}
	}
	w.result.Seconds = w.second
}

// rest lets time go by until nothing has moved for longer than it takes to
// look at a gate again, but no longer than a limit.
func (w *world) rest(limit int, unanswered bool) {
	for still, end := 0, w.second+limit; still < 17 && w.second < end; {
		w.pass()
		if still++; !w.people.nothingMoves(unanswered) {
			still = 0
		} else if still == 3 && !w.people.blocked() {
			return
		}
	}
}

// pass lets one second go by.
func (w *world) pass() {
	w.second++
	w.clock.Advance(time.Second)
	w.chaos.tick()
	w.plane.tick()
	w.plane.check()
	if w.server == nil && w.second >= w.upAt {
		w.boot()
	}
	w.people.tick()
	if w.server != nil {
		w.act(w.server, func(ctx context.Context) error { return w.server.app.Tick(ctx) })
	}
	if w.former != nil && w.chaos.resumes() {
		f := w.former
		if w.server == nil { // nobody has taken over
			w.server, w.former = f, nil
			return
		}
		w.tracef("chaos  the suspended server goes on")
		w.act(f, func(ctx context.Context) error { return f.app.Tick(ctx) })
	}
}

// add sums results up.
func (r *Result) add(o Result) {
	r.Seconds += o.Seconds
	r.Events += o.Events
	r.Decisions += o.Decisions
	r.Gates += o.Gates
	r.Rollouts += o.Rollouts
	r.Crashes += o.Crashes
	r.Takeovers += o.Takeovers
	r.AgentDowns += o.AgentDowns
	r.Incidents += o.Incidents
	r.Pages += o.Pages
	r.Violations = append(r.Violations, o.Violations...)
	for k, n := range o.Outcomes {
		r.Outcomes[k] += n
	}
}

// String is the result in one line.
func (r Result) String() string {
	return fmt.Sprintf("%d s of virtual time, %d events, %d decisions and %d gates recomputed, %d rollouts %v, %d server crashes, %d takeovers, %d agent crashes, %d incidents, %d pages",
		r.Seconds, r.Events, r.Decisions, r.Gates, r.Rollouts, r.Outcomes, r.Crashes, r.Takeovers, r.AgentDowns, r.Incidents, r.Pages)
}
