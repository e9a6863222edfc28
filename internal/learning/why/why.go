package why

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Gate is the pure part of an action type.
type Gate func(in control.GateInput, now time.Time) (action.Gated, time.Time)

// Desk answers. Replayers are the controllers by name, Gates the gates by
// action type.
type Desk struct {
	Log       event.Log
	Reader    projection.Reader
	Replayers map[string]control.Replayer
	Gates     map[string]Gate
}

// Input names what is asked about.
type Input struct {
	Subject string `json:"subject" arg:"1" doc:"what to explain: a service, or such as change/checkout-3f2a91c, release/…, rollout/…, objective/… or incident/…"`
	All     bool   `json:"all" doc:"every decision, not only those that changed something"`
}

// Answer is everything the log says of a subject's decisions.
type Answer struct {
	Subject   string     `json:"subject"`
	Decisions []Decision `json:"decisions"` // oldest first
	Chain     []Link     `json:"chain"`     // from the last decision back to where it began
}

// Decision is one decision, recomputed.
type Decision struct {
	Event      string          `json:"event"` // ID of the event that records it
	Subject    string          `json:"subject"`
	At         time.Time       `json:"at"`
	Controller string          `json:"controller"`
	Verdict    string          `json:"verdict"`
	Rule       string          `json:"rule,omitempty"`
	Reason     string          `json:"reason"`
	Evidence   json.RawMessage `json:"evidence,omitempty"`
	Clauses    []action.Clause `json:"clauses,omitempty"` // of a gate
	Same       bool            `json:"same"`              // recomputed from the stored inputs: the same verdict
	Error      string          `json:"error,omitempty"`   // why it could not be recomputed
}

