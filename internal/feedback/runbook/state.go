package runbook

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Run is the folded state of one going-through of a runbook.
type Run struct {
	Place
	Title     string     `json:"title"`
	State     string     `json:"state" doc:"running, done, failed or stopped"`
	Commit    string     `json:"commit,omitempty" table:"-" doc:"of the file that declared the runbook"`
	Steps     []Step     `json:"steps" table:"-" doc:"as they stood when it began"`
	Results   []Result   `json:"results" table:"-" doc:"of the steps that are over, in order"`
	Automatic *Automatic `json:"automatic,omitempty" table:"-" doc:"it began by itself, by this"`
	Reason    string     `json:"reason" doc:"why it began"`
	By        string     `json:"by"`
	StartedAt time.Time  `json:"started_at"`
	Stopping  string     `json:"stopping,omitempty" table:"-" doc:"why it is to end"`
	EndedAt   time.Time  `json:"ended_at,omitzero"`
	Ending    string     `json:"ending,omitempty" table:"-"`
	Saved     float64    `json:"saved_seconds,omitempty" table:"-" doc:"of a person's time, when it was done by itself"`
	Event     string     `json:"event" table:"-" doc:"ID of runbook.started"`
}

// Result is how a step ended.
type Result struct {
	Outcome string    `json:"outcome"`
	Reason  string    `json:"reason"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds,omitempty"`
}

// StateRunning is that of a run that is not over; the others are outcomes.
const StateRunning = "running"

// current is the step that is gone through now, from 1; 0 when all are over.
func (r Run) current() int {
	if len(r.Results) >= len(r.Steps) {
		return 0
	}
	return len(r.Results) + 1
}

// Desk is a service in an environment as the controller sees it.
type Desk struct {
	Service     string           `json:"service"`
	Team        string           `json:"team"`
	Environment string           `json:"environment"`
	Incident    string           `json:"incident,omitempty"` // the open one
	Severity    int              `json:"severity,omitempty"` // of it
	Rollout     string           `json:"rollout,omitempty"`  // the newest it is linked with
	Happened    []Happening      `json:"happened,omitempty"` // in it, oldest first
	Through     map[string]int64 `json:"through,omitempty"`  // by runbook: position up to which what happened is answered
	Open        []string         `json:"open,omitempty"`     // runs that are not over
	Begun       []Begun          `json:"begun,omitempty"`    // by themselves, within the hour before the newest
}

// Begun is a run that began by itself.
type Begun struct {
	Runbook string    `json:"runbook"`
	At      time.Time `json:"at"`
}

// Happening is what opened an incident, or was linked to it.
type Happening struct {
	Event     string    `json:"event"`
	Position  int64     `json:"position"`
	At        time.Time `json:"at"`
	Kind      string    `json:"kind,omitempty"`
	Alert     string    `json:"alert,omitempty"`
	Objective string    `json:"objective,omitempty"`
	Rollout   string    `json:"rollout,omitempty"`
	Text      string    `json:"text,omitempty"`
}

// Tally is what became of a runbook's runs.
type Tally struct {
	ByHand    int       `json:"by_hand"`
	Automatic int       `json:"automatic"`
	Done      int       `json:"done"`
	Failed    int       `json:"failed"`
	Stopped   int       `json:"stopped"`
	HeldBack  int       `json:"held_back" doc:"times it would have run by itself beyond its limit"`
	Saved     float64   `json:"saved_seconds" doc:"of people's time, by runs that were done by themselves"`
	Hand      []float64 `json:"hand,omitempty" doc:"seconds that runs by hand took until done, the newest fifty"`
}

// The projections: runs by name, indexed by "state", "runbook", "incident" and
// "all" in order of their beginning; desks by SERVICE.ENVIRONMENT, indexed by
// "busy"; tallies by runbook.
const (
	ProjectionName = "runbook"
	deskName       = "runbook.desk"
	tallyName      = "runbook.tally"
)

