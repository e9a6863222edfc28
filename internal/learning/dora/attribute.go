package dora

import (
	"cmp"
	"slices"
	"time"
)

// History is what is known of one service in one environment.
type History struct {
	Pushes      []Push
	Deployments []Deployment // those that have ended
	Incidents   []Incident
}

// Delivery is a deployment with what it brought and how it went.
type Delivery struct {
	Deployment
	Changes   []Lead   `json:"changes,omitempty"` // brought to this environment for the first time
	Unknown   bool     `json:"unknown,omitempty"` // its push was never recorded, so it has no lead time
	Verdict   string   `json:"verdict"`           // good, failed, caught or aborted
	Evidence  string   `json:"evidence,omitempty"`
	Suspected []string `json:"suspected,omitempty"` // incidents that began shortly after it; no proof, not counted
	Undid     string   `json:"undid,omitempty"`     // of a rollback: the rollout it undid
	Failure   *Outage  `json:"failure,omitempty"`
	Rework    bool     `json:"rework,omitempty"` // unplanned: it brings a change marked as a fix
}

// The verdicts on a delivery.
const (
	VerdictGood    = "good"
	VerdictFailed  = "failed"  // it reached users and hurt them
	VerdictCaught  = "caught"  // it was taken back before everybody had it
	VerdictAborted = "aborted" // somebody took it back
)

// Lead is the time one change took, by two clocks.
type Lead struct {
	Change      string        `json:"change"`
	Commits     int           `json:"commits"` // new to this environment
	FirstCommit time.Duration `json:"first_commit_ns"`
	Push        time.Duration `json:"push_ns"`
	Skewed      bool          `json:"skewed,omitempty"` // a clock was ahead: a negative time counts as none
}

// Outage is a span in which users were hurt.
type Outage struct {
	Cause string    `json:"cause"` // rollout or incident
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended,omitzero"` // zero: not over
}

// Attribute goes through a history in order of time and says what each
// deployment brought, and which failed.
//
// A change is attributed once, to the deployment by which it first served
// everybody: the set difference between what is reachable from the commit and
// what has been delivered, so that a release that takes several pushes along
// counts them all, and one that goes back counts none.
func Attribute(h History) []Delivery {
	a := attribution{delivered: map[string]bool{}, visited: map[string]bool{}, byCommit: map[string]Push{}}
	for _, p := range h.Pushes {
		if known, ok := a.byCommit[p.Commit]; !ok || p.PushedAt.Before(known.PushedAt) {
			a.byCommit[p.Commit] = p
		}
	}
	deployments := slices.Clone(h.Deployments)
	slices.SortStableFunc(deployments, func(x, y Deployment) int {
		return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Rollout, y.Rollout))
	})
	var out []Delivery
	for _, d := range deployments {
		out = append(out, a.deliver(d))
	}
	blame(out, h.Incidents)
	a.rework(out)
	return out
}

type attribution struct {
	byCommit  map[string]Push
	delivered map[string]bool // commits
	visited   map[string]bool // commits whose push, and all before it, was walked
	begun     bool
	running   string // commit
}

func (a *attribution) deliver(d Deployment) Delivery {
	out := Delivery{Deployment: d}
	if d.Outcome != outcomePromoted {
		out.Verdict = VerdictCaught
		if d.Outcome == "aborted" {
			out.Verdict = VerdictAborted
		}
		out.Kind = cmp.Or(d.Kind, kindDeploy)
		return out
	}
	out.Verdict = VerdictGood
	known := a.delivered[d.Commit]
	out.Changes, out.Unknown = a.walk(d)
	switch {
	case !a.begun:
		// What was there before Flyball has no lead time.
		out.Kind, out.Changes, out.Unknown = kindBaseline, nil, false
	case d.Kind == kindRollback || d.Kind == kindRedeploy:
		out.Kind, out.Unknown = d.Kind, false
	case known && d.Commit == a.running:
		out.Kind, out.Unknown = kindRedeploy, false
	case known:
		out.Kind, out.Unknown = kindRollback, false
	default:
		out.Kind = kindDeploy
	}
	a.begun, a.running = true, d.Commit
	return out
}

// walk marks everything reachable from a deployment as delivered and gives the
// lead times of the changes that were not, oldest first.
func (a *attribution) walk(d Deployment) (leads []Lead, unknown bool) {
	_, pushed := a.byCommit[d.Commit]
	for commit := d.Commit; commit != "" && !a.visited[commit]; {
		a.visited[commit] = true
		p, ok := a.byCommit[commit]
		if !ok {
			break
		}
		if lead, fresh := a.lead(p, d.At); fresh {
			leads = append(leads, lead)
		}
		commit = p.Previous
	}
	a.delivered[d.Commit] = true
	slices.Reverse(leads)
	return leads, !pushed
}

