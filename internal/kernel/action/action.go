// Package action makes side effects facts before they are acts.
//
// A controller proposes an action; it is recorded, then gated (policy, budget,
// approval), then run under its stable identifier, and its result is recorded:
//
//	proposed → blocked | awaiting approval | allowed → running → succeeded | failed
//	                         any state before running → superseded | rejected
//	                         running, between tries of a wish → superseded
//
// Budget gates, human approval, audit and retry are therefore one mechanism.
// Run is repeated until its result is recorded, so that inside Flyball an
// action takes effect once (its Type's Run is idempotent by identifier), and
// effects on others happen at least once, with that identifier to deduplicate by.
package action

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// The facts about actions. Their subject is the action's subject; the stream
// is the proposer's for action.proposed and action/ID for the rest.
const (
	EventProposed   = "action.proposed"   // data is Proposal
	EventGated      = "action.gated"      // data is Gated: blocked, awaiting approval or allowed, with its clauses
	EventApproved   = "action.approved"   // data is Answer
	EventRejected   = "action.rejected"   // data is Answer
	EventStarted    = "action.started"    // data is Ref; the effect may happen from here on
	EventAttempted  = "action.attempted"  // data is Attempt: one try failed, another follows
	EventSucceeded  = "action.succeeded"  // data is Result
	EventFailed     = "action.failed"     // data is Attempt: no further try
	EventSuperseded = "action.superseded" // data is Ref with the reason
)

// Proposal is an action somebody wants.
type Proposal struct {
	ID      string          `json:"id"`             // stable and unique
	Type    string          `json:"type"`           // such as "traffic.shift"
	Subject string          `json:"subject"`        // such as "rollout/checkout-42"
	Slot    string          `json:"slot,omitempty"` // of actions in one slot that have not started, or are wishes, only the newest stays
	Reason  string          `json:"reason"`         // for a person
	Params  json.RawMessage `json:"params"`         // for the Type
	Order   int64           `json:"order,omitempty"`
}

// Params marshals parameters; it panics on a type JSON cannot hold, which is a
// mistake in the code.
func Params(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("action: parameters: %v", err))
	}
	return b
}

// Phase is how far an action has come.
type Phase string

// The phases.
const (
	Proposed   Phase = "proposed"
	Blocked    Phase = "blocked"
	Awaiting   Phase = "awaiting approval"
	Allowed    Phase = "allowed"
	Running    Phase = "running"
	Succeeded  Phase = "succeeded"
	Failed     Phase = "failed"
	Rejected   Phase = "rejected"
	Superseded Phase = "superseded"
)

// Done reports whether nothing more will happen.
func (p Phase) Done() bool {
	return p == Succeeded || p == Failed || p == Rejected || p == Superseded
}

// Pending reports whether the action has not started and may still.
func (p Phase) Pending() bool { return p == Proposed || p == Blocked || p == Awaiting }

// Clause is one condition of a gate, with the values it was judged by.
type Clause struct {
	Name    string `json:"name"`              // such as "error budget"
	Verdict string `json:"verdict"`           // pass, fail, wait or info
	Detail  string `json:"detail"`            // the rule and the numbers, for a person
	Unblock string `json:"unblock,omitempty"` // what would turn a fail or wait into a pass
}

// Gated is the outcome of one look at an action's gate.
type Gated struct {
	ID      string          `json:"id"`
	Phase   Phase           `json:"phase"` // Blocked, Awaiting or Allowed
	Clauses []Clause        `json:"clauses,omitempty"`
	Reason  string          `json:"reason"`
	Inputs  json.RawMessage `json:"inputs,omitempty"` // view and readings, to recompute the gate
	Now     time.Time       `json:"now"`
	Extra   json.RawMessage `json:"extra,omitempty"` // what the gate passes to the run, such as a budget share
}

// Answer is a person's approval or rejection.
type Answer struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Ref names an action, with a reason where one is due.
type Ref struct {
	ID     string `json:"id"`
	Reason string `json:"reason,omitempty"`
}