// The facts of other rooms that runbooks look at.
const (
	incidentOpened   = "incident.opened"
	incidentLinked   = "incident.linked"
	incidentResolved = "incident.resolved"
)

var watched = []string{incidentOpened, incidentLinked, incidentResolved, "runbook."}

// Projections folds runs, desks and tallies.
func Projections() []*projection.Projection {
	return []*projection.Projection{
		projection.Define(projection.Fold[Run]{
			Name: ProjectionName, Version: 1, Types: []string{EventStarted, EventStepped, EventStopping, EventFinished},
			Keys:    func(e event.Event) []string { return keyOf(e, func(p Place) string { return p.Run }) },
			Apply:   func(_ string, r Run, e event.Event) (Run, error) { return r.apply(e) },
			Indexes: runIndexes,
		}),
		projection.Define(projection.Fold[Desk]{
			Name: deskName, Version: 1, Types: watched,
			Keys:  func(e event.Event) []string { return keyOf(e, placeKey) },
			Apply: func(_ string, d Desk, e event.Event) (Desk, error) { return d.apply(e) },
			Indexes: func(key string, d Desk) []projection.Index {
				if d.Incident == "" && len(d.Open) == 0 {
					return nil
				}
				return []projection.Index{{Name: "busy", Value: "yes", Sort: key}}
			},
		}),
		projection.Define(projection.Fold[Tally]{
			Name: tallyName, Version: 1, Types: []string{EventStarted, EventFinished, EventHeldBack},
			Keys:  func(e event.Event) []string { return keyOf(e, func(p Place) string { return p.Runbook }) },
			Apply: func(_ string, t Tally, e event.Event) (Tally, error) { return t.apply(e) },
		}),
	}
}

func keyOf(e event.Event, key func(Place) string) []string {
	p, err := event.Decode[Place](e)
	if k := key(p); err == nil && k != "" {
		return []string{k}
	}
	return nil
}

func placeKey(p Place) string {
	if p.Service == "" || p.Environment == "" {
		return ""
	}
	return Key(p.Service, p.Environment)
}

// Key names a service in an environment.
func Key(service, environment string) string { return service + "." + environment }

func runIndexes(_ string, r Run) []projection.Index {
	at := fmt.Sprintf("%020d", r.StartedAt.UnixMicro())
	out := []projection.Index{{Name: "all", Value: "yes", Sort: at}, {Name: "state", Value: r.State, Sort: at}, {Name: "runbook", Value: r.Runbook, Sort: at}}
	if r.Incident != "" {
		out = append(out, projection.Index{Name: "incident", Value: r.Incident, Sort: at})
	}
	return out
}

func (r Run) apply(e event.Event) (Run, error) {
	switch e.Type {
	case EventStarted:
		s, err := event.Decode[Started](e)
		return Run{
			Place: s.Place, Title: s.Title, State: StateRunning, Commit: s.Commit, Steps: s.Steps, Automatic: s.Automatic,
			Reason: s.Reason, By: e.Actor, StartedAt: e.Time, Event: e.ID,
		}, err
	case EventStepped:
		s, err := event.Decode[Stepped](e)
		if err == nil && s.Step == len(r.Results)+1 {
			r.Results = append(slices.Clip(r.Results), Result{Outcome: s.Outcome, Reason: s.Reason, By: e.Actor, At: e.Time, Seconds: s.Seconds})
		}
		return r, err
	case EventStopping:
		s, err := event.Decode[Said](e)
		r.Stopping = s.Reason
		return r, err
	}
	f, err := event.Decode[Finished](e)
	r.State, r.Ending, r.EndedAt, r.Saved = f.Outcome, f.Reason, e.Time, f.SavedSeconds
	return r, err
}

// happening is what a link of an incident says.
type happening struct {
	Severity  int    `json:"severity"`
	Title     string `json:"title"`
	Kind      string `json:"kind"`
	Role      string `json:"role"`
	Alert     string `json:"alert"`
	Objective string `json:"objective"`
	Rollout   string `json:"rollout"`
	Text      string `json:"text"`
}

