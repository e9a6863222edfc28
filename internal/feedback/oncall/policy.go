package oncall

import (
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// EscalationSpec says whom to page, and whom next while nobody answers.
type EscalationSpec struct {
	Description string   `json:"description,omitempty"` // one line
	Steps       []Step   `json:"steps"`
	Repeat      int      `json:"repeat,omitempty"`     // how often the steps are gone through again
	Then        string   `json:"then,omitempty"`       // an EscalationPolicy that goes on after that
	LastResort  []Target `json:"lastResort,omitempty"` // paged when nobody has answered, or nobody is on call
}

// Step is one round of pages.
type Step struct {
	Notify     []Target      `json:"notify"`
	Wait       time.Duration `json:"wait,omitempty"`       // for an answer, before the next step; default 5m
	RoundRobin bool          `json:"roundRobin,omitempty"` // one of them, another with each incident
}

// Target is whom a step pages: one of the five.
type Target struct {
	Person    string `json:"person,omitempty"`
	Schedule  string `json:"schedule,omitempty"` // whoever is on call
	Team      string `json:"team,omitempty"`     // its webhooks; without any, its members
	Webhook   string `json:"webhook,omitempty"`  // an address
	SecretEnv string `json:"secretEnv,omitempty"`
	Channel   string `json:"channel,omitempty"` // a Channel, such as a room where everybody reads along
	To        string `json:"to,omitempty"`      // address in it
}

// String is the target as people say it.
func (t Target) String() string {
	switch {
	case t.Person != "":
		return t.Person
	case t.Schedule != "":
		return "schedule " + t.Schedule
	case t.Team != "":
		return "team " + t.Team
	case t.Channel != "":
		return channel.Contact{Channel: t.Channel, To: t.To}.String()
	}
	return "a webhook"
}

// Bounds of one policy.
const (
	maxSteps   = 20
	maxTargets = 50
	maxRepeat  = 10
	maxThen    = 10
)

func escalationDefaults(_ resource.Metadata, e *EscalationSpec) {
	for i := range e.Steps {
		if e.Steps[i].Wait == 0 {
			e.Steps[i].Wait = 5 * time.Minute
		}
	}
}

func validateEscalation(c *resource.Checker, e *EscalationSpec) { checkEscalation(c, e, true) }

func checkEscalation(c *resource.Checker, e *EscalationSpec, teams bool) {
	if len(e.Steps) == 0 {
		c.Errorf("steps", "required", "a policy without steps pages nobody; give at least one")
	}
	bounded(c, "steps", len(e.Steps), maxSteps)
	if e.Repeat < 0 || e.Repeat > maxRepeat {
		c.Errorf("repeat", "range", "repeat is %d; it must be between 0 and %d", e.Repeat, maxRepeat)
	}
	for i, s := range e.Steps {
		at := fmt.Sprintf("steps[%d]", i)
		if len(s.Notify) == 0 {
			c.Errorf(at+".notify", "required", "a step without targets pages nobody; name a person, schedule, team, webhook or channel")
		}
		if s.Wait < 10*time.Second || s.Wait > 24*time.Hour {
			c.Errorf(at+".wait", "range", "wait is %s; it must be between 10s and 24h", s.Wait)
		}
		checkTargets(c, at+".notify", s.Notify, teams)
	}
	checkTargets(c, "lastResort", e.LastResort, teams)
	if len(e.LastResort) == 0 && e.Then == "" {
		c.Warnf("lastResort", "no-last-resort", "without a last resort nobody is paged while nobody is on call")
	}
	checkThen(c, e)
}

func checkTargets(c *resource.Checker, at string, targets []Target, teams bool) {
	bounded(c, at, len(targets), maxTargets)
	for i, t := range targets {
		path := fmt.Sprintf("%s[%d]", at, i)
		n := 0
		for _, s := range []string{t.Person, t.Schedule, t.Team, t.Webhook, t.Channel} {
			if s != "" {
				n++
			}
		}
		if n != 1 {
			c.Errorf(path, "exclusive", "a target is one of person, schedule, team, webhook and channel; this has %d of them", n)
		}
		if t.Person != "" {
			knownPerson(c, path+".person", t.Person)
		}
		c.Refers(path+".schedule", KindSchedule, t.Schedule)
		if teams {
			c.Refers(path+".team", catalog.KindTeam, t.Team)
			if t.Channel != "" {
				channel.Check(c, path, channel.Contact{Channel: t.Channel, To: t.To})
			}
		}
		if t.Webhook != "" && !strings.HasPrefix(t.Webhook, "http://") && !strings.HasPrefix(t.Webhook, "https://") {
			c.Errorf(path+".webhook", "format", "%q is not an http or https address", t.Webhook)
		}
	}
}

// checkThen follows the policies that go on after one another.
func checkThen(c *resource.Checker, e *EscalationSpec) {
	c.Refers("then", KindEscalation, e.Then)
	path := []string{c.Object.Metadata.Name}
	for next := e.Then; next != ""; {
		path = append(path, next)
		if next == path[0] {
			c.Errorf("then", "cycle", "the policies go round for ever: %s; leave out one then", strings.Join(path, " → "))
			return
		}
		if len(path) > maxThen {
			c.Errorf("then", "range", "more than %d policies follow one another: %s", maxThen, strings.Join(path, " → "))
			return
		}
		o := c.Set.Find(KindEscalation, next)
		if o == nil {
			return // reported where it is named
		}
		next = o.Spec.(*EscalationSpec).Then
	}
}
