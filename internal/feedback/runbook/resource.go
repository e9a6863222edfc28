package runbook

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/catalog/condition"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// Kind is the kind of resource.
const Kind = "Runbook"

// Spec says what to do about one kind of trouble.
type Spec struct {
	Title     string     `json:"title"`
	Team      string     `json:"team"`               // whose it is; a Team resource
	Services  []string   `json:"services,omitempty"` // those it is for; default: all of the team's
	Steps     []Step     `json:"steps"`
	Automatic *Automatic `json:"automatic,omitempty"` // it may run by itself
}

// Step is one thing to do: exactly one of text, command and operation.
type Step struct {
	Name      string            `json:"name"`
	Text      string            `json:"text,omitempty"`      // for a person, who says when it is done
	Command   string            `json:"command,omitempty"`   // a script, run by bash -e in an empty directory
	Operation string            `json:"operation,omitempty"` // such as incident.note
	Input     map[string]any    `json:"input,omitempty"`     // of the operation
	Env       map[string]string `json:"env,omitempty"`       // of the command
	Secrets   map[string]string `json:"secrets,omitempty"`   // of the command: variables, and the secrets they hold
	Limit     time.Duration     `json:"limit,omitempty"`     // of the command; default 5m, at most 1h
	Approval  string            `json:"approval,omitempty"`  // operator (default) or none
	OnFailure string            `json:"onFailure,omitempty"` // stop (default) or continue
}

// Automatic says when a runbook runs by itself.
type Automatic struct {
	When       string        `json:"when"`                 // a condition over what happened; see Happened
	PerHour    int           `json:"perHour,omitempty"`    // most runs in an hour, for each service in each environment; default 1
	StopAtBurn float64       `json:"stopAtBurn,omitempty"` // burn rate over an hour above which a run is stopped
	Saves      time.Duration `json:"saves,omitempty"`      // of a person's time; default: what runs by hand took
}

// What a step waits for, and what its failure does.
const (
	ApprovalNone     = "none"
	ApprovalOperator = "operator"
	FailureStop      = "stop"
	FailureContinue  = "continue"
)

// Bounds on one runbook.
const (
	maxSteps    = 50
	maxText     = 8 << 10 // bytes of a text or a command
	maxPerHour  = 60
	maxLimit    = time.Hour
	maxServices = 200
)

// Kinds declares the kind.
func Kinds() []*resource.Kind {
	return []*resource.Kind{resource.Define(Kind, resource.Options[Spec]{
		Summary:  "what to do about one kind of trouble: texts, commands and operations, by hand or by itself",
		Defaults: defaults, Validate: validate,
	})}
}

func defaults(_ resource.Metadata, s *Spec) {
	for i := range s.Steps {
		step := &s.Steps[i]
		step.OnFailure = cmp.Or(step.OnFailure, FailureStop)
		if step.acts() {
			step.Approval = cmp.Or(step.Approval, ApprovalOperator)
		}
		if step.Command != "" {
			step.Limit = cmp.Or(step.Limit, 5*time.Minute)
		}
	}
	if s.Automatic != nil {
		s.Automatic.PerHour = cmp.Or(s.Automatic.PerHour, 1)
	}
}

// acts reports whether Flyball does the step, rather than a person.
func (s Step) acts() bool { return s.Command != "" || s.Operation != "" }

// Happened is what a condition of Automatic may ask about: what opened an
// incident, or was linked to it. Text, but for severity.
var Happened = condition.New(`kind == "alert" && objective.endsWith(".availability")`, map[string]condition.Type{
	"service": condition.Text, "environment": condition.Text, "team": condition.Text,
	"severity": condition.Whole, // of the incident, 1 is worst
	"kind":     condition.Text,  // rollback, alert, budget, or empty when declared by hand
	"alert":    condition.Text, "objective": condition.Text, "rollout": condition.Text,
	"text": condition.Text, // what it says of itself
})