const (
	roleTrigger   = "trigger"
	maxHappenings = 20
)

func (d Desk) apply(e event.Event) (Desk, error) {
	p, err := event.Decode[Place](e)
	if err != nil {
		return d, err
	}
	d.Service, d.Environment = p.Service, p.Environment
	if p.Team != "" {
		d.Team = p.Team
	}
	switch e.Type {
	case incidentOpened, incidentLinked:
		return d.happens(e, p)
	case incidentResolved:
		if d.Incident == p.Incident {
			d.Incident, d.Severity, d.Rollout, d.Happened = "", 0, "", nil
		}
	case EventStarted:
		s, err := event.Decode[Started](e)
		d.Open = append(slices.Clip(d.Open), p.Run)
		if s.Automatic != nil {
			d.answered(p.Runbook)
			d.Begun = slices.DeleteFunc(slices.Clone(d.Begun), func(b Begun) bool { return e.Time.Sub(b.At) > time.Hour })
			d.Begun = append(d.Begun, Begun{p.Runbook, e.Time})
		}
		return d, err
	case EventFinished:
		f, err := event.Decode[Finished](e)
		d.Open = slices.DeleteFunc(slices.Clone(d.Open), func(run string) bool { return run == p.Run })
		if f.Automatic {
			d.answered(p.Runbook) // what came meanwhile, too
		}
		return d, err
	case EventHeldBack:
		d.answered(p.Runbook)
	}
	return d, nil
}

func (d Desk) happens(e event.Event, p Place) (Desk, error) {
	h, err := event.Decode[happening](e)
	if err != nil {
		return d, err
	}
	if e.Type == incidentOpened {
		d.Incident, d.Happened, d.Through, d.Rollout = p.Incident, nil, nil, ""
		h.Text = cmp.Or(h.Text, h.Title)
	}
	d.Severity = cmp.Or(h.Severity, d.Severity)
	d.Rollout = cmp.Or(h.Rollout, d.Rollout)
	if e.Type == incidentLinked && h.Role != roleTrigger {
		return d, nil
	}
	d.Happened = append(slices.Clip(d.Happened), Happening{
		Event: e.ID, Position: e.Position, At: e.Time, Kind: h.Kind, Alert: h.Alert, Objective: h.Objective, Rollout: h.Rollout, Text: h.Text,
	})
	d.Happened = d.Happened[max(0, len(d.Happened)-maxHappenings):]
	return d, nil
}

// answered says that a runbook has seen to all that has happened so far.
func (d *Desk) answered(runbook string) {
	if len(d.Happened) == 0 {
		return
	}
	through := maps.Clone(d.Through)
	if through == nil {
		through = map[string]int64{}
	}
	through[runbook] = d.Happened[len(d.Happened)-1].Position
	d.Through = through
}

const keptTimes = 50

func (t Tally) apply(e event.Event) (Tally, error) {
	switch e.Type {
	case EventStarted:
		s, err := event.Decode[Started](e)
		if s.Automatic != nil {
			t.Automatic++
		} else {
			t.ByHand++
		}
		return t, err
	case EventHeldBack:
		t.HeldBack++
		return t, nil
	}
	f, err := event.Decode[Finished](e)
	switch f.Outcome {
	case OutcomeDone:
		t.Done++
		if !f.Automatic {
			t.Hand = append(slices.Clip(t.Hand), f.Seconds)
			t.Hand = t.Hand[max(0, len(t.Hand)-keptTimes):]
		}
	case OutcomeFailed:
		t.Failed++
	default:
		t.Stopped++
	}
	t.Saved += f.SavedSeconds
	return t, err
}

// byHand is the median of what runs by hand took; zero without any.
func (t Tally) byHand() float64 {
	if len(t.Hand) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(t.Hand))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Get reads one run.
func Get(ctx context.Context, r projection.Reader, name string) (Run, bool, error) {
	return projection.Get[Run](ctx, r, ProjectionName, name)
}
