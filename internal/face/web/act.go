package web

import (
	"net/http"

	"github.com/flyball-dev/flyball/internal/face/answer"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// actBody is a link in a message, before or after it was used.
type actBody struct {
	answer.Answer
	Lead  string
	Does  string // the button
	Done  bool
	Wrong *api.Problem
}

// actPage asks before anything is done: mail scanners follow links.
func (s *site) actPage(w http.ResponseWriter, r *http.Request) {
	a, err := s.opened(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.showAct(w, r, actBody{Answer: a})
}

// act does what the link is for. The link alone is the permission, so that it
// needs no cookie, and a button in a notification can post to it.
func (s *site) act(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	a, err := s.opened(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	b := actBody{Done: a.Said == ""}
	b.Answer, err = s.o.Answers.Do(r.Context(), a)
	if err != nil {
		p := api.Describe(err)
		b.Done, b.Wrong = false, &p
	}
	s.showAct(w, r, b)
}

func (s *site) opened(r *http.Request) (answer.Answer, error) {
	if s.o.Answers == nil {
		return answer.Answer{}, problem.New(problem.NotFound, "web.act", "this server gives out no links that act")
	}
	a, err := s.o.Answers.Open(r.Context(), r.PathValue("token"))
	a.By = "a link in a message"
	return a, err
}

func (s *site) showAct(w http.ResponseWriter, r *http.Request, b actBody) {
	b.Lead, b.Does = b.Of.Title, "I have it"
	title := "Acknowledge"
	if b.Act.Does == channel.Resolve {
		b.Does, title = "Resolve", "Resolve"
	}
	p := page{Template: "act", Title: title, Section: "incidents", Body: b, Now: s.o.Clock.Now(), Version: s.o.Version}
	if b.Wrong != nil {
		p.Status = b.Wrong.Status
	}
	s.write(w, r, p)
}
