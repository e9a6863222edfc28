package web

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

type auditBody struct {
	Lead    string
	Types   string
	Subject string
	Actor   string
	Items   []fact
	Next    string // position before which to go on
	Head    event.Head
	Hash    string
	Verdict *api.Verification
}

// fact is one event in a list.
type fact struct {
	event.Event
	Text string
}

// Bounds on how much of the log one page looks at for its filter.
const (
	auditWindow = 2000
	auditDepth  = 25 // windows
)

func (s *site) audit(v *visit) (page, error) {
	q := v.URL.Query()
	b := auditBody{Types: strings.TrimSpace(q.Get("types")), Subject: strings.TrimSpace(q.Get("subject")), Actor: strings.TrimSpace(q.Get("actor"))}
	var err error
	if b.Head, err = s.o.Log.Head(v.ctx); err != nil {
		return page{}, err
	}
	b.Hash = hex.EncodeToString(b.Head.Hash)
	until := b.Head.Position
	if before := q.Get("before"); before != "" {
		n, err := strconv.ParseInt(before, 10, 64)
		if err != nil || n < 1 {
			return page{}, problem.New(problem.Invalid, "web.audit", "before is %q, which is not a log position", before).WithNext("go back to the newest events")
		}
		until = min(until, n-1)
	}
	if err := s.lookBack(v, &b, until); err != nil {
		return page{}, err
	}
	if q.Get("verify") != "" {
		out, ok, err := call[api.Verification](s, v, "event.verify", nil)
		if err != nil {
			return page{}, err
		}
		if ok {
			b.Verdict = &out
		}
	}
	b.Lead = fmt.Sprintf("%s recorded; nothing is ever changed or removed without a trace.", plural(int(b.Head.Position), "event is", "events are"))
	return page{Template: "audit", Title: "Audit", Section: "audit", Body: b}, nil
}

// lookBack finds the newest matching events up to a position, window by window.
func (s *site) lookBack(v *visit, b *auditBody, until int64) error {
	query := event.Query{Subject: b.Subject, Types: types(b.Types), Limit: auditWindow}
	if v.past {
		query.RecordedBy = v.now
	}
	for range auditDepth {
		if until < 1 {
			return nil
		}
		query.Until, query.After = until, max(0, until-auditWindow)
		events, err := s.o.Log.Read(v.ctx, query)
		if err != nil {
			return err
		}
		for _, e := range slices.Backward(events) {
			if b.Actor != "" && !contains(b.Actor, e.Actor) {
				continue
			}
			b.Items = append(b.Items, fact{e, gist(e)})
			if len(b.Items) == pageSize {
				b.Next = strconv.FormatInt(e.Position, 10)
				return nil
			}
		}
		until = query.After
	}
	if until > 0 {
		b.Next = strconv.FormatInt(until+1, 10)
	}
	return nil
}

func types(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// gist is what an event says, from the fields that facts share.
func gist(e event.Event) string {
	if e.Erased {
		return "its payload was erased"
	}
	var d struct {
		Title, Text, Explanation, Reason, Verdict, Revision, Level, Error, Operation, Outcome, Type, Kind string
		Weight                                                                                            int
		Commits                                                                                           []struct{ Subject string }
	}
	// What does not have these fields says nothing here.
	_ = json.Unmarshal(e.Data, &d)
	switch {
	case d.Operation != "":
		return d.Operation + ": " + d.Outcome
	case len(d.Commits) > 0:
		return d.Commits[0].Subject
	case e.Type == "rollout.stepped":
		return d.Revision + " gets " + points(d.Weight)
	}
	for _, s := range []string{d.Title, d.Text, d.Explanation, d.Reason, d.Error, d.Level, d.Revision, d.Verdict, d.Type, d.Kind} {
		if s != "" {
			return s
		}
	}
	return ""
}

type factBody struct {
	fact
	Lead   string
	Data   string
	Hash   string
	Digest string
	Cause  *event.Event
	Led    []event.Event
}

func (s *site) fact(v *visit) (page, error) {
	n, err := strconv.ParseInt(v.PathValue("position"), 10, 64)
	if err != nil || n < 1 {
		return page{}, problem.New(problem.NotFound, "web.audit", "there is no event at %q", v.PathValue("position")).WithNext("the audit page lists events")
	}
	q := event.Query{After: n - 1, Until: n, Limit: 1}
	if v.past {
		q.RecordedBy = v.now
	}
	events, err := s.o.Log.Read(v.ctx, q)
	if err == nil && len(events) == 0 {
		err = problem.New(problem.NotFound, "web.audit", "there is no event at position %d", n).WithNext("the audit page lists events")
	}
	if err != nil {
		return page{}, err
	}
	e := events[0]
	b := factBody{fact: fact{e, gist(e)}, Hash: hex.EncodeToString(e.Hash), Digest: hex.EncodeToString(e.Digest)}
	if !e.Erased {
		if b.Data, err = jsonText(e.Data); err != nil {
			return page{}, err
		}
	}
	if e.Cause != "" {
		causes, err := s.o.Log.Read(v.ctx, event.Query{ID: e.Cause, Limit: 1})
		if err != nil {
			return page{}, err
		}
		if len(causes) > 0 {
			b.Cause = &causes[0]
		}
	}
	b.Lead = fmt.Sprintf("%s about %s, by %s.", e.Type, e.Subject, who(e.Actor))
	return page{Template: "fact", Title: "Event " + count(n), Section: "audit", Body: b}, nil
}
