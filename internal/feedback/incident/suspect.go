package incident

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Suspect is a change that may have caused an incident, with what speaks for it
// and against it.
type Suspect struct {
	Kind        string    `json:"kind" doc:"rollout, resource, override or event"`
	Name        string    `json:"name" doc:"of the rollout or resource"`
	Service     string    `json:"service"`
	Environment string    `json:"environment,omitempty"`
	Change      string    `json:"change,omitempty"`
	Revision    string    `json:"revision,omitempty"`
	At          time.Time `json:"at" doc:"when it was made, or took the share that trouble followed"`
	State       string    `json:"state,omitempty" doc:"moving, promoted, rolled_back or aborted"`
	Score       int       `json:"score" doc:"0 to 100: points for evidence, no probability"`
	Why         []string  `json:"why" doc:"the evidence in words, weightiest first"`
	Timing      string    `json:"timing" doc:"how it lies in time, in words; also in why"`
	Undo        string    `json:"undo,omitempty" doc:"operation that takes it back: rollout.abort or release.rollback"`
}

// Evidence weighs so many points.
const (
	pointsSame       = 30  // the same service
	pointsNear       = 20  // what it depends on
	pointsFar        = 10  // what that depends on
	pointsAtOnce     = 40  // it began within two minutes
	pointsSoon       = 30  // within ten
	pointsHour       = 15  // within an hour
	pointsWentBack   = 15  // it was taken back because it failed
	pointsFixed      = 15  // users were no longer hurt soon after
	pointsStillHurts = -35 // it has been gone for long, and users are still hurt
	pointsIndirect   = -10 // no new revision: a file, an override, somebody's word
	pointsNamed      = 100 // a person named it
)

const (
	// A rollout before that is not suspected; of files and the like it is an hour.
	lookBack    = 24 * time.Hour
	gone        = 10 * time.Minute
	maxSuspects = 20
)

// near says how a changed service stands to the one that is hurt: 0 is itself.
type near struct {
	distance int
	via      string // the service that depends on it
}

// accused is what suspects are ranked by.
type accused struct {
	incident Incident
	onset    Onset
	near     map[string]near
	now      time.Time
}