// Attempt is one try that failed.
type Attempt struct {
	ID      string `json:"id"`
	Attempt int    `json:"attempt"`
	Error   string `json:"error"`
}

// Result is what an action gave.
type Result struct {
	ID     string          `json:"id"`
	Output json.RawMessage `json:"output,omitempty"`
}

// Action is the folded state of one action.
type Action struct {
	Proposal
	Phase      Phase           `json:"phase"`
	ProposedAt time.Time       `json:"proposed_at"`
	Position   int64           `json:"position"` // of the proposal
	Cause      string          `json:"cause,omitempty"`
	Gate       *Gated          `json:"gate,omitempty"`
	Approvals  []Approval      `json:"approvals,omitempty"`
	StartedAt  time.Time       `json:"started_at,omitzero"`
	EndedAt    time.Time       `json:"ended_at,omitzero"`
	Attempts   int             `json:"attempts"`
	Error      string          `json:"error,omitempty"`
	Output     json.RawMessage `json:"output,omitempty"`
}

// Approval is who agreed, when and why.
type Approval struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// ProjectionName is where actions are folded, keyed by identifier, indexed by
// "phase", "subject", "type" and "slot".
const ProjectionName = "action"

// Projection folds actions.
func Projection() *projection.Projection {
	return projection.Define(projection.Fold[Action]{
		Name: ProjectionName, Version: 2, Types: []string{"action."},
		Keys: func(e event.Event) []string {
			ref, err := event.Decode[Ref](e)
			if err != nil || ref.ID == "" {
				return nil
			}
			return []string{ref.ID}
		},
		Apply:   func(_ string, a Action, e event.Event) (Action, error) { return a.apply(e) },
		Indexes: indexes,
	})
}

func indexes(_ string, a Action) []projection.Index {
	order := fmt.Sprintf("%019d", a.Position)
	out := []projection.Index{
		{Name: "phase", Value: string(a.Phase), Sort: order},
		{Name: "subject", Value: a.Subject, Sort: order},
		{Name: "type", Value: a.Type, Sort: order},
	}
	if !a.Phase.Done() {
		out = append(out, projection.Index{Name: "open", Value: "yes", Sort: order})
	}
	if a.Slot != "" && !a.Phase.Done() {
		out = append(out, projection.Index{Name: "slot", Value: a.Slot, Sort: order})
	}
	return out
}

func (a Action) apply(e event.Event) (Action, error) {
	var err error
	switch e.Type {
	case EventProposed:
		a.Proposal, err = event.Decode[Proposal](e)
		a.Phase, a.ProposedAt, a.Position, a.Cause = Proposed, e.Time, e.Position, e.Cause
	case EventGated:
		var g Gated
		g, err = event.Decode[Gated](e)
		a.Gate, a.Phase = &g, g.Phase
	case EventApproved:
		var answer Answer
		answer, err = event.Decode[Answer](e)
		a.Approvals = append(a.Approvals[:len(a.Approvals):len(a.Approvals)], Approval{By: e.Actor, At: e.Time, Reason: answer.Reason})
	case EventRejected:
		a.Phase, a.EndedAt = Rejected, e.Time
	case EventStarted:
		a.Phase, a.StartedAt = Running, e.Time
	case EventAttempted, EventFailed:
		var t Attempt
		t, err = event.Decode[Attempt](e)
		a.Attempts, a.Error = t.Attempt, t.Error
		if e.Type == EventFailed {
			a.Phase, a.EndedAt = Failed, e.Time
		}
	case EventSucceeded:
		var r Result
		r, err = event.Decode[Result](e)
		a.Output, a.Phase, a.EndedAt, a.Error = r.Output, Succeeded, e.Time, ""
	case EventSuperseded:
		a.Phase, a.EndedAt = Superseded, e.Time
	}
	return a, err
}