// Link is one event in the chain of causes.
type Link struct {
	Event   string    `json:"event"`
	Type    string    `json:"type"`
	Subject string    `json:"subject"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Text    string    `json:"text,omitempty"`
}

// Bounds of one answer.
const (
	maxEvents = 20_000
	maxChain  = 40
)

// Explain answers for a subject: from the decisions recorded under its name,
// or else from those about what belongs to it.
func (d *Desk) Explain(ctx context.Context, in Input) (Answer, error) {
	out := Answer{Subject: in.Subject, Decisions: []Decision{}}
	last, err := d.gather(ctx, &out, in, related{Subject: in.Subject})
	if err != nil {
		return out, err
	}
	if last == "" {
		others, err := d.subjects(ctx, in.Subject)
		if err != nil {
			return out, err
		}
		for _, r := range others {
			id, err := d.gather(ctx, &out, in, r)
			if err != nil {
				return out, err
			}
			if id != "" {
				last = id
			}
		}
		slices.SortStableFunc(out.Decisions, func(a, b Decision) int { return a.At.Compare(b.At) })
	}
	if last == "" {
		return out, problem.New(problem.NotFound, "why.show", "nothing was decided automatically about %q", in.Subject).
			WithNext("subjects are a service, or such as change/NAME, release/NAME, rollout/NAME, incident/NAME, objective/SERVICE.ENVIRONMENT.NAME; flyball rollout list shows rollouts")
	}
	if d := out.headline(); d != nil {
		last = d.Event
	}
	out.Chain, err = d.chain(ctx, last)
	return out, err
}

// gather adds the decisions recorded under a subject, and gives the ID of the
// last of them, empty when there is none.
func (d *Desk) gather(ctx context.Context, out *Answer, in Input, r related) (last string, err error) {
	q := event.Query{Subject: r.Subject, Types: []string{control.EventDecided, action.EventGated}}
	if at, ok := operation.At(ctx); ok {
		q.RecordedBy = at
	}
	for n := 0; n < maxEvents; {
		events, err := d.Log.Read(ctx, q)
		if err != nil || len(events) == 0 {
			return last, err
		}
		for _, e := range events {
			q.After = e.Position
			if e.Time.Before(r.From) || !r.Until.IsZero() && e.Time.After(r.Until) {
				continue
			}
			decision, err := d.recompute(e)
			if err != nil {
				return last, err
			}
			if decision.Subject = e.Subject; in.All || worth(decision) {
				out.Decisions = append(out.Decisions, decision)
			}
			last = e.ID
		}
		n += len(events)
	}
	return last, nil
}

// worth reports whether a decision changed something: it did not merely hold,
// and was not the gate of an action that nothing gates.
func worth(d Decision) bool {
	if d.Rule == "gate" {
		return len(d.Clauses) > 0
	}
	return d.Verdict != "hold" || d.Rule == "deadline" || d.Rule == "lease"
}

// headline is the decision people ask about: the last that is more than
// housekeeping.
func (a Answer) headline() *Decision {
	for i := len(a.Decisions) - 1; i >= 0; i-- {
		switch a.Decisions[i].Verdict {
		case "start", "finished":
			continue
		}
		return &a.Decisions[i]
	}
	if n := len(a.Decisions); n > 0 {
		return &a.Decisions[n-1]
	}
	return nil
}

func (d *Desk) recompute(e event.Event) (Decision, error) {
	if e.Type == action.EventGated {
		return d.gate(e)
	}
	r, err := event.Decode[control.Decision](e)
	out := Decision{Event: e.ID, At: e.Time, Controller: r.Controller, Verdict: r.Verdict, Rule: r.Rule, Reason: r.Reason, Evidence: r.Evidence}
	if err != nil {
		return out, err
	}
	if e.Erased {
		out.Error = "its payload was erased"
		return out, nil
	}
	replayer := d.Replayers[r.Controller]
	if replayer == nil {
		out.Error = "no controller named " + r.Controller + " is known to this version"
		return out, nil
	}
	if _, out.Same, err = replayer.Replay(r); err != nil {
		out.Error = err.Error()
	}
	return out, nil
}

// gate recomputes a gate from the inputs recorded with its outcome.
func (d *Desk) gate(e event.Event) (Decision, error) {
	g, err := event.Decode[action.Gated](e)
	out := Decision{Event: e.ID, At: e.Time, Controller: "action", Verdict: string(g.Phase), Rule: "gate", Reason: g.Reason, Clauses: g.Clauses}
	if err != nil || len(g.Inputs) == 0 {
		// An ungated action has nothing to recompute: it is always allowed.
		out.Same = err == nil && g.Phase == action.Allowed
		return out, err
	}
	var in control.GateInput
	if err := json.Unmarshal(g.Inputs, &in); err != nil {
		out.Error = err.Error()
		return out, nil
	}
	gate := d.Gates[in.Action.Type]
	if gate == nil {
		out.Error = "no gate for " + in.Action.Type + " is known to this version"
		return out, nil
	}
	again, _ := gate(in, g.Now)
	before, err1 := json.Marshal(g.Clauses)
	after, err2 := json.Marshal(again.Clauses)
	out.Same = err1 == nil && err2 == nil && again.Phase == g.Phase && bytes.Equal(before, after)
	return out, nil
}

// chain follows causes back to where it began.
func (d *Desk) chain(ctx context.Context, id string) ([]Link, error) {
	var out []Link
	seen := map[string]bool{}
	for id != "" && !seen[id] && len(out) < maxChain {
		seen[id] = true
		events, err := d.Log.Read(ctx, event.Query{ID: id, Limit: 1})
		if err != nil || len(events) == 0 {
			return out, err
		}
		e := events[0]
		out = append(out, Link{Event: e.ID, Type: e.Type, Subject: e.Subject, At: e.Time, Actor: e.Actor, Text: describe(e)})
		id = e.Cause
	}
	return out, nil
}

// describe is what an event says for a person, in the fields that facts share.
func describe(e event.Event) string {
	var d struct {
		Reason   string `json:"reason"`
		Verdict  string `json:"verdict"`
		Revision string `json:"revision"`
		Digest   string `json:"digest"`
		Result   string `json:"result"`
		Type     string `json:"type"`
		Commits  []struct {
			Subject string `json:"subject"`
			Author  string `json:"author"`
		} `json:"commits"`
	}
	// What does not have these fields says nothing here.
	_ = json.Unmarshal(e.Data, &d)
	switch {
	case len(d.Commits) > 0:
		return fmt.Sprintf("%q (%s)", d.Commits[0].Subject, d.Commits[0].Author)
	case d.Reason != "":
		return d.Reason
	case d.Revision != "":
		return d.Revision + " " + d.Digest
	}
	return strings.TrimSpace(d.Type + " " + d.Verdict + " " + d.Result)
}

// Tell is the answer in the form of a person's question.
func (a Answer) Tell() string {
	var b strings.Builder
	head := a.headline()
	if head != nil {
		if head.Subject != a.Subject {
			fmt.Fprintf(&b, "%s\n", head.Subject)
		}
		fmt.Fprintf(&b, "%s  %s\n", clock(head.At), sentence(*head))
		for _, c := range head.Clauses {
			fmt.Fprintf(&b, "  %-5s %-13s %s\n", c.Verdict, c.Name, c.Detail)
			if c.Unblock != "" {
				fmt.Fprintf(&b, "  %-5s %-13s %s\n", "", "", c.Unblock)
			}
		}
	}
	same := true
	b.WriteString("decisions\n")
	for i := range a.Decisions {
		d := &a.Decisions[i]
		same = same && d.Same
		if len(a.Decisions)-i <= 12 {
			fmt.Fprintf(&b, "  %s  %s\n", clock(d.At), sentence(*d))
		}
	}
	b.WriteString("chain\n")
	for i, l := range a.Chain {
		// Decisions and actions are the joints; the facts between them tell the story.
		if i > 0 && (l.Type == control.EventDecided || strings.HasPrefix(l.Type, "action.")) {
			continue
		}
		fmt.Fprintf(&b, "  %s  %-18s %s  %s\n", clock(l.At), l.Type, l.Subject, l.Text)
	}
	verdict := "the same verdicts"
	if !same {
		verdict = "NOT the same verdicts; see -o json"
	}
	fmt.Fprintf(&b, "replay  %d decisions recomputed from the stored inputs: %s", len(a.Decisions), verdict)
	return b.String()
}

func clock(t time.Time) string { return t.Local().Format("15:04:05") }

// sentence is a verdict with its reason, which may begin with the verdict.
func sentence(d Decision) string {
	t := title(d.Verdict)
	if strings.HasPrefix(d.Reason, strings.Fields(t)[0]) {
		return d.Reason
	}
	return t + ": " + d.Reason
}

// title begins the sentence about a verdict.
func title(verdict string) string {
	for v, words := range map[string]string{"back": "Went back", "on": "Going on", "hold": "Held", "blocked": "Blocked", "allowed": "Allowed", "awaiting approval": "Awaits approval"} {
		if v == verdict {
			return words
		}
	}
	return "Decided " + verdict
}

// Operations is the one question.
func (d *Desk) Operations() []operation.Operation {
	return []operation.Operation{operation.Define(operation.Spec[Input, Answer]{
		Noun: "why", Verb: "show", Summary: "Explain what was decided about something, and on what grounds", Role: operation.Viewer,
		Help:   "Answers from the log alone and recomputes every verdict from its stored inputs.\n\n  flyball why checkout\n  flyball why change/checkout-3f2a91c\n  flyball why rollout/checkout-3f2a91c-prod-1\n  flyball why incident/inc-checkout-20261121t093000",
		Handle: func(ctx context.Context, _ operation.Caller, in Input) (Answer, error) { return d.Explain(ctx, in) },
	})}
}
