package alert

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Intake records what senders report, once. It is safe for concurrent use.
type Intake struct {
	Log    event.Log
	Reader projection.Reader
	Clock  clock.Clock
	// Sync waits until Reader shows the end of the log.
	Sync func(ctx context.Context) error

	// KeepUp waits until what was recorded has nearly led to what it leads to; may
	// be nil.
	KeepUp func(ctx context.Context) error

	// MaxBytes bounds what is remembered of what fires; default 512 MiB.
	MaxBytes int

	mu       sync.Mutex
	turns    chan struct{} // holds a token for each request that is being taken; nil until loaded
	loaded   bool
	live     map[string]*live // what fires, by alert
	held     int              // bytes of it
	beats    map[string]time.Time
	silenced map[string]Silence // those not over yet, by ID
	covers   []cover            // maintenance windows that are on
	routes   []Route
	followed time.Time // when those two were read
	started  time.Time
}

// live is one alert that fires.
type live struct {
	fired   Fired
	updated time.Time
	acked   bool
	bytes   int           // of fired, as counted in Intake.held
	pending chan struct{} // closed once what was said of it last is recorded, or has failed
	over    bool          // what was said of it last, and is pending, is that it ended
}

// MaxLive is how many alerts may fire at once; beyond, senders are told to try
// again later.
const MaxLive = 200_000

const appendBatch = 500 // events recorded together

// Load remembers what fires from before. Every alert gets a fresh lease.
func (i *Intake) Load(ctx context.Context) error {
	if err := i.Sync(ctx); err != nil {
		return err
	}
	now := i.Clock.Now()
	firing := map[string]*live{}
	f := projection.Filter{Index: "state", Value: "open", Limit: projection.MaxPage}
	for {
		items, next, err := projection.List[Alert](ctx, i.Reader, ProjectionName, f)
		if err != nil {
			return err
		}
		for _, a := range items {
			if a.Integration == "" {
				continue // an objective's: its engine looks after it
			}
			if !a.EndsAt.IsZero() {
				a.EndsAt = latest(a.EndsAt, now.Add(ResolveTimeout))
			}
			firing[a.Alert] = &live{fired: a.Fired, updated: now, acked: a.State == StateAcknowledged}
		}
		if next == "" {
			break
		}
		f.After = next
	}
	silenced := map[string]Silence{}
	f = projection.Filter{Index: "all", Value: "yes", Limit: projection.MaxPage}
	for {
		items, next, err := projection.List[Silence](ctx, i.Reader, silenceName, f)
		if err != nil {
			return err
		}
		for _, s := range items {
			compiled, err := compile(s.Matchers)
			if err == nil && now.Before(s.EndsAt) {
				s.Matchers = compiled
				silenced[s.ID] = s
			}
		}
		if next == "" {
			break
		}
		f.After = next
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.turns = make(chan struct{}, maxTurns)
	i.live, i.held = map[string]*live{}, 0
	for id, l := range firing {
		i.put(id, l)
	}
	i.silenced, i.beats, i.started, i.loaded = silenced, map[string]time.Time{}, now, true
	return nil
}

// Taken is what became of reports.
type Taken struct {
	Fired    int      `json:"fired"`    // began
	Resolved int      `json:"resolved"` // ended
	Known    int      `json:"known"`    // said before
	Refused  []string `json:"refused,omitempty"`
}

// Take records what is new in the reports and returns once it is durable. What
// is wrong with single reports is told in Taken.Refused; the others count. A
// resolution of what does not fire is nothing new.
func (i *Intake) Take(ctx context.Context, in Integration, reports []Report) (Taken, error) {
	var out Taken
	leave, err := i.enter(ctx)
	if err != nil {
		return out, err
	}
	defer leave()
	now := i.Clock.Now().UTC()
	if err := i.follow(ctx, now); err != nil {
		return out, err
	}
	catalog, err := i.look(ctx, in, reports)
	if err != nil {
		return out, err
	}
	work := make([]step, 0, len(reports))
	for n := range reports {
		r := &reports[n]
		if err := r.check(now); err != nil {
			out.Refused = append(out.Refused, err.Error())
			continue
		}
		r.complete(now)
		work = append(work, i.step(in, *r, catalog, now))
	}
	for {
		done := make(chan struct{})
		mine, wait, err := i.claim(work, done, now, &out)
		if err != nil {
			return out, err
		}
		if err := i.record(ctx, in, mine, done); err != nil {
			return out, err
		}
		if len(wait) == 0 {
			return out, nil
		}
		for _, s := range wait {
			select {
			case <-s.behind:
			case <-ctx.Done():
				return out, ctx.Err()
			}
		}
		work = wait
	}
}

// In a storm, requests take turns and wait for what alerts lead to, or people
// were paged only when it is over.
const (
	maxTurns = 64
	maxWait  = 20 * time.Second // before a sender is told to come back
)

// enter waits for a turn.
func (i *Intake) enter(ctx context.Context) (leave func(), err error) {
	i.mu.Lock()
	turns := i.turns
	i.mu.Unlock()
	if turns == nil {
		return nil, unavailable("alerts cannot be taken yet: the server is starting")
	}
	waiting, giveUp := context.WithCancel(ctx)
	defer giveUp()
	t := i.Clock.NewTimer(maxWait)
	defer t.Stop()
	go func() {
		select {
		case <-t.C():
			giveUp()
		case <-waiting.Done():
		}
	}()
	select {
	case turns <- struct{}{}:
		if i.KeepUp == nil {
			break
		}
		if err = i.KeepUp(waiting); err != nil {
			<-turns
		}
	case <-waiting.Done():
		err = waiting.Err()
	}
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		err = unavailable("more alerts come in than can be recorded")
	}
	return func() { <-turns }, err
}