// rank weighs every change; the most suspect is first.
func (a accused) rank(changes []Change) []Suspect {
	var out []Suspect
	for _, c := range changes {
		if s, ok := a.weigh(c); ok {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(x, y Suspect) int {
		return cmp.Or(cmp.Compare(y.Score, x.Score), y.At.Compare(x.At))
	})
	replaced(changes, out)
	return out[:min(len(out), maxSuspects)]
}

// replaced says which promoted revisions serve no more: going back would take
// back another one.
func replaced(changes []Change, suspects []Suspect) {
	last := map[string]string{}
	for _, c := range changes {
		if c.Kind == ChangeRollout && c.Outcome == "promoted" {
			last[Key(c.Service, c.Environment)] = c.Name
		}
	}
	for i, s := range suspects {
		if s.State == "promoted" && last[Key(s.Service, s.Environment)] != s.Name {
			suspects[i].Undo, suspects[i].State = "", "replaced"
		}
	}
}

// argument is one piece of evidence.
type argument struct {
	points int
	text   string
}

// weigh weighs one change; ok is false for one that cannot be the cause.
func (a accused) weigh(c Change) (Suspect, bool) {
	n, known := a.near[c.Service]
	elsewhere := c.Environment != "" && c.Environment != a.incident.Environment
	at, what, ok := a.exposed(c)
	if !known || elsewhere || !ok {
		return Suspect{}, false
	}
	s := Suspect{Kind: c.Kind, Name: c.Name, Service: c.Service, Environment: c.Environment, Change: c.Change, Revision: c.Revision, At: at, State: cmp.Or(c.Outcome, "moving")}
	if c.Kind != ChangeRollout {
		s.State = ""
	}
	timing := a.timing(at, what)
	s.Timing = timing.text
	evidence := []argument{timing, n.argument(c.Service)}
	if c.Kind != ChangeRollout {
		evidence = append(evidence, argument{pointsIndirect, c.Text})
	}
	evidence = append(evidence, a.aftermath(c)...)
	for _, l := range a.incident.Links {
		if l.Role == RoleCulprit && l.Rollout != "" && l.Rollout == c.Name {
			evidence = append(evidence, argument{pointsNamed, "named as the cause: " + l.Text})
		}
	}
	slices.SortStableFunc(evidence, func(x, y argument) int { return cmp.Compare(max(y.points, -y.points), max(x.points, -x.points)) })
	for _, e := range evidence {
		s.Score += e.points
		if e.text != "" {
			s.Why = append(s.Why, e.text)
		}
	}
	s.Score = min(max(s.Score, 1), 100)
	switch {
	case c.Kind == ChangeRollout && c.Outcome == "":
		s.Undo = "rollout.abort"
	case c.Kind == ChangeRollout && c.Outcome == "promoted" && c.From != "":
		s.Undo = "release.rollback"
	}
	return s, true
}

// exposed is the last moment before the trouble at which more users met the
// change, and how that is said.
func (a accused) exposed(c Change) (at time.Time, what string, ok bool) {
	latest := a.onset.At.Add(max(a.onset.Width, time.Second)) // a cause comes first, as far as is known
	if c.Kind != ChangeRollout {
		return c.At, "it was made", c.At.Before(latest) && a.onset.At.Sub(c.At) <= time.Hour
	}
	for _, s := range c.Steps {
		if !s.At.Before(latest) {
			break
		}
		at, what, ok = s.At, fmt.Sprintf("it took %g %%", float64(s.Weight)/100), true
	}
	if ok && !c.EndedAt.IsZero() && c.Outcome != "promoted" && c.EndedAt.Before(a.onset.At) {
		ok = false // nobody met it any more
	}
	return at, what, ok && a.onset.At.Sub(at) <= lookBack
}

func (a accused) timing(at time.Time, what string) argument {
	after := a.onset.At.Sub(at)
	points := 0
	switch {
	case after <= 2*time.Minute:
		points = pointsAtOnce
	case after <= 10*time.Minute:
		points = pointsSoon
	case after <= time.Hour:
		points = pointsHour
	}
	switch {
	case after <= 0:
		return argument{points, fmt.Sprintf("trouble began within %s of when %s", words(max(a.onset.Width, time.Second)), what)}
	case a.onset.Width > 0 && after < a.onset.Width:
		return argument{points, fmt.Sprintf("trouble began within %s after %s", words(a.onset.Width), what)}
	}
	return argument{points, fmt.Sprintf("trouble began %s after %s", words(after), what)}
}

func (n near) argument(service string) argument {
	switch n.distance {
	case 0:
		return argument{pointsSame, "the same service"}
	case 1:
		return argument{pointsNear, fmt.Sprintf("%s depends on %s", n.via, service)}
	}
	return argument{pointsFar, fmt.Sprintf("%s, on which it depends through others, depends on %s", n.via, service)}
}

// aftermath is what happened after a rollout was taken back.
func (a accused) aftermath(c Change) (out []argument) {
	if c.Outcome != "rolled_back" && c.Outcome != "aborted" {
		return nil
	}
	if c.Outcome == "rolled_back" {
		text := "it was taken back because it failed"
		if c.Requests > 0 {
			text = fmt.Sprintf("it was taken back: %d of its %d requests were bad", c.Bad, c.Requests)
		}
		out = append(out, argument{pointsWentBack, text})
	}
	better := a.incident.MitigatedAt
	if better.IsZero() {
		better = a.incident.ResolvedAt
	}
	switch {
	case !better.IsZero() && !better.Before(c.EndedAt) && better.Sub(c.EndedAt) <= gone:
		out = append(out, argument{pointsFixed, fmt.Sprintf("users were no longer hurt %s after it was gone", words(better.Sub(c.EndedAt)))})
	case better.IsZero() && a.now.Sub(c.EndedAt) > gone, !better.IsZero() && better.Sub(c.EndedAt) > gone:
		until := a.now
		if !better.IsZero() {
			until = better
		}
		out = append(out, argument{pointsStillHurts, fmt.Sprintf("users were still hurt %s after it was gone", words(until.Sub(c.EndedAt)))})
	}
	return out
}

// words writes a length of time as people say it.
func words(d time.Duration) string {
	switch {
	case d < 90*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 90*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.1f h", d.Hours())
}
