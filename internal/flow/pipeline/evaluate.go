package pipeline

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// status is what success() and the like answer about a set of jobs that ended.
func (r Run) status(jobs map[string]bool) Status {
	s := Status{Success: r.Cancelled == "", Cancelled: r.Cancelled != ""}
	for id := range jobs {
		switch r.Jobs[id].Result {
		case Success:
		case Failure:
			s.Success, s.Failure = false, true
		default:
			s.Success = false
		}
	}
	return s
}

// jobScope is what a job's own expressions see: its if, env, concurrency.
func (r Run) jobScope(id string) Scope {
	s := Scope{Change: r.Change, Needs: map[string]Need{}, Status: r.status(r.Spec.Ancestors(id))}
	for _, n := range r.Spec.Jobs[id].Needs {
		s.Needs[n] = Need{Result: r.Jobs[n].Result, Outputs: r.Jobs[n].Outputs}
	}
	return s
}

// stepScope is what the expressions of a job's step n see; n beyond the last is
// what its outputs see.
func (r Run) stepScope(id string, n int) Scope {
	s := r.jobScope(id)
	s.Steps = map[string]StepView{}
	cancelled := r.Jobs[id].Cancelled != ""
	s.Status = Status{Success: !cancelled, Cancelled: cancelled}
	steps, states := r.Spec.Jobs[id].Steps, r.Jobs[id].Steps
	for i := range min(n, len(steps)) {
		st := states[i]
		if steps[i].ID != "" {
			s.Steps[steps[i].ID] = StepView{Outcome: st.Outcome, Conclusion: st.Conclusion, Outputs: st.Outputs}
		}
		switch st.Conclusion {
		case Failure:
			s.Status.Success, s.Status.Failure = false, true
		case CancelledResult:
			s.Status.Success = false
		}
	}
	return s
}

// Environment is variables with their values, and those whose value is a
// secret, by the secret's name: what is a fact never holds a secret.
type Environment struct {
	Plain   map[string]string `json:"plain,omitempty"`
	Secrets map[string]string `json:"secrets,omitempty"`
}

// layer adds variables whose templates see those of the layers below.
func (e Environment) layer(env map[string]string, s Scope) (Environment, error) {
	out := Environment{Plain: maps.Clone(orEmpty(e.Plain)), Secrets: maps.Clone(orEmpty(e.Secrets))}
	s.Env = e.Plain
	for _, name := range slices.Sorted(maps.Keys(env)) {
		delete(out.Plain, name)
		delete(out.Secrets, name)
		t, err := ParseTemplate(env[name])
		if err != nil {
			return e, fmt.Errorf("env.%s: %w", name, err)
		}
		if secret, ok := t.secret(); ok {
			out.Secrets[name] = secret
			continue
		}
		if out.Plain[name], err = t.Expand(s); err != nil {
			return e, fmt.Errorf("env.%s: %w", name, err)
		}
	}
	return out, nil
}

// specEnv is the variables of the pipeline, as its jobs see them.
func (r Run) specEnv() (Environment, error) {
	return Environment{}.layer(r.Spec.Env, Scope{Change: r.Change})
}

// jobEnv is the variables of a job, as its steps see them.
func (r Run) jobEnv(id string) (Environment, error) {
	env, err := r.specEnv()
	if err != nil {
		return env, err
	}
	return env.layer(r.Spec.Jobs[id].Env, r.jobScope(id))
}

// command is a step's script and variables, evaluated.
func (r Run) command(id string, n int) (script string, env Environment, err error) {
	if env, err = r.jobEnv(id); err != nil {
		return "", env, err
	}
	step := r.Spec.Jobs[id].Steps[n]
	scope := r.stepScope(id, n)
	if env, err = env.layer(step.Env, scope); err != nil {
		return "", env, err
	}
	t, err := ParseTemplate(step.Run)
	if err != nil {
		return "", env, err
	}
	scope.Env = env.Plain
	script, err = t.Expand(scope)
	return script, env, err
}

// jobHolds evaluates a job's if.
func (r Run) jobHolds(id string) (bool, error) {
	cond, err := ParseCondition(r.Spec.Jobs[id].If)
	if err != nil {
		return false, err
	}
	env, err := r.specEnv()
	if err != nil {
		return false, err
	}
	scope := r.jobScope(id)
	scope.Env = env.Plain
	return cond.Holds(scope)
}

// stepHolds evaluates a step's if.
func (r Run) stepHolds(id string, n int) (bool, error) {
	cond, err := ParseCondition(r.Spec.Jobs[id].Steps[n].If)
	if err != nil {
		return false, err
	}
	env, err := r.jobEnv(id)
	if err != nil {
		return false, err
	}
	scope := r.stepScope(id, n)
	scope.Env = env.Plain
	return cond.Holds(scope)
}

// outputs evaluates a job's outputs.
func (r Run) outputs(id string) (map[string]string, error) {
	env, err := r.jobEnv(id)
	if err != nil {
		return nil, err
	}
	job := r.Spec.Jobs[id]
	scope := r.stepScope(id, len(job.Steps))
	scope.Env = env.Plain
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(job.Outputs)) {
		t, err := ParseTemplate(job.Outputs[name])
		if err != nil {
			return nil, fmt.Errorf("outputs.%s: %w", name, err)
		}
		if out[name], err = t.Expand(scope); err != nil {
			return nil, fmt.Errorf("outputs.%s: %w", name, err)
		}
	}
	return out, nil
}

// group is a job's concurrency group, evaluated; empty without one. The empty
// id is the run itself.
func (r Run) group(id string) (string, error) {
	c, env, err := r.Spec.Concurrency, Environment{}, error(nil)
	scope := Scope{Change: r.Change}
	if id != "" {
		c, scope = r.Spec.Jobs[id].Concurrency, r.jobScope(id)
	}
	if c == nil {
		return "", nil
	}
	if id == "" {
		env, err = r.specEnv()
	} else {
		env, err = r.jobEnv(id)
	}
	if err != nil {
		return "", err
	}
	t, err := ParseTemplate(c.Group)
	if err != nil {
		return "", fmt.Errorf("concurrency: %w", err)
	}
	scope.Env = env.Plain
	return t.Expand(scope)
}

// left is how much of a job's time limit its steps have not used.
func (r Run) left(id string) time.Duration {
	left := r.Spec.Jobs[id].Limit()
	for _, s := range r.Jobs[id].Steps {
		left -= time.Duration(s.Seconds * float64(time.Second))
	}
	return left
}