// step is one report on its way.
type step struct {
	fired  Fired
	act    Act
	event  string        // to be recorded; empty: nothing
	actor  string        // who does it; empty: the sender
	before *live         // what it was, to be put back when recording fails
	behind chan struct{} // somebody else is recording the same alert
}

func (i *Intake) step(in Integration, r Report, c known, now time.Time) step {
	fingerprint := r.Fingerprint()
	at := i.place(in, r, c)
	s := step{act: r.Act, fired: Fired{
		Alert: in.Name + "/" + fingerprint, Integration: in.Name, Fingerprint: fingerprint,
		Service: at.service, Team: at.team, Environment: at.environment, Severity: r.Severity, Urgency: r.Severity, Explanation: r.Summary,
		Labels: r.Labels, Annotations: r.Annotations, Key: r.Key, StartsAt: r.StartsAt, EndsAt: r.EndsAt.UTC(), URL: r.GeneratorURL, Runbook: cmp.Or(r.Runbook, at.runbook), Links: r.Links, Elsewhere: r.Elsewhere,
	}}
	if r.Act == Trigger {
		s.fired = c.routed(s.fired, now, nil)
	}
	return s
}

// claim decides what each report changes and marks those alerts as being
// recorded until done is closed. What somebody else is recording just now has
// to wait for them.
func (i *Intake) claim(work []step, done chan struct{}, now time.Time, out *Taken) (mine, wait []step, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.loaded {
		return nil, nil, unavailable("alerts cannot be taken yet: the server is starting")
	}
	if err := i.fits(work); err != nil {
		return nil, nil, err
	}
	for _, s := range work {
		l := i.live[s.fired.Alert]
		if l != nil && l.pending != nil && l.pending != done {
			s.behind = l.pending
			wait = append(wait, s)
			continue
		}
		s.before = l
		if l != nil && l.over {
			l = nil
		}
		if s.event = i.decide(&s, l, now); s.event == "" {
			out.Known++
			continue
		}
		i.put(s.fired.Alert, &live{fired: s.fired, updated: now, acked: s.act == Acknowledge, pending: done, over: s.event == EventResolved})
		mine = append(mine, s)
	}
	for _, s := range mine {
		switch s.event {
		case EventFired:
			out.Fired++
		case EventResolved:
			out.Resolved++
		}
	}
	return mine, wait, nil
}

