package incident

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// Entry is one line of a timeline: a fact of any room.
type Entry struct {
	At       time.Time `json:"at" doc:"when it happened"`
	Type     string    `json:"type"`
	Subject  string    `json:"subject"`
	Actor    string    `json:"actor"`
	Text     string    `json:"text" doc:"the fact in one line"`
	Event    string    `json:"event" doc:"ID of the fact"`
	Position int64     `json:"position" doc:"of the fact in the log"`
}

// Bounds on a timeline.
const (
	maxEntries  = 1000
	maxSubjects = 100
	maxFacts    = 5000 // looked at for one subject
)

// noise are the facts that say how something was done rather than that it was.
var noise = []string{
	"decision.", "operation.", "rollout.judged", "run.step_started", "run.step_finished", "run.job_started", "run.job_finished",
	"action.proposed", "action.gated", "action.started", "action.superseded", "action.succeeded",
}

// Timeline reads what happened to everything an incident is connected with, in
// order, oldest first: the incident's own facts, those of its rollouts, changes
// and objectives, and the pages it led to. Of a longer one the beginning is
// returned. parts are the incidents that were merged into it.
func Timeline(ctx context.Context, log event.Log, i Incident, recordedBy time.Time, parts ...Incident) ([]Entry, error) {
	var out []Entry
	seen := map[int64]bool{}
	for _, s := range subjects(append([]Incident{i}, parts...)) {
		entries, err := s.read(ctx, log, i, recordedBy)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !seen[e.Position] {
				seen[e.Position] = true
				out = append(out, e)
			}
		}
	}
	sortEntries(out)
	out = once(out)
	return out[:min(len(out), maxEntries)], nil
}

// once leaves out a line that says of an action what an earlier one said: it is
// tried until it succeeds.
func once(entries []Entry) []Entry {
	type line struct{ typ, subject, text string }
	said := map[line]bool{}
	return slices.DeleteFunc(entries, func(e Entry) bool {
		l := line{e.Type, e.Subject, e.Text}
		again := strings.HasPrefix(e.Type, "action.") && said[l]
		said[l] = true
		return again
	})
}

func sortEntries(out []Entry) {
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Position, b.Position))
	})
}

// subject is one thing whose facts belong to a timeline, from a moment on.
type subject struct {
	name string
	from time.Time // zero: all of it
}

func subjects(incidents []Incident) []subject {
	var out []subject
	add := func(kind, name string, from time.Time) {
		s := subject{kind + "/" + name, from}
		known := slices.ContainsFunc(out, func(o subject) bool { return o.name == s.name })
		if name != "" && !known && len(out) < maxSubjects {
			out = append(out, s)
		}
	}
	for _, i := range incidents {
		add("incident", i.Place.Incident, time.Time{})
	}
	for _, i := range incidents {
		for _, l := range i.Links {
			add("rollout", l.Rollout, time.Time{})
			add("change", l.Change, time.Time{})
			// An objective lives on: only what it says during the incident counts.
			add("objective", l.Objective, i.BeganAt.Add(-time.Minute))
		}
	}
	return out
}

func (s subject) read(ctx context.Context, log event.Log, i Incident, recordedBy time.Time) ([]Entry, error) {
	var out []Entry
	q := event.Query{Subject: s.name, RecordedBy: recordedBy, Limit: 1000}
	for facts := 0; facts < maxFacts; {
		events, err := log.Read(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			over := !i.ResolvedAt.IsZero() && e.Time.After(i.ResolvedAt) && !strings.HasPrefix(s.name, "incident/")
			if e.Time.Before(s.from) || over || event.Matches(noise, e.Type) {
				continue
			}
			out = append(out, Entry{At: e.Time, Type: e.Type, Subject: e.Subject, Actor: e.Actor, Text: tell(e), Event: e.ID, Position: e.Position})
		}
		if len(events) < q.Limit {
			break
		}
		facts += len(events)
		q.After = events[len(events)-1].Position
	}
	return out, nil
}

// told is the part of any fact that reads well.
type told struct {
	Title       string `json:"title"`
	Text        string `json:"text"`
	Explanation string `json:"explanation"`
	Reason      string `json:"reason"`
	Revision    string `json:"revision"`
	Weight      int    `json:"weight"`
	Level       string `json:"level"`
	Error       string `json:"error"`
	Branch      string `json:"branch"`
	Commits     []struct {
		Subject string `json:"subject"`
	} `json:"commits"`
}

// tell writes a fact in one line.
func tell(e event.Event) string {
	t, err := event.Decode[told](e)
	if err != nil || e.Erased {
		return e.Type
	}
	switch {
	case strings.HasPrefix(e.Type, "incident."):
		if text := tellOwn(e); text != "" {
			return text
		}
	case e.Type == "rollout.stepped":
		return fmt.Sprintf("%s gets %g %%", t.Revision, float64(t.Weight)/100)
	case e.Type == "budget.changed":
		return "budget is " + t.Level
	case len(t.Commits) > 0:
		return fmt.Sprintf("pushed to %s: %s", t.Branch, t.Commits[0].Subject)
	}
	return cmp.Or(t.Title, t.Text, t.Explanation, t.Reason, t.Error, t.Revision, e.Type)
}