// lead is a change's lead time over those of its commits that are new here.
func (a *attribution) lead(p Push, at time.Time) (l Lead, fresh bool) {
	var first time.Time
	l.Change = p.Change
	for _, c := range p.Commits {
		if a.delivered[c.SHA] {
			continue
		}
		a.delivered[c.SHA] = true
		l.Commits++
		if !c.Authored.IsZero() && (first.IsZero() || c.Authored.Before(first)) {
			first = c.Authored
		}
	}
	if len(p.Commits) == 0 && !a.delivered[p.Commit] {
		l.Commits = 1
	}
	a.delivered[p.Commit] = true
	if first.IsZero() {
		first = p.PushedAt
	}
	l.FirstCommit, l.Push = at.Sub(first), at.Sub(p.PushedAt)
	if l.FirstCommit < 0 || l.Push < 0 {
		l.FirstCommit, l.Push, l.Skewed = max(l.FirstCommit, 0), max(l.Push, 0), true
	}
	return l, l.Commits > 0
}

// blame marks the deployments that failed, on evidence:
//
//   - a rollback undid it;
//   - it was being taken back when users were hurt enough to page somebody;
//   - a person named it as the cause of an incident that hurt users.
//
// That it merely came before an incident is a suspicion, listed and not
// counted: blaming the latest deployment for everything blames the wrong one.
func blame(deliveries []Delivery, incidents []Incident) {
	byRollout := map[string]*Delivery{}
	for i := range deliveries {
		byRollout[deliveries[i].Rollout] = &deliveries[i]
	}
	undo(deliveries, incidents)
	for _, i := range incidents {
		if i.Severity > severityUsersAreHurt {
			continue
		}
		for _, name := range i.TakenBack {
			d := byRollout[name]
			if d != nil && d.Verdict == VerdictCaught && d.Failure == nil {
				d.fail(Outage{Cause: name, Began: earlier(i.BeganAt, d.At), Ended: d.At}, "taken back after "+i.Incident+" had begun")
			}
		}
		for _, c := range i.Culprits {
			if d := byRollout[c.Rollout]; d != nil {
				d.fail(Outage{Cause: c.Rollout, Began: i.BeganAt, Ended: i.OverAt}, "named by "+c.By+" as the cause of "+i.Incident)
			}
		}
		for _, name := range i.Suspects {
			if d := byRollout[name]; d != nil {
				d.Suspected = append(d.Suspected, i.Incident)
			}
		}
	}
}

// undo follows what runs and marks what rollbacks undid.
func undo(deliveries []Delivery, incidents []Incident) {
	var running *Delivery
	before := map[string]*Delivery{} // by commit
	for i := range deliveries {
		d := &deliveries[i]
		if d.Outcome != outcomePromoted {
			continue
		}
		if d.Kind == kindRollback && running != nil && running.Commit != d.Commit {
			d.Undid = running.Rollout
			running.fail(Outage{Cause: running.Rollout, Began: onset(running.At, d.At, incidents), Ended: d.At}, "undone by "+d.Rollout)
		}
		if d.Kind == kindRollback || d.Kind == kindRedeploy {
			if original := before[d.Commit]; original != nil {
				running = original
				continue
			}
		}
		running = d
		before[d.Commit] = d
	}
}

func (d *Delivery) fail(o Outage, evidence string) {
	if d.Failure == nil {
		d.Verdict, d.Evidence, d.Failure = VerdictFailed, evidence, &o
	}
}

// onset is when trouble that ended at a rollback began: with the first incident
// that hurt users meanwhile, else with the deployment.
func onset(from, to time.Time, incidents []Incident) time.Time {
	var first time.Time
	for _, i := range incidents {
		within := !i.BeganAt.Before(from) && i.BeganAt.Before(to)
		if i.Severity <= severityUsersAreHurt && within && (first.IsZero() || i.BeganAt.Before(first)) {
			first = i.BeganAt
		}
	}
	if first.IsZero() {
		return from
	}
	return first
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// rework marks deliveries nobody had planned: those that bring a change marked
// as a fix.
func (a *attribution) rework(deliveries []Delivery) {
	marks := map[string]string{}
	for _, p := range a.byCommit {
		marks[p.Change] = p.Mark
	}
	for i := range deliveries {
		for _, l := range deliveries[i].Changes {
			deliveries[i].Rework = deliveries[i].Rework || marks[l.Change] == markFix
		}
	}
}