// decide is what a report changes of an alert: the type of the fact, empty when
// it changes nothing.
func (i *Intake) decide(s *step, l *live, now time.Time) string {
	switch s.act {
	case Resolve:
		if l == nil {
			return ""
		}
		started := l.fired.StartsAt
		s.fired = keepText(l.fired, s.fired)
		s.fired.StartsAt, s.fired.Reason = started, "its sender says so"
		return EventResolved
	case Acknowledge:
		if l == nil || l.acked {
			return ""
		}
		s.fired = l.fired
		return EventAcknowledged
	}
	if l != nil {
		s.fired.SnoozedUntil = l.fired.SnoozedUntil
	}
	s.fired.Suppressed = i.suppressing(s.fired, now)
	if len(s.fired.Suppressed) > 0 {
		s.fired.Severity = "none"
	}
	if l == nil {
		return EventFired
	}
	l.updated = now
	l.fired.EndsAt = s.fired.EndsAt
	if l.fired.Urgency == s.fired.Urgency && l.fired.Severity == s.fired.Severity && maps.Equal(l.fired.Annotations, s.fired.Annotations) {
		return ""
	}
	// Only what concerns people is news: annotations often carry the present
	// value, which changes each time.
	l.fired.Annotations = s.fired.Annotations
	i.put(s.fired.Alert, l)
	if l.fired.Urgency == s.fired.Urgency && l.fired.Severity == s.fired.Severity {
		return ""
	}
	s.fired.StartsAt = l.fired.StartsAt
	// An alert stays where it began until it ends.
	s.fired.Service, s.fired.Team, s.fired.Environment, s.fired.Route = l.fired.Service, l.fired.Team, l.fired.Environment, l.fired.Route
	return EventFired
}

// keepText is what is known of an alert, for a resolution that says only its key.
func keepText(known, said Fired) Fired {
	if len(said.Annotations) > 0 {
		known.Annotations = said.Annotations
	}
	return known
}

// record appends what was claimed, then lets others at it; on failure
// everything is as before, so that the sender's next try is new again.
func (i *Intake) record(ctx context.Context, in Integration, mine []step, done chan struct{}) error {
	defer close(done)
	kept, err := 0, error(nil)
	for part := range slices.Chunk(mine, appendBatch) {
		if err = i.append(ctx, in.Name, part); err != nil {
			break
		}
		kept += len(part)
	}
	i.settle(mine, kept)
	return err
}

func (i *Intake) append(ctx context.Context, integration string, part []step) error {
	drafts := make([]event.Draft, len(part))
	for n, s := range part {
		drafts[n] = event.Draft{Type: s.event, Subject: "alert/" + s.fired.Alert, Actor: cmp.Or(s.actor, "integration:"+integration), Data: s.fired}
	}
	_, err := i.Log.Append(ctx, event.Batch{Stream: "alert/" + integration, Expect: event.AnyVersion, Drafts: drafts})
	return err
}

// settle puts back, newest first, what was not kept, and ends the claim on all.
func (i *Intake) settle(mine []step, kept int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range slices.Backward(mine[kept:]) {
		if s.before == nil {
			i.drop(s.fired.Alert)
		} else {
			i.put(s.fired.Alert, s.before)
		}
	}
	for _, s := range mine {
		l := i.live[s.fired.Alert]
		if l == nil {
			continue
		}
		if l.pending = nil; l.over {
			i.drop(s.fired.Alert)
		}
	}
}

func unavailable(format string, args ...any) error {
	err := problem.New(problem.Unavailable, "alert.take", format, args...).WithNext("send it again; nothing was lost that was acknowledged")
	err.RetryAfter = 5 * time.Second
	return err
}

// Beat notes a sign of life of a heartbeat, and resolves its alert.
func (i *Intake) Beat(ctx context.Context, in Integration) error {
	i.mu.Lock()
	if !i.loaded {
		i.mu.Unlock()
		return unavailable("the server is starting")
	}
	i.beats[in.Name] = i.Clock.Now()
	i.mu.Unlock()
	_, err := i.Take(ctx, in, []Report{{Key: heartbeatKey, Act: Resolve}})
	return err
}

const heartbeatKey = "heartbeat"

