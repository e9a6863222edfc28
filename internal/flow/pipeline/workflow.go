package pipeline

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Time limits in minutes.
const (
	DefaultTimeoutMinutes = 60
	MaxTimeoutMinutes     = 24 * 60
)

// Spec is a pipeline: what runs when a commit is pushed.
type Spec struct {
	On          Triggers          `json:"on,omitzero"`
	Env         map[string]string `json:"env,omitempty"` // of every step; values are templates
	Concurrency *Concurrency      `json:"concurrency,omitempty"`
	Jobs        map[string]Job    `json:"jobs"`
}

// Triggers say which pushes start a run.
type Triggers struct {
	Push *Push `json:"push,omitempty"`
}

// Push narrows pushes to branches: patterns in which * matches within one part
// of a name, ** any number of parts and ! takes away. None is the branch the
// service watches.
type Push struct {
	Branches []string `json:"branches,omitempty"`
}

// Concurrency puts runs, or jobs of different runs, in a group of which one
// runs at a time.
type Concurrency struct {
	Group            string `json:"group"` // a template
	CancelInProgress bool   `json:"cancel-in-progress,omitempty"`
}

// Job is steps that run one after another in one checkout.
type Job struct {
	Name           string            `json:"name,omitempty"`
	Needs          Names             `json:"needs,omitempty"` // jobs that end first
	If             string            `json:"if,omitempty"`
	Env            map[string]string `json:"env,omitempty"`
	Steps          []Step            `json:"steps,omitempty"`
	TimeoutMinutes float64           `json:"timeout-minutes,omitempty"` // of all steps together
	Concurrency    *Concurrency      `json:"concurrency,omitempty"`
	Outputs        map[string]string `json:"outputs,omitempty"` // templates over the steps' outputs
	// Environment names where the job deploys to. Once started, such a job is
	// not cancelled half-way.
	Environment string    `json:"environment,omitempty"`
	Artifact    *Artifact `json:"artifact,omitempty"`
	RunsOn      any       `json:"runs-on,omitempty"` // accepted and ignored
	Uses        string    `json:"uses,omitempty"`    // refused, with advice
}

// Artifact names what becomes the service's image once the job's steps
// succeeded. One job of a pipeline may have it.
type Artifact struct {
	Files []string `json:"files"` // patterns, see port/image
}

// Step is one command.
type Step struct {
	ID               string            `json:"id,omitempty"`
	Name             string            `json:"name,omitempty"`
	If               string            `json:"if,omitempty"`
	Run              string            `json:"run,omitempty"` // a template
	Shell            string            `json:"shell,omitempty"`
	WorkingDirectory string            `json:"working-directory,omitempty"`
	Env              map[string]string `json:"env,omitempty"`
	TimeoutMinutes   float64           `json:"timeout-minutes,omitempty"`
	ContinueOnError  bool              `json:"continue-on-error,omitempty"`
	Uses             string            `json:"uses,omitempty"` // refused, with advice
	With             any               `json:"with,omitempty"`
}

// Names is a list that may be written as a single name.
type Names []string

// UnmarshalNode implements resource.Unmarshaler.
func (n *Names) UnmarshalNode(node *yaml.Node) error {
	names, ok := stringsOf(node)
	if !ok {
		return fmt.Errorf("expected a name or a list of names")
	}
	*n = names
	return nil
}

// UnmarshalNode reads on: push, on: [push] and on: {push: {branches: […]}}.
func (t *Triggers) UnmarshalNode(node *yaml.Node) error {
	node = resolve(node)
	if events, ok := stringsOf(node); ok {
		for _, e := range events {
			if err := t.add(e, nil); err != nil {
				return err
			}
		}
		return nil
	}
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("expected push, or push with branches")
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if err := t.add(node.Content[i].Value, resolve(node.Content[i+1])); err != nil {
			return err
		}
	}
	return nil
}

func (t *Triggers) add(event string, with *yaml.Node) error {
	if event != "push" {
		return fmt.Errorf("%.40q does not start pipelines; push does", event)
	}
	t.Push = &Push{}
	if with == nil || with.Tag == "!!null" {
		return nil
	}
	if with.Kind != yaml.MappingNode {
		return fmt.Errorf("expected push to have branches")
	}
	for i := 0; i+1 < len(with.Content); i += 2 {
		if key := with.Content[i].Value; key != "branches" {
			return fmt.Errorf("unknown field %.40q of push; it has branches", key)
		}
		branches, ok := stringsOf(with.Content[i+1])
		if !ok {
			return fmt.Errorf("expected branches to be a list of names or patterns")
		}
		t.Push.Branches = branches
	}
	return nil
}

