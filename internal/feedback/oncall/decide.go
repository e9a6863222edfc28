package oncall

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/channel"
)

// Standing is a policy with everybody it would page at one moment. It is the
// Reading that a decision sees.
type Standing struct {
	Policy     string      `json:"policy"`
	Rounds     []Round     `json:"rounds"` // every step, as often as it is repeated
	LastResort []Recipient `json:"last_resort"`
}

// Round is one step of a policy, gone through once.
type Round struct {
	Step       int           `json:"step"`    // from 1
	Attempt    int           `json:"attempt"` // from 1; above when the steps are repeated
	Wait       time.Duration `json:"wait"`    // nanoseconds
	RoundRobin bool          `json:"round_robin,omitempty"`
	Notify     []Recipient   `json:"notify"`
	Empty      string        `json:"empty,omitempty"` // why there is nobody, or somebody is missing
}

// Recipient is one person, or one webhook, that can be paged.
type Recipient struct {
	Name       string            `json:"name"`
	Person     bool              `json:"person,omitempty"` // somebody who can answer, not a webhook or a room
	Via        string            `json:"via,omitempty"`    // how they came to be paged, such as schedule payments
	Contacts   []channel.Contact `json:"contacts"`
	High       []Stage           `json:"high,omitempty"`       // what is tried when, in place of contacts
	Low        []Stage           `json:"low,omitempty"`        // the same for what can wait
	QuietUntil time.Time         `json:"quiet_until,omitzero"` // quiet hours: what can wait, waits until then
}

// Stage is contacts tried in order until one accepts, some time after the page
// unless somebody has answered.
type Stage struct {
	After    time.Duration     `json:"after"` // nanoseconds
	Contacts []channel.Contact `json:"contacts"`
}

// Stages is what is tried when to reach somebody.
func (r Recipient) Stages(canWait bool) []Stage {
	stages := r.High
	if canWait {
		stages = r.Low
	}
	if len(stages) == 0 {
		return []Stage{{Contacts: r.Contacts}}
	}
	return stages
}

// stages resolves a person's rules: the contact of each, and after it the
// others, lest a page be lost with one channel.
func stages(rules []Rule, contacts []channel.Contact) (out []Stage) {
	for _, rule := range rules {
		s := Stage{After: rule.After}
		for _, k := range contacts {
			if k.Name == rule.Contact {
				s.Contacts = append([]channel.Contact{k}, s.Contacts...)
			} else {
				s.Contacts = append(s.Contacts, k)
			}
		}
		out = append(out, s)
	}
	return out
}

// Escalation is how far the pages for one thing have gone.
type Escalation struct {
	Policy  string    `json:"policy"`
	Next    int       `json:"next"`              // round to page next, from 0
	Due     time.Time `json:"due"`               // when, unless somebody answers
	Turn    int       `json:"turn"`              // how many escalations by this policy were begun before; for round robin
	Paged   int       `json:"paged"`             // people paged so far
	Stopped bool      `json:"stopped,omitempty"` // somebody has answered
	Done    bool      `json:"done,omitempty"`    // everybody was paged
}

// Live reports whether more pages may come.
func (e Escalation) Live() bool { return !e.Stopped && !e.Done }

// Calls is whom to page now.
type Calls struct {
	After      Escalation  // how far it has gone then
	Recipients []Recipient // in order; empty when nobody is left
	Step       int         // from 1; 0 is the last resort
	Attempt    int         // from 1
	Reason     string      // for a person
}

// Next decides whom to page now, if it is time. ok is false when there is
// nothing to do yet; wake is when to ask again (zero: only when something
// happens). canWait says that nobody need be woken: quiet hours are kept.
func Next(e Escalation, s Standing, canWait bool, now time.Time) (c Calls, ok bool, wake time.Time) {
	if !e.Live() {
		return c, false, time.Time{}
	}
	if now.Before(e.Due) {
		return c, false, e.Due
	}
	var skipped []string
	for i := e.Next; i < len(s.Rounds); i++ {
		r := s.Rounds[i]
		awake, quiet := split(r.Notify, canWait, now)
		if len(awake) == 0 && !quiet.IsZero() {
			return c, false, quiet
		}
		if len(awake) == 0 {
			skipped = append(skipped, fmt.Sprintf("step %d has nobody (%s)", r.Step, r.Empty))
			continue
		}
		if r.RoundRobin {
			awake = []Recipient{awake[(e.Turn+r.Attempt-1)%len(awake)]}
		}
		e.Next, e.Due, e.Paged = i+1, now.Add(r.Wait), e.Paged+len(awake)
		return Calls{After: e, Recipients: awake, Step: r.Step, Attempt: r.Attempt, Reason: because(skipped, e, r)}, true, e.Due
	}
	why := "nobody has answered"
	if e.Paged == 0 {
		why = "nobody is on call"
	}
	if len(skipped) > 0 {
		why += ": " + strings.Join(slices.Compact(skipped), ", ")
	}
	e.Done, e.Next = true, max(e.Next, len(s.Rounds))
	e.Paged += len(s.LastResort)
	if len(s.LastResort) == 0 {
		return Calls{After: e, Attempt: 1, Reason: why + "; there is no last resort"}, true, time.Time{}
	}
	return Calls{After: e, Recipients: s.LastResort, Attempt: 1, Reason: why + "; the last resort is paged"}, true, time.Time{}
}

func because(skipped []string, e Escalation, r Round) string {
	reason := fmt.Sprintf("step %d of %s", r.Step, e.Policy)
	if r.Attempt > 1 {
		reason += fmt.Sprintf(", attempt %d", r.Attempt)
	}
	if e.Next > 1 && len(skipped) == 0 {
		reason += ": nobody has answered"
	}
	if len(skipped) > 0 {
		reason += ": " + strings.Join(skipped, ", ")
	}
	return reason
}

// split parts those who may be paged now from those whose quiet hours are kept,
// and says when the first of these end.
func split(all []Recipient, canWait bool, now time.Time) (awake []Recipient, quiet time.Time) {
	for _, r := range all {
		if !canWait || !r.QuietUntil.After(now) {
			awake = append(awake, r)
		} else if quiet.IsZero() || r.QuietUntil.Before(quiet) {
			quiet = r.QuietUntil
		}
	}
	return awake, quiet
}