// Tend ends the alerts that nobody repeats, fires those that a silence no
// longer holds back, and the alerts of heartbeats that have gone silent.
func (i *Intake) Tend(ctx context.Context) error {
	now := i.Clock.Now()
	if err := i.follow(ctx, now); err != nil {
		return err
	}
	byIntegration, done := map[string][]step{}, map[string]chan struct{}{}
	i.mu.Lock()
	if !i.loaded {
		i.mu.Unlock()
		return nil
	}
	for id, s := range i.silenced {
		if s.State(now) == "expired" {
			delete(i.silenced, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(i.live)) {
		if l := i.live[id]; l.pending == nil {
			if s, ok := i.tend(l, now); ok {
				name := l.fired.Integration
				if done[name] == nil {
					done[name] = make(chan struct{})
				}
				s.before = l
				i.put(id, &live{fired: s.fired, updated: l.updated, acked: l.acked, pending: done[name], over: s.event == EventResolved})
				byIntegration[name] = append(byIntegration[name], s)
			}
		}
	}
	i.mu.Unlock()
	var failed error
	for _, name := range slices.Sorted(maps.Keys(byIntegration)) {
		if err := i.record(ctx, Integration{Name: name}, byIntegration[name], done[name]); err != nil {
			failed = err
		}
	}
	if failed != nil {
		return failed
	}
	return i.missed(ctx, now)
}

// ended reports whether nobody said in time that the alert still fires.
func (l *live) ended(now time.Time) bool {
	return !l.fired.EndsAt.IsZero() && !now.Before(l.fired.EndsAt)
}

func (i *Intake) tend(l *live, now time.Time) (step, bool) {
	f := l.fired
	if l.ended(now) {
		f.Reason = "it was not sent again by " + f.EndsAt.UTC().Format(time.RFC3339)
		return step{fired: f, event: EventResolved}, true
	}
	if len(f.Suppressed) > 0 && len(i.suppressing(f, now)) == 0 {
		f.Suppressed, f.Severity, f.SnoozedUntil, f.Reason = nil, f.Urgency, time.Time{}, ""
		return step{fired: f, event: EventFired}, true
	}
	return step{}, false
}

// missed fires the alerts of heartbeats that are overdue.
func (i *Intake) missed(ctx context.Context, now time.Time) error {
	list, _, err := projection.List[Integration](ctx, i.Reader, integrationName, projection.Filter{Index: "all", Value: "yes", Limit: projection.MaxPage})
	if err != nil {
		return err
	}
	for _, in := range list {
		if in.Heartbeat == 0 || !in.Revoked.IsZero() {
			continue
		}
		i.mu.Lock()
		last := latest(latest(i.beats[in.Name], i.started), in.Created)
		i.mu.Unlock()
		if now.Sub(last) < time.Duration(in.Heartbeat)*time.Second {
			continue
		}
		r := Report{Key: heartbeatKey, Severity: Page, StartsAt: last, Labels: map[string]string{"alertname": "HeartbeatMissing", "heartbeat": in.Name},
			Summary: "heartbeat " + in.Name + " has been silent since " + last.UTC().Format(time.RFC3339)}
		if _, err := i.Take(ctx, in, []Report{r}); err != nil {
			return err
		}
	}
	return nil
}

// Firing is an alert that fires now, and when it was last said.
type Firing struct {
	Fired
	UpdatedAt time.Time
}

// Firing lists what fires, in order of ID, with what holds it back at this
// moment. What nobody has repeated in time does not, though Tend has yet to say so.
func (i *Intake) Firing() []Firing {
	now := i.Clock.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	out := make([]Firing, 0, len(i.live))
	for _, id := range slices.Sorted(maps.Keys(i.live)) {
		l := i.live[id]
		if l.ended(now) {
			continue
		}
		f := Firing{Fired: l.fired, UpdatedAt: l.updated}
		f.Suppressed = i.suppressing(f.Fired, now)
		out = append(out, f)
	}
	return out
}

// Matching is what fires now that matchers would hold back.
func (i *Intake) Matching(matchers []Matcher) ([]Firing, error) {
	compiled, err := compile(matchers)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(i.Firing(), func(f Firing) bool { return !matchAll(compiled, f.Labels) }), nil
}

// Started is when the intake began to take.
func (i *Intake) Started() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.started
}
