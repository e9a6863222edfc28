// Package condition compiles and evaluates the conditions that people write in
// resources, in CEL (https://cel.dev): when a budget policy slows a release,
// say, or when a runbook may run by itself.
//
// A Language is the variables that one kind of condition may ask about. What it
// compiles is bounded in length and in the work of one evaluation, and kept,
// because conditions are few and asked often.
package condition

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"
	"google.golang.org/protobuf/types/known/structpb"
)

// Bounds on one condition.
const (
	MaxLength = 1000   // bytes
	costLimit = 10_000 // in CEL's own units; twenty comparisons need fewer than a hundred
	maxKept   = 1000   // programs; beyond it everything is compiled anew
)

// Type is what a variable holds.
type Type int

// The types.
const (
	Text   Type = iota // string
	Number             // float64; whole numbers compare with it, equality apart
	Whole              // int64
	Words              // map[string]string; a word that is not there makes the condition fail, unless it is asked for as words[?"x"].orValue("")
	Time               // time.Time
	Any                // what JSON can say: a map[string]any, a list, a text, a number
)

var types = map[Type]*cel.Type{Text: cel.StringType, Number: cel.DoubleType, Whole: cel.IntType, Words: cel.MapType(cel.StringType, cel.StringType),
	Time: cel.TimestampType, Any: cel.DynType}

// Language is one set of variables. It is safe for concurrent use.
type Language struct {
	example   string
	variables map[string]Type
	environ   func() (*cel.Env, error)

	mu   sync.Mutex
	kept map[string]cel.Program
}

// New makes a language. example is a condition in it, shown to whoever wrote
// none.
func New(example string, variables map[string]Type) *Language {
	return &Language{
		example: example, variables: variables, kept: map[string]cel.Program{},
		environ: sync.OnceValues(func() (*cel.Env, error) {
			options := []cel.EnvOption{cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), ext.Strings()}
			for name, t := range variables {
				options = append(options, cel.Variable(name, types[t]))
			}
			return cel.NewEnv(options...)
		}),
	}
}

// Variables lists the names a condition may use, in order.
func (l *Language) Variables() []string { return slices.Sorted(maps.Keys(l.variables)) }

// Check says what is wrong with a condition, for its author; nil if nothing is.
func (l *Language) Check(condition string) error {
	_, err := l.program(condition)
	return err
}

// Holds evaluates a condition. Every variable of the language has its value.
func (l *Language) Holds(condition string, values map[string]any) (bool, error) {
	program, err := l.program(condition)
	if err != nil {
		return false, err
	}
	v, _, err := program.Eval(values)
	if err != nil {
		return false, fmt.Errorf("%q: %w", condition, err)
	}
	b, ok := v.Value().(bool)
	if !ok {
		return false, fmt.Errorf("%q gave %v", condition, v.Value())
	}
	return b, nil
}

// CheckValue says what is wrong with an expression that may give anything.
func (l *Language) CheckValue(expression string) error {
	_, err := l.value(expression)
	return err
}

// Value evaluates an expression to what JSON can say: nil, a bool, a float64, a
// text, a []any or a map[string]any.
func (l *Language) Value(expression string, values map[string]any) (any, error) {
	program, err := l.value(expression)
	if err != nil {
		return nil, err
	}
	v, _, err := program.Eval(values)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", expression, err)
	}
	plain, err := v.ConvertToNative(reflect.TypeFor[*structpb.Value]())
	if err != nil {
		return nil, fmt.Errorf("%q: %w", expression, err)
	}
	return plain.(*structpb.Value).AsInterface(), nil
}

func (l *Language) program(condition string) (cel.Program, error) {
	return l.keep(condition, condition, true)
}

func (l *Language) value(expression string) (cel.Program, error) {
	return l.keep("value of "+expression, expression, false)
}

// keep compiles a text once, under a name of its own.
func (l *Language) keep(name, condition string, truth bool) (cel.Program, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if program, ok := l.kept[name]; ok {
		return program, nil
	}
	program, err := l.compile(condition, truth)
	if err != nil {
		return nil, err
	}
	if len(l.kept) >= maxKept {
		clear(l.kept)
	}
	l.kept[name] = program
	return program, nil
}

func (l *Language) compile(condition string, truth bool) (cel.Program, error) {
	if strings.TrimSpace(condition) == "" {
		return nil, fmt.Errorf("a condition is required, such as %s", l.example)
	}
	if len(condition) > MaxLength {
		return nil, fmt.Errorf("the condition is longer than %d bytes", MaxLength)
	}
	env, err := l.environ()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(condition)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, fmt.Errorf("%q, column %d: %s", condition, first.Location.Column()+1, first.Message)
	}
	if truth && ast.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("%q gives a %s; a condition is true or false", condition, ast.OutputType())
	}
	return env.Program(ast, cel.CostLimit(costLimit))
}
