package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// visit is one request on its way to a page.
type visit struct {
	*http.Request
	ctx    context.Context
	caller operation.Caller
	reader projection.Reader
	now    time.Time // or the moment looked back to
	past   bool
	head   int64 // of the log, before anything was read
}

// page is what a template is given.
type page struct {
	Template string
	Title    string // of the tab
	Section  string // entry of the navigation
	Live     string // event types that make the page out of date, separated by commas
	Every    int    // seconds after which signals make it out of date; 0 never
	Charts   bool   // it draws time series
	Status   int
	Body     any

	// Filled in by the site.
	Now      time.Time
	After    int64  // position in the log that the page knows of; it hears of what comes behind
	Path     string // with query
	Bare     string // without query
	Caller   operation.Caller
	SignedIn bool
	Theme    string
	Past     bool
	At       string
	Query    url.Values
	Version  string
	Problem  *api.Problem
}

// builder makes a page.
type builder func(*visit) (page, error)

// page serves what a builder makes.
func (s *site) page(build builder) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := s.visit(r)
		if err == nil {
			var p page
			if p, err = s.build(v, build); err == nil {
				s.show(w, v, p)
				return
			}
		}
		s.fail(w, r, err)
	})
}

// build keeps a fault in one page from ending the connection without a word.
func (s *site) build(v *visit, build builder) (p page, err error) {
	defer func() {
		if f := recover(); f != nil {
			err = fmt.Errorf("panic: %v", f)
		}
	}()
	return build(v)
}

// visit finds out who asks, and for which moment. Like every read operation,
// a page needs the role viewer everywhere.
func (s *site) visit(r *http.Request) (*visit, error) {
	caller, err := s.o.API.Caller(r)
	if err != nil {
		return nil, err
	}
	if !caller.May(operation.Viewer, operation.Scope{}) {
		return nil, problem.New(problem.Denied, "web", "the pages need the role viewer everywhere; the caller is %s", caller.Name).
			WithNext("sign in with a token that has it")
	}
	at := r.URL.Query().Get("at")
	ctx, err := s.o.API.AsOf(r.Context(), at)
	if err != nil {
		return nil, err
	}
	head, err := s.o.Log.Head(ctx)
	if err != nil {
		return nil, err
	}
	v := &visit{Request: r, ctx: ctx, caller: caller, reader: operation.Reader(ctx, s.o.Reader), now: s.o.Clock.Now(), head: head.Position}
	if moment, ok := operation.At(ctx); ok {
		v.now, v.past = moment, true
	}
	return v, nil
}

// show renders a page whole before it sends the first byte.
func (s *site) show(w http.ResponseWriter, v *visit, p page) {
	p.After = v.head
	p.Now, p.Caller, p.Past, p.Version = v.now, v.caller, v.past, s.o.Version
	p.SignedIn = v.caller.Name != api.Anonymous.Name && v.caller.Name != ""
	p.At = v.URL.Query().Get("at")
	p.Query = v.URL.Query()
	s.write(w, v.Request, p)
}

func (s *site) write(w http.ResponseWriter, r *http.Request, p page) {
	p.Path, p.Bare, p.Theme = r.URL.RequestURI(), r.URL.EscapedPath(), themeOf(r)
	t, ok := s.pages[p.Template]
	var b bytes.Buffer
	if !ok {
		s.o.Logger.Error("there is no such template", "template", p.Template)
		http.Error(w, "a page is missing from this build", http.StatusInternalServerError)
		return
	}
	if err := t.ExecuteTemplate(&b, "layout", p); err != nil {
		s.o.Logger.Error("a page could not be rendered", "path", r.URL.Path, "error", err)
		if p.Template == "problem" {
			http.Error(w, "the page could not be rendered", http.StatusInternalServerError)
			return
		}
		s.fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Cookie")
	if p.Status != 0 {
		w.WriteHeader(p.Status)
	}
	// A client that went away needs no page.
	_, _ = w.Write(b.Bytes())
}

// fail answers with an error as a page.
func (s *site) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := api.Describe(err)
	if p.Kind == problem.Internal {
		p.Instance = rand.Text()[:12]
		s.o.Logger.Error("a page failed", "reference", p.Instance, "path", r.URL.Path, "error", err)
	}
	s.write(w, r, page{Template: "problem", Title: p.Title, Status: p.Status, Problem: &p, Now: s.o.Clock.Now(), Version: s.o.Version})
}

// nowhere answers a path without page.
func (s *site) nowhere(v *visit) (page, error) {
	return page{}, problem.New(problem.NotFound, "web", "there is no page at %s", v.URL.Path).WithNext("search for what you look for, or go back to Now")
}

// call runs an operation for the visitor and gives its typed output. ok is
// false when this server does not have the operation.
func call[O any](s *site, v *visit, name string, fill func(in any) error) (out O, ok bool, err error) {
	op, ok := s.operations[name]
	if !ok {
		return out, false, nil
	}
	in := op.NewInput()
	if fill != nil {
		if err := fill(in); err != nil {
			return out, true, err
		}
	}
	done, err := s.o.API.Invoke(v.ctx, api.Call{Operation: op, Caller: v.caller, Input: in})
	if err != nil {
		return out, true, err
	}
	out, typed := done.Output.(O)
	if !typed {
		err = problem.New(problem.Internal, name, "the output is a %T", done.Output)
	}
	return out, true, err
}

// may reports whether the visitor may call an operation in a scope.
func (s *site) may(v *visit, name string, team, environment string) bool {
	op, ok := s.operations[name]
	return ok && !v.past && v.caller.May(op.Role, operation.Scope{Team: team, Environment: environment})
}

// here is a path of this server to go back to, or the first page.
func here(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n") {
		return "/"
	}
	return u.RequestURI()
}