func validate(c *resource.Checker, s *Spec) {
	if s.Title == "" {
		c.Errorf("title", "required", "a runbook has a title: the trouble it is for")
	}
	if s.Team == "" {
		c.Errorf("team", "required", "a runbook has an owner: name a Team")
	}
	c.Refers("team", catalog.KindTeam, s.Team)
	for i, name := range s.Services {
		c.Refers(fmt.Sprintf("services[%d]", i), catalog.KindService, name)
	}
	if len(s.Services) > maxServices {
		c.Errorf("services", "range", "%d services; at most %d", len(s.Services), maxServices)
	}
	switch {
	case len(s.Steps) == 0:
		c.Errorf("steps", "required", "a runbook without steps helps nobody; give at least one")
	case len(s.Steps) > maxSteps:
		c.Errorf("steps", "range", "%d steps; at most %d", len(s.Steps), maxSteps)
		return
	}
	names := map[string]bool{}
	for i, step := range s.Steps {
		at := fmt.Sprintf("steps[%d]", i)
		if names[step.Name] {
			c.Errorf(at+".name", "duplicate-name", "a step named %q is there already", step.Name)
		}
		names[step.Name] = true
		validateStep(c, at, step)
	}
	if s.Automatic != nil {
		validateAutomatic(c, *s)
	}
}

func validateStep(c *resource.Checker, at string, s Step) {
	if s.Name == "" || len(s.Name) > 60 {
		c.Errorf(at+".name", "required", "a step has a name of 1 to 60 characters")
	}
	n := 0
	for _, what := range []string{s.Text, s.Command, s.Operation} {
		if what != "" {
			n++
		}
		if len(what) > maxText {
			c.Errorf(at, "range", "a text or command has at most %d bytes", maxText)
		}
	}
	if n != 1 {
		c.Errorf(at, "exclusive", "a step is one of text, command and operation; this has %d of them", n)
	}
	if noun, verb, ok := strings.Cut(s.Operation, "."); s.Operation != "" && (!ok || noun == "" || verb == "") {
		c.Errorf(at+".operation", "format", "%q is no operation; write its noun and verb, such as incident.note", s.Operation)
	}
	if s.Operation == "" && len(s.Input) > 0 {
		c.Errorf(at+".input", "exclusive", "only an operation has an input")
	}
	if s.Command == "" && (len(s.Env) > 0 || len(s.Secrets) > 0 || s.Limit != 0) {
		c.Errorf(at, "exclusive", "only a command has env, secrets and limit")
	}
	if s.Limit < 0 || s.Limit > maxLimit {
		c.Errorf(at+".limit", "range", "limit is %s; it must be between 0s and 1h", s.Limit)
	}
	if s.Approval != "" && s.Approval != ApprovalNone && s.Approval != ApprovalOperator {
		c.Errorf(at+".approval", "enum", "approval is %q; it must be operator or none", s.Approval)
	}
	if s.Text != "" && s.Approval != "" {
		c.Errorf(at+".approval", "exclusive", "a text waits for the person who reads it; it needs no approval")
	}
	if s.OnFailure != FailureStop && s.OnFailure != FailureContinue {
		c.Errorf(at+".onFailure", "enum", "onFailure is %q; it must be stop or continue", s.OnFailure)
	}
	for variable, secret := range s.Secrets {
		if !plain(variable) || !plain(secret) {
			c.Errorf(at+".secrets", "format", "%s: %s: names have letters, digits and underscores", variable, secret)
		}
	}
	for variable := range s.Env {
		if !plain(variable) {
			c.Errorf(at+".env", "format", "%q: names have letters, digits and underscores", variable)
		}
	}
	for _, unknown := range unknownWords(s) {
		c.Errorf(at, "unknown-word", "${%s} is not known; there are ${%s}", unknown, strings.Join(words, "}, ${"))
	}
}

func validateAutomatic(c *resource.Checker, s Spec) {
	a := s.Automatic
	if err := Happened.Check(a.When); err != nil {
		c.Errorf("automatic.when", "condition", "%v; it may ask about %s", err, strings.Join(Happened.Variables(), ", "))
	}
	if a.PerHour < 1 || a.PerHour > maxPerHour {
		c.Errorf("automatic.perHour", "range", "perHour is %d; it must be between 1 and %d", a.PerHour, maxPerHour)
	}
	if a.StopAtBurn < 0 {
		c.Errorf("automatic.stopAtBurn", "range", "a burn rate is not negative; 14.4 spends a month's budget in two days")
	}
	if a.Saves < 0 || a.Saves > 24*time.Hour {
		c.Errorf("automatic.saves", "range", "saves is %s; it must be between 0s and 24h", a.Saves)
	}
	if len(s.Steps) > 0 && !s.Steps[0].acts() {
		c.Warnf("steps[0]", "waits", "it begins by itself and waits at once: its first step is a text for a person")
	}
}

func plain(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != "" && len(name) <= 100
}

// covers reports whether the runbook is for a service of a team.
func (s Spec) covers(service, team string) bool {
	if len(s.Services) == 0 {
		return s.Team == team
	}
	for _, name := range s.Services {
		if name == service {
			return true
		}
	}
	return false
}
