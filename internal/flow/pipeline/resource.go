package pipeline

import (
	"fmt"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/port/image"
)

// KindPipeline is the kind's name.
const KindPipeline = "Pipeline"

// Bounds on one pipeline.
const (
	MaxJobs  = 100
	MaxSteps = 100 // of one job
	MaxEnv   = 200 // variables of one level
)

// Kinds declares the kind Pipeline.
func Kinds() []*resource.Kind {
	return []*resource.Kind{
		resource.Define(KindPipeline, resource.Options[Spec]{
			Summary:  "what runs when a commit is pushed: jobs of steps, in the vocabulary of GitHub Actions",
			Validate: func(c *resource.Checker, s *Spec) { s.Check(reporter{c.Errorf, c.Warnf}) },
		}),
	}
}

// Reporter receives what is wrong with a Spec. path is relative to the spec,
// such as jobs.build.steps[0].run.
type Reporter interface {
	Errorf(path, code, format string, args ...any)
	Warnf(path, code, format string, args ...any)
}

type reporter struct {
	errorf, warnf func(path, code, format string, args ...any)
}

func (r reporter) Errorf(path, code, format string, args ...any) {
	r.errorf(path, code, format, args...)
}
func (r reporter) Warnf(path, code, format string, args ...any) { r.warnf(path, code, format, args...) }