// UnmarshalNode reads concurrency: group and concurrency: {group: …}.
func (c *Concurrency) UnmarshalNode(node *yaml.Node) error {
	node = resolve(node)
	if node.Kind == yaml.ScalarNode && node.Tag != "!!null" {
		c.Group = node.Value
		return nil
	}
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("expected a group's name, or group and cancel-in-progress")
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i].Value, resolve(node.Content[i+1])
		switch {
		case key == "group" && value.Kind == yaml.ScalarNode:
			c.Group = value.Value
		case key == "cancel-in-progress":
			if value.Decode(&c.CancelInProgress) != nil {
				return fmt.Errorf("expected cancel-in-progress to be true or false")
			}
		default:
			return fmt.Errorf("unknown field %.40q; concurrency has group and cancel-in-progress", key)
		}
	}
	return nil
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// stringsOf reads a scalar or a list of scalars.
func stringsOf(n *yaml.Node) ([]string, bool) {
	n = resolve(n)
	if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		return []string{n.Value}, true
	}
	if n.Kind != yaml.SequenceNode {
		return nil, false
	}
	out := make([]string, 0, len(n.Content))
	for _, c := range n.Content {
		c = resolve(c)
		if c.Kind != yaml.ScalarNode || c.Tag == "!!null" {
			return nil, false
		}
		out = append(out, c.Value)
	}
	return out, true
}

// Starts reports whether a push to a branch starts the pipeline. watched is
// the branch of the service.
func (s Spec) Starts(branch, watched string) bool {
	if s.On.Push == nil || len(s.On.Push.Branches) == 0 {
		return branch == watched
	}
	starts := false
	for _, p := range s.On.Push.Branches {
		pattern, negative := strings.CutPrefix(p, "!")
		if matchBranch(pattern, branch) {
			starts = !negative
		}
	}
	return starts
}

func matchBranch(pattern, branch string) bool {
	expr := regexp.QuoteMeta(pattern)
	expr = strings.ReplaceAll(expr, `\*\*`, `.*`)
	expr = strings.ReplaceAll(expr, `\*`, `[^/]*`)
	expr = strings.ReplaceAll(expr, `\?`, `[^/]`)
	ok, err := regexp.MatchString(`^(?:`+expr+`)$`, branch)
	return ok && err == nil
}

// Limit is how long the job's steps may take together.
func (j Job) Limit() time.Duration { return minutes(j.TimeoutMinutes) }

// Limit is how long the step may take; the job's limit holds too.
func (s Step) Limit() time.Duration { return minutes(s.TimeoutMinutes) }

func minutes(m float64) time.Duration {
	if m <= 0 {
		m = DefaultTimeoutMinutes
	}
	return time.Duration(m * float64(time.Minute))
}

// Title is what the job is called on pages: its name, or its id.
func (j Job) Title(id string) string {
	if j.Name != "" {
		return j.Name
	}
	return id
}

// Title is what the step is called on pages: its name, or its command's first line.
func (s Step) Title() string {
	if s.Name != "" {
		return s.Name
	}
	line, _, _ := strings.Cut(strings.TrimSpace(s.Run), "\n")
	if runes := []rune(line); len(runes) > 60 {
		line = string(runes[:59]) + "…"
	}
	return line
}

// Command is the program that runs a script in the step's shell. It is nil for
// the default shell: bash -e, or sh -e where there is no bash.
func (s Step) Command(script string) []string {
	switch s.Shell {
	case "bash":
		return []string{"bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script}
	case "sh":
		return []string{"sh", "-e", "-c", script}
	case "python":
		return []string{"python3", "-c", script}
	}
	return nil
}

// FromCommands is the pipeline of a service file's short form: one job that
// builds, tests and packs the files. Either command may be empty; without
// files, all of the checkout is packed.
func FromCommands(build, test string, files []string) Spec {
	job := Job{Artifact: &Artifact{Files: files}}
	if len(files) == 0 {
		job.Artifact.Files = []string{"."}
	}
	for _, s := range []Step{{ID: "build", Name: "build", Run: build}, {ID: "test", Name: "test", Run: test}} {
		if strings.TrimSpace(s.Run) != "" {
			job.Steps = append(job.Steps, s)
		}
	}
	return Spec{Jobs: map[string]Job{"build": job}}
}
