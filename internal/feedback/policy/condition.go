package policy

import (
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
)

// costLimit bounds the work of one evaluation, in CEL's own units; a
// condition of twenty comparisons needs fewer than a hundred.
const costLimit = 10_000

// environment is what conditions are checked against. Whole numbers compare
// with shares: remaining > 0 means what it says.
var environment = sync.OnceValues(func() (*cel.Env, error) { return cel.NewEnv(variables...) })

var variables = []cel.EnvOption{
	cel.CrossTypeNumericComparisons(true),
	cel.Variable("remaining", cel.DoubleType),
	cel.Variable("burn_1h", cel.DoubleType),
	cel.Variable("allowed", cel.DoubleType),
	cel.Variable("bad_left", cel.DoubleType),
	cel.Variable("level", cel.StringType),
	cel.Variable("objective", cel.StringType),
	cel.Variable("service", cel.StringType),
	cel.Variable("team", cel.StringType),
	cel.Variable("environment", cel.StringType),
	cel.Variable("change", cel.StringType),
	cel.Variable("marked", cel.StringType),
	cel.Variable("kind", cel.StringType),
}

// compile checks one condition. Its error is for the author of the policy.
func compile(condition string) (cel.Program, error) {
	if strings.TrimSpace(condition) == "" {
		return nil, fmt.Errorf("a condition is required, such as remaining > 0.5")
	}
	if len(condition) > maxCondition {
		return nil, fmt.Errorf("the condition is longer than %d bytes", maxCondition)
	}
	env, err := environment()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(condition)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, fmt.Errorf("%q, column %d: %s", condition, first.Location.Column()+1, first.Message)
	}
	if ast.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("%q gives a %s; a condition is true or false", condition, ast.OutputType())
	}
	return env.Program(ast, cel.CostLimit(costLimit))
}

// programs keeps conditions compiled: they are few, and asked every second.
type programs struct {
	mu   sync.Mutex
	kept map[string]cel.Program
}

// maxPrograms bounds what is kept; beyond it everything is compiled anew.
const maxPrograms = 1000

var compiled = programs{kept: map[string]cel.Program{}}

func (p *programs) get(condition string) (cel.Program, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if program, ok := p.kept[condition]; ok {
		return program, nil
	}
	program, err := compile(condition)
	if err != nil {
		return nil, err
	}
	if len(p.kept) >= maxPrograms {
		clear(p.kept)
	}
	p.kept[condition] = program
	return program, nil
}

// holds evaluates a condition over facts.
func holds(condition string, f Facts) (bool, error) {
	program, err := compiled.get(condition)
	if err != nil {
		return false, err
	}
	v, _, err := program.Eval(map[string]any{
		"remaining": f.Remaining, "burn_1h": f.Burn1h, "allowed": f.Allowed, "bad_left": f.BadLeft,
		"level": f.Level, "objective": f.Key,
		"service": f.Service, "team": f.Team, "environment": f.Environment,
		"change": f.Change.Change, "marked": f.Change.Marked, "kind": f.Change.Kind,
	})
	if err != nil {
		return false, fmt.Errorf("%q: %w", condition, err)
	}
	b, ok := v.Value().(bool)
	if !ok {
		return false, fmt.Errorf("%q gave %v", condition, v.Value())
	}
	return b, nil
}
