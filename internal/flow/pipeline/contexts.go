package pipeline

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Change is the pushed commit as expressions see it.
type Change struct {
	Name       string    `json:"name"` // of the change, such as checkout-3f2a91c
	Service    string    `json:"service"`
	Repository string    `json:"repository,omitempty"`
	Branch     string    `json:"branch"`
	Commit     string    `json:"commit"`
	Subject    string    `json:"subject"`
	Author     string    `json:"author"`
	Email      string    `json:"email,omitempty"`
	Time       time.Time `json:"time"` // of the commit
}

// context is the change as a map of texts.
func (c Change) context() map[string]string {
	return map[string]string{
		"name": c.Name, "service": c.Service, "repository": c.Repository, "branch": c.Branch, "commit": c.Commit,
		"subject": c.Subject, "author": c.Author, "email": c.Email, "time": c.Time.UTC().Format(time.RFC3339),
	}
}

// written are the fields of a change that whoever pushes can fill with any
// text. In a script they would be run.
var written = map[string]bool{"subject": true, "author": true, "email": true, "branch": true}

// contexts is what the expressions of one place may name.
type contexts struct {
	env     map[string]string // known variables; the value is a secret's name, or empty
	needs   map[string]Job    // by id; nil: needs has no meaning here
	steps   map[string]bool   // ids of earlier steps; nil: steps has no meaning here
	secrets bool              // ${{ secrets.NAME }} may stand here, alone
	script  bool              // the text is run by a shell
}

// check is the first thing an expression names that is not there, or nil.
func (c contexts) check(e *Expression) error {
	for _, path := range e.paths {
		var err error
		switch path[0] {
		case "change":
			err = c.checkChange(path)
		case "env":
			err = c.checkEnv(path[1])
		case "needs":
			err = c.checkNeeds(path)
		case "steps":
			err = c.checkSteps(path)
		case "secrets":
			err = fmt.Errorf("a secret stands alone as the value of a variable, as in env: {TOKEN: ${{ secrets.%s }}}; use $TOKEN in the script", path[1])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c contexts) checkChange(path []string) error {
	if _, ok := (Change{}).context()[path[1]]; !ok {
		return fmt.Errorf("change has no %s; it has %s", path[1], list(slices.Sorted(maps.Keys(Change{}.context()))))
	}
	if c.script && written[path[1]] {
		return fmt.Errorf("change.%s is text that whoever pushes chooses, and the shell would run it; give it to the step through env and write \"$NAME\"", path[1])
	}
	return nil
}

func (c contexts) checkEnv(name string) error {
	secret, ok := c.env[name]
	if !ok {
		return fmt.Errorf("env has no %s here; it has %s", name, list(slices.Sorted(maps.Keys(c.env))))
	}
	if secret != "" {
		return fmt.Errorf("env.%s is a secret, which expressions cannot read; the script can, as $%s", name, name)
	}
	return nil
}

func (c contexts) checkNeeds(path []string) error {
	if c.needs == nil {
		return fmt.Errorf("needs has no meaning here")
	}
	job, ok := c.needs[path[1]]
	if !ok {
		return fmt.Errorf("needs has no %s; the job needs %s", path[1], list(slices.Sorted(maps.Keys(c.needs))))
	}
	if len(path) > 2 && path[2] != "result" && path[2] != "outputs" {
		return fmt.Errorf("needs.%s has no %s; it has result and outputs", path[1], path[2])
	}
	if len(path) > 3 && path[2] == "outputs" {
		if _, ok := job.Outputs[path[3]]; !ok {
			return fmt.Errorf("job %s has no output %s; it has %s", path[1], path[3], list(slices.Sorted(maps.Keys(job.Outputs))))
		}
	}
	return nil
}

func (c contexts) checkSteps(path []string) error {
	if c.steps == nil {
		return fmt.Errorf("steps has no meaning here")
	}
	if !c.steps[path[1]] {
		return fmt.Errorf("there is no earlier step with id %s; there is %s", path[1], list(slices.Sorted(maps.Keys(c.steps))))
	}
	if len(path) > 2 && path[2] != "outcome" && path[2] != "conclusion" && path[2] != "outputs" {
		return fmt.Errorf("steps.%s has no %s; it has outcome, conclusion and outputs", path[1], path[2])
	}
	return nil
}

// list is names for a sentence.
func list(names []string) string {
	switch n := len(names); {
	case n == 0:
		return "nothing"
	case n > 12:
		return strings.Join(names[:12], ", ") + " and more"
	case n == 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}
