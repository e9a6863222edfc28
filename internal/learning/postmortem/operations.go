package postmortem

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Desk is what the operations on postmortems work with.
type Desk struct {
	Log    event.Log
	Reader projection.Reader
	Clock  clock.Clock
	// Sync waits until Reader shows the end of the log.
	Sync func(ctx context.Context) error
	// Tell tells an incident's story.
	Tell Teller
}

// NameInput names a postmortem.
type NameInput struct {
	Postmortem string `json:"postmortem" arg:"1" doc:"name of the postmortem, or of its incident"`
}

// ReasonInput names a postmortem and says why.
type ReasonInput struct {
	Postmortem string `json:"postmortem" arg:"1" doc:"name of the postmortem, or of its incident"`
	Reason     string `json:"reason" required:"true" doc:"why, for the record"`
}

// ListInput bounds and filters a list of postmortems.
type ListInput struct {
	State   string `json:"state" enum:"required,draft,in_review,published,excused,late" doc:"in this state only; late is past its due date"`
	Service string `json:"service" doc:"of this service only"`
	Team    string `json:"team" doc:"of this team only"`
	Factor  string `json:"factor" doc:"with this contributing factor only"`
	Search  string `json:"search" doc:"with all of these words in title, text, factors or service"`
	After   string `json:"after" doc:"cursor from the page before"`
	Limit   int    `json:"limit" doc:"at most this many, 1 to 500 (default 50)"`
}

// DraftInput asks for a draft.
type DraftInput struct {
	Incident string `json:"incident" arg:"1" doc:"name of the incident"`
	Names    bool   `json:"names" doc:"name persons instead of their roles"`
}

// EditInput is a new text of one section.
type EditInput struct {
	Postmortem string `json:"postmortem" arg:"1" doc:"name of the postmortem, or of its incident"`
	Section    string `json:"section" required:"true" enum:"title,summary,impact,timeline,response,factors,well,badly,lucky,lessons" doc:"which section"`
	Text       string `json:"text" doc:"the new text: paragraphs, and lists of lines that begin with a hyphen; empty clears it"`
	Base       int    `json:"base" doc:"version of the section that the text was written on; without it, nobody else may have written there"`
}

// TagInput says which factors contributed.
type TagInput struct {
	Postmortem string   `json:"postmortem" arg:"1" doc:"name of the postmortem, or of its incident"`
	Add        []string `json:"add" doc:"factors that contributed, such as config-change"`
	Remove     []string `json:"remove" doc:"factors that did not"`
}

// HistoryInput asks how a text came about.
type HistoryInput struct {
	Postmortem string `json:"postmortem" arg:"1" doc:"name of the postmortem, or of its incident"`
	Section    string `json:"section" doc:"of this section only"`
	After      string `json:"after" doc:"cursor from the page before"`
	Limit      int    `json:"limit" doc:"at most this many, 1 to 500 (default 50)"`
}

// FactorsInput asks which factors recur.
type FactorsInput struct {
	Service string `json:"service" doc:"among postmortems of this service only"`
	Team    string `json:"team" doc:"among postmortems of this team only"`
	Last    int    `json:"last" doc:"among so many of the newest, 1 to 500 (default 10)"`
}

// Operations are what users can do with postmortems and action items.
func (d *Desk) Operations() []operation.Operation {
	reads := []operation.Operation{
		operation.Define(operation.Spec[ListInput, operation.Page[Row]]{
			Noun: "postmortem", Verb: "list", Summary: "List and search postmortems, newest incident first", Role: operation.Viewer,
			Help:   "  flyball postmortem list --state late\n  flyball postmortem list --search 'redis timeout' --team payments",
			Handle: d.list,
		}),
		operation.Define(operation.Spec[NameInput, Document]{
			Noun: "postmortem", Verb: "show", Summary: "Show a postmortem with its action items", Role: operation.Viewer,
			Scope: named(d, func(in NameInput) string { return in.Postmortem }), Handle: d.show,
		}),
		operation.Define(operation.Spec[HistoryInput, operation.Page[Version]]{
			Noun: "postmortem", Verb: "history", Summary: "Show every version of a postmortem's sections, newest first", Role: operation.Viewer,
			Scope: named(d, func(in HistoryInput) string { return in.Postmortem }), Handle: d.history,
		}),
		operation.Define(operation.Spec[NameInput, Export]{
			Noun: "postmortem", Verb: "export", Summary: "Print a postmortem as Markdown", Role: operation.Viewer,
			Help:  "The same text gives the same file, so that it can be reviewed and kept in a repository.\n\n  flyball postmortem export pm-checkout-20261102t120300 --dir docs/postmortems",
			Scope: named(d, func(in NameInput) string { return in.Postmortem }), Handle: d.export,
		}),
		operation.Define(operation.Spec[FactorsInput, Recurrences]{
			Noun: "postmortem", Verb: "factors", Summary: "Count contributing factors over the last postmortems", Role: operation.Viewer,
			Scope: func(_ context.Context, in FactorsInput) (operation.Scope, error) {
				return operation.Scope{Team: in.Team}, nil
			},
			Handle: d.factors,
		}),
	}
	return append(append(reads, d.writing()...), d.itemOperations()...)
}

