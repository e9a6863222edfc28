package web

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/input"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// listed is every operation by name.
func (s *site) listed() []operation.Operation {
	var out []operation.Operation
	for _, op := range s.operations {
		out = append(out, op)
	}
	slices.SortFunc(out, func(x, y operation.Operation) int { return cmp.Compare(x.Name(), y.Name()) })
	return out
}

type operationListBody struct {
	Lead  string
	Items []operationRow
}

type operationRow struct {
	operation.Operation
	Allowed bool
	First   bool // of its noun
}

func (s *site) operationList(v *visit) (page, error) {
	b := operationListBody{Lead: "Everything that can be asked of Flyball, here, on the command line and over HTTP."}
	noun := ""
	for _, op := range s.listed() {
		b.Items = append(b.Items, operationRow{Operation: op, Allowed: s.canEver(v, op.Name()), First: op.Noun != noun})
		noun = op.Noun
	}
	return page{Template: "operations", Title: "Operations", Body: b}, nil
}

// field is one input of a form.
type field struct {
	operation.Field
	Kind  string // text, number, checkbox, select, password or area
	Value string
	Wrong string
}

type operationBody struct {
	operation.Operation
	Lead       string
	Fields     []field
	Paragraphs []paragraph
	Command    string
	Method     string
	Route      string
	Allowed    bool
	Open       bool // every required field can be filled in here
	Key        string
	Back       string
	Problem    *api.Problem
	Output     string
}

func (s *site) operation(v *visit) (page, error) {
	op, ok := s.operations[v.PathValue("name")]
	if !ok {
		return page{}, problem.New(problem.NotFound, "web.operation", "there is no operation named %q", v.PathValue("name")).WithNext("the list of operations shows what there is")
	}
	b := s.form(v, op, v.URL.Query())
	b.Back = v.URL.Query().Get("back")
	return page{Template: "operation", Title: op.Noun + " " + op.Verb, Body: b}, nil
}

// form is the page of one operation, made from its declaration.
func (s *site) form(v *visit, op operation.Operation, values url.Values) operationBody {
	b := operationBody{Operation: op, Lead: op.Summary + ".", Allowed: s.canEver(v, op.Name()), Open: true, Key: rand.Text()}
	b.Paragraphs = paragraphs(op.Help)
	b.Command = "flyball " + op.Noun + " " + op.Verb
	for _, a := range op.Args() {
		b.Command += " " + strings.ToUpper(a.Name)
	}
	b.Method, b.Route = op.Route()
	for _, f := range operation.Fields(op.Input) {
		if !input.Settable(f.Type) {
			b.Open = b.Open && !f.Required
			continue
		}
		b.Fields = append(b.Fields, field{Field: f, Kind: widget(f), Value: values.Get(f.Name)})
	}
	return b
}

// paragraph is a part of an operation's help: words, or commands.
type paragraph struct {
	Code bool
	Text string
}

// paragraphs tells the commands in a help text from its words: they are
// indented, or begin with the program's name.
func paragraphs(help string) []paragraph {
	var out []paragraph
	for line := range strings.Lines(help) {
		text := strings.TrimSpace(line)
		if text == "" {
			continue
		}
		code := strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "flyball ")
		if n := len(out); n > 0 && out[n-1].Code == code {
			sep := " "
			if code {
				sep = "\n"
			}
			out[n-1].Text += sep + text
			continue
		}
		out = append(out, paragraph{code, text})
	}
	return out
}

// widget is the kind of control a field is filled in with.
func widget(f operation.Field) string {
	switch {
	case f.Secret:
		return "password"
	case len(f.Enum) > 0:
		return "select"
	case f.Type.Kind() == reflect.Bool:
		return "checkbox"
	case f.Name == "text" || f.Name == "reason":
		return "area"
	}
	return "text"
}

// perform calls a write with what a form sent, and goes back to where it came
// from. The form's key makes a repeated send harmless.
func (s *site) perform(w http.ResponseWriter, r *http.Request) {
	v, form, err := s.received(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	op, ok := s.operations[r.PathValue("name")]
	if !ok || !op.Write {
		s.fail(w, r, problem.New(problem.NotFound, "web.operation", "there is no operation named %q that a form could send", r.PathValue("name")))
		return
	}
	in := op.NewInput()
	back, key := form.Get("_back"), form.Get("_key")
	values := map[string][]string{}
	for name, list := range form {
		if !strings.HasPrefix(name, "_") && strings.Join(list, "") != "" {
			values[name] = list
		}
	}
	err = input.Values(op, in, values)
	var out api.Outcome
	if err == nil {
		out, err = s.o.API.Invoke(v.ctx, api.Call{Operation: op, Caller: v.caller, Input: in, Key: clip(key, 64)})
	}
	if err == nil && back != "" {
		http.Redirect(w, r, here(back), http.StatusSeeOther)
		return
	}
	s.answer(w, v, op, url.Values(values), back, out, err)
}

// answer shows what came of a call, or what is wrong with it, on the form.
func (s *site) answer(w http.ResponseWriter, v *visit, op operation.Operation, values url.Values, back string, out api.Outcome, err error) {
	for _, f := range operation.Fields(op.Input) {
		if f.Secret {
			values.Del(f.Name)
		}
	}
	b := s.form(v, op, values)
	b.Back = back
	p := page{Template: "operation", Title: op.Noun + " " + op.Verb}
	if err != nil {
		described := api.Describe(err)
		if described.Kind == problem.Internal {
			described.Instance = rand.Text()[:12]
			s.o.Logger.Error("a form failed", "reference", described.Instance, "operation", op.Name(), "error", err)
		}
		described.Findings = b.place(described.Findings)
		b.Problem, p.Status = &described, described.Status
	} else {
		b.Output = said(out)
	}
	p.Body = b
	s.show(w, v, p)
}

// place puts what is wrong beside the fields it is about, and gives the rest.
func (b *operationBody) place(findings []problem.Finding) (rest []problem.Finding) {
	for _, f := range findings {
		i := slices.IndexFunc(b.Fields, func(x field) bool { return x.Name == f.Field })
		if i < 0 {
			rest = append(rest, f)
			continue
		}
		b.Fields[i].Wrong = f.Message
	}
	return rest
}

// said is an outcome for people: the operation's own words, else its JSON.
func said(out api.Outcome) string {
	if t, ok := out.Output.(operation.Teller); ok {
		return t.Tell()
	}
	text, err := jsonText(out.Output)
	if err != nil || out.Output == nil {
		return string(out.Body)
	}
	return text
}

// received reads a form's body.
func (s *site) received(w http.ResponseWriter, r *http.Request) (*visit, url.Values, error) {
	caller, err := s.o.API.Caller(r)
	if err != nil {
		return nil, nil, err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return nil, nil, fmt.Errorf("form: %w", err)
	}
	return &visit{Request: r, ctx: r.Context(), caller: caller, reader: s.o.Reader, now: s.o.Clock.Now()}, r.PostForm, nil
}

func clip(s string, n int) string { return s[:min(len(s), n)] }
