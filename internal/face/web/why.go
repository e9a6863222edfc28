package web

import (
	"slices"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/learning/why"
)

type whyBody struct {
	Subject string
	Lead    string
	Last    *why.Decision
	Older   []why.Decision // newest first
	Chain   []why.Link
	All     bool
	Same    int
	Of      int
	About   string // page of the subject
}

func (s *site) why(v *visit) (page, error) {
	subject := v.PathValue("subject")
	all := v.URL.Query().Get("all") == "true"
	out, ok, err := call[why.Answer](s, v, "why.show", func(in any) error {
		i := in.(*why.Input)
		i.Subject, i.All = subject, all
		return nil
	})
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "web.why", "this server does not explain decisions")
	}
	if err != nil {
		return page{}, err
	}
	b := whyBody{Subject: subject, Chain: out.Chain, All: all, Of: len(out.Decisions), About: subjectLink(subject)}
	if b.About == "/why/"+subject {
		b.About = ""
	}
	for _, d := range out.Decisions {
		if d.Same {
			b.Same++
		}
	}
	b.Lead = "Nothing but holding was decided about " + subject + "."
	if n := len(out.Decisions); n > 0 {
		last := n - 1
		if last > 0 && out.Decisions[last].Verdict == "finished" {
			last-- // tidying up explains nothing
		}
		b.Last = &out.Decisions[last]
		b.Older = newest(append(slices.Clone(out.Decisions[:last]), out.Decisions[last+1:]...))
		b.Older = b.Older[:min(len(b.Older), 200)]
		b.Lead = sentence(either(b.Last.Reason, word(b.Last.Verdict)))
	}
	return page{Template: "why", Title: "Why " + subject, Section: "", Body: b, Live: "decision.,action.gated"}, nil
}