func (d *Desk) writing() []operation.Operation {
	step := func(verb, summary, help string, role operation.Role, handle func(context.Context, operation.Caller, ReasonInput) (Document, error)) operation.Operation {
		return operation.Define(operation.Spec[ReasonInput, Document]{
			Noun: "postmortem", Verb: verb, Summary: summary, Help: help, Role: role, Write: true,
			Scope: named(d, func(in ReasonInput) string { return in.Postmortem }), Handle: handle,
		})
	}
	plain := func(verb, summary, help string, handle func(context.Context, operation.Caller, NameInput) (Document, error)) operation.Operation {
		return operation.Define(operation.Spec[NameInput, Document]{
			Noun: "postmortem", Verb: verb, Summary: summary, Help: help, Role: operation.Developer, Write: true,
			Scope: named(d, func(in NameInput) string { return in.Postmortem }), Handle: handle,
		})
	}
	return []operation.Operation{
		operation.Define(operation.Spec[DraftInput, Document]{
			Noun: "postmortem", Verb: "draft", Summary: "Write a draft from an incident's timeline and costs", Role: operation.Developer, Write: true,
			Help:  "Drafted again, it replaces what no person has edited.\n\n  flyball postmortem draft inc-checkout-20261102t120300",
			Scope: d.troubled, Handle: d.draft,
		}),
		operation.Define(operation.Spec[EditInput, Edit]{
			Noun: "postmortem", Verb: "edit", Summary: "Write one section anew", Role: operation.Developer, Write: true,
			Help:  "Refused when somebody else has written there since the version you began with, so that nothing is lost.\n\n  flyball postmortem edit pm-checkout-20261102t120300 --section lessons --text -   # reads the text",
			Scope: named(d, func(in EditInput) string { return in.Postmortem }), Handle: d.edit,
		}),
		operation.Define(operation.Spec[TagInput, Document]{
			Noun: "postmortem", Verb: "tag", Summary: "Say which factors contributed", Role: operation.Developer, Write: true,
			Help:  "  flyball postmortem tag pm-checkout-20261102t120300 --add config-change --add missing-limit",
			Scope: named(d, func(in TagInput) string { return in.Postmortem }), Handle: d.tag,
		}),
		plain("submit", "Give a postmortem to review", "It needs a summary and its lessons.", d.submit),
		plain("approve", "Approve a postmortem as it is", "By somebody who has not written in it, when the team has more than one member.", d.approve),
		plain("publish", "Publish a reviewed postmortem", "From then on it changes only as a new edition: flyball postmortem reopen.", d.publish),
		step("reopen", "Write on: take a postmortem back from review, or begin a new edition", "", operation.Developer, d.reopen),
		step("excuse", "Say that an incident need not be written up", "", operation.Operator, d.excuse),
	}
}

// named is the scope of the postmortem that an input names.
func named[I any](d *Desk, name func(I) string) func(context.Context, I) (operation.Scope, error) {
	return func(ctx context.Context, in I) (operation.Scope, error) { return d.scope(ctx, name(in)) }
}

func (d *Desk) scope(ctx context.Context, name string) (operation.Scope, error) {
	p, err := Get(ctx, operation.Reader(ctx, d.Reader), name)
	return operation.Scope{Team: p.Team, Environment: p.Environment}, err
}

// moment is the one asked for, or the present.
func (d *Desk) moment(ctx context.Context) time.Time {
	if at, ok := operation.At(ctx); ok {
		return at
	}
	return d.Clock.Now()
}