var (
	idPattern       = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,62}$`)
	variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
)

// Check reports everything that is wrong with a pipeline.
func (s Spec) Check(r Reporter) {
	v := &validation{Reporter: r, spec: s}
	if len(s.Jobs) == 0 {
		r.Errorf("jobs", "required", "a pipeline has at least one job")
	}
	if len(s.Jobs) > MaxJobs {
		r.Errorf("jobs", "range", "%d jobs; at most %d", len(s.Jobs), MaxJobs)
		return
	}
	v.branches()
	env := v.env("env", s.Env, contexts{})
	v.concurrency("concurrency", s.Concurrency, contexts{env: env})
	var packing []string
	for _, id := range slices.Sorted(maps.Keys(s.Jobs)) {
		v.job(id, s.Jobs[id], env)
		if s.Jobs[id].Artifact != nil {
			packing = append(packing, id)
		}
	}
	if len(packing) > 1 {
		r.Errorf("jobs."+packing[1]+".artifact", "repeated-field", "jobs %s all make the artifact; one job does", list(packing))
	}
	if cycle := s.Cycle(); cycle != nil {
		r.Errorf("jobs."+cycle[0]+".needs", "cycle", "jobs need each other in a circle: %s", strings.Join(cycle, " → "))
	}
}

type validation struct {
	Reporter
	spec Spec
}

func (v *validation) branches() {
	if v.spec.On.Push == nil {
		return
	}
	only := len(v.spec.On.Push.Branches) > 0
	for i, b := range v.spec.On.Push.Branches {
		if strings.Trim(b, "! ") == "" || len(b) > 255 || strings.Count(b, "*") > 10 {
			v.Errorf(fmt.Sprintf("on.push.branches[%d]", i), "format", "%.40q is not a branch or a pattern of branches", b)
		}
		only = only && strings.HasPrefix(b, "!")
	}
	if only {
		v.Errorf("on.push.branches", "required", "only excluded branches are named; name one that starts runs, such as '**'")
	}
}

// env checks variables and returns which the level below can name.
func (v *validation) env(at string, env map[string]string, c contexts) map[string]string {
	known := maps.Clone(c.env)
	if known == nil {
		known = map[string]string{}
	}
	if len(env) > MaxEnv {
		v.Errorf(at, "range", "%d variables; at most %d", len(env), MaxEnv)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !variablePattern.MatchString(name) {
			v.Errorf(at+"."+name, "format", "%.40q is not the name of a variable; use letters, digits and _", name)
			continue
		}
		c.secrets = true
		known[name] = v.template(at+"."+name, env[name], c)
	}
	return known
}

// template checks a text and returns the secret it is, if it is one.
func (v *validation) template(at, text string, c contexts) (secret string) {
	t, err := ParseTemplate(text)
	if err != nil {
		v.Errorf(at, "expression", "%s", err)
		return ""
	}
	if name, ok := t.secret(); ok && c.secrets {
		return name
	}
	for _, e := range t.expressions() {
		if e.status {
			v.Errorf(at, "expression", "success(), failure(), always() and cancelled() belong in if")
		}
		v.expression(at, e, c)
	}
	return ""
}

func (v *validation) expression(at string, e *Expression, c contexts) {
	if err := c.check(e); err != nil {
		v.Errorf(at, "expression", "%s", err)
	}
}

func (v *validation) condition(at, source string, c contexts) {
	e, err := ParseCondition(source)
	if err != nil {
		v.Errorf(at, "expression", "%s", err)
		return
	}
	v.expression(at, e, c)
}

func (v *validation) concurrency(at string, g *Concurrency, c contexts) {
	if g == nil {
		return
	}
	if strings.TrimSpace(g.Group) == "" {
		v.Errorf(at, "required", "a concurrency group has a name")
	}
	v.template(at+".group", g.Group, c)
}

func (v *validation) timeout(at string, m float64) {
	if m < 0 || m > MaxTimeoutMinutes || math.IsNaN(m) {
		v.Errorf(at+".timeout-minutes", "range", "timeout-minutes is %g; it must be more than 0 and at most %d", m, MaxTimeoutMinutes)
	}
}

func (v *validation) job(id string, j Job, env map[string]string) {
	at := "jobs." + id
	if !idPattern.MatchString(id) {
		v.Errorf(at, "format", "%.40q is not a job's id; begin with a letter or _, then letters, digits, _ and -", id)
	}
	c := contexts{env: env, needs: v.needs(at, id, j)}
	v.condition(at+".if", j.If, c)
	v.timeout(at, j.TimeoutMinutes)
	c.env = v.env(at+".env", j.Env, c)
	v.concurrency(at+".concurrency", j.Concurrency, c)
	if j.Environment != "" && j.Concurrency != nil && j.Concurrency.CancelInProgress {
		v.Warnf(at+".concurrency", "no-effect", "a job that deploys is never cancelled half-way: cancel-in-progress concerns only those that wait")
	}
	if j.RunsOn != nil {
		v.Warnf(at+".runs-on", "no-effect", "runs-on has no effect: steps run on the machine of the agent")
	}
	if j.Uses != "" {
		v.Errorf(at+".uses", "unsupported", "%s: reusable workflows are not run; write the job's steps here", j.Uses)
	} else if len(j.Steps) == 0 && j.Artifact == nil {
		v.Errorf(at, "required", "job %s has no steps", id)
	}
	c.steps = v.steps(at, j.Steps, c)
	for _, name := range slices.Sorted(maps.Keys(j.Outputs)) {
		v.template(at+".outputs."+name, j.Outputs[name], c)
	}
	if j.Artifact != nil {
		v.artifact(at+".artifact.files", j.Artifact.Files)
	}
}

func (v *validation) needs(at, id string, j Job) map[string]Job {
	needs := map[string]Job{}
	for i, n := range j.Needs {
		place := fmt.Sprintf("%s.needs[%d]", at, i)
		if len(j.Needs) == 1 {
			place = at + ".needs"
		}
		other, exists := v.spec.Jobs[n]
		switch _, twice := needs[n]; {
		case n == id:
			v.Errorf(place, "cycle", "a job cannot need itself")
		case twice:
			v.Errorf(place, "repeated-field", "job %s is named twice", n)
		case !exists:
			v.Errorf(place, "missing-reference", "there is no job %q; there is %s", n, list(slices.Sorted(maps.Keys(v.spec.Jobs))))
		}
		needs[n] = other
	}
	return needs
}

func (v *validation) steps(at string, steps []Step, c contexts) map[string]bool {
	ids := map[string]bool{}
	if len(steps) > MaxSteps {
		v.Errorf(at+".steps", "range", "%d steps; at most %d", len(steps), MaxSteps)
		return ids
	}
	for i, s := range steps {
		here := fmt.Sprintf("%s.steps[%d]", at, i)
		c.steps = maps.Clone(ids)
		v.step(here, s, c)
		if s.ID == "" {
			continue
		}
		if !idPattern.MatchString(s.ID) {
			v.Errorf(here+".id", "format", "%.40q is not a step's id; begin with a letter or _, then letters, digits, _ and -", s.ID)
		}
		if ids[s.ID] {
			v.Errorf(here+".id", "duplicate-name", "another step has the id %s", s.ID)
		}
		ids[s.ID] = true
	}
	return ids
}

func (v *validation) step(at string, s Step, c contexts) {
	if s.Uses != "" {
		v.Errorf(at+".uses", "unsupported", "%s: %s", s.Uses, insteadOf(s.Uses))
		return
	}
	if s.With != nil {
		v.Errorf(at+".with", "unsupported", "with belongs to uses; give values to a command through env")
	}
	v.condition(at+".if", s.If, c)
	c.env = v.env(at+".env", s.Env, c)
	if strings.TrimSpace(s.Run) == "" {
		v.Errorf(at, "required", "a step has a command: run")
	}
	script := c
	script.script = true
	v.template(at+".run", s.Run, script)
	switch s.Shell {
	case "", "bash", "sh", "python":
	default:
		v.Errorf(at+".shell", "enum", "shell is %.40q; it must be bash, sh or python", s.Shell)
	}
	if d := s.WorkingDirectory; d != "" && (path.IsAbs(d) || strings.HasPrefix(path.Clean(d), "..")) {
		v.Errorf(at+".working-directory", "format", "%.80q is outside of the checkout", d)
	}
	v.timeout(at, s.TimeoutMinutes)
}

// insteadOf says what to write in place of an action.
func insteadOf(uses string) string {
	name, _, _ := strings.Cut(uses, "@")
	switch {
	case name == "actions/checkout":
		return "leave it out: every job starts in a fresh checkout of the commit"
	case strings.HasPrefix(name, "actions/setup-"):
		return "leave it out and install the tool on the machine of the agent: steps find it in PATH"
	case name == "actions/upload-artifact":
		return "name the files under the job's artifact: {files: […]}"
	case name == "actions/cache":
		return "leave it out: actions are not run"
	}
	return "actions are not run; write what it does as a command: run"
}

func (v *validation) artifact(at string, files []string) {
	if len(files) == 0 {
		v.Errorf(at, "required", "name the files that are needed to run, such as [bin/server]")
		return
	}
	if _, err := image.Compile(files); err != nil {
		v.Errorf(at, "format", "%s", err)
	}
}
