package pipeline

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/parser"
)

// Bounds on expressions.
const (
	MaxExpression = 4 << 10   // bytes of one expression
	maxCost       = 100_000   // CEL cost units of one evaluation
	MaxValue      = 64 << 10  // bytes of one evaluated template
	MaxText       = 256 << 10 // bytes of one template
)

// Expression is a checked CEL expression over the contexts change, env, needs,
// steps and the status functions success(), failure(), always(), cancelled().
type Expression struct {
	source  string
	program cel.Program
	boolean bool       // known to be true or false
	paths   [][]string // what it names, such as needs build result
	status  bool       // it asks for success() and the like
}

// The status functions become variables whose names nobody can write.
var statusVariables = map[string]string{"success": "@success", "failure": "@failure", "cancelled": "@cancelled"}

// language is the one CEL environment.
var language = sync.OnceValues(func() (*cel.Env, error) {
	text := cel.MapType(cel.StringType, cel.StringType)
	dyn := cel.MapType(cel.StringType, cel.DynType)
	options := []cel.EnvOption{
		cel.Variable("change", text), cel.Variable("env", text), cel.Variable("secrets", text),
		cel.Variable("needs", dyn), cel.Variable("steps", dyn),
		cel.ParserExpressionSizeLimit(MaxExpression), cel.ParserRecursionLimit(50),
		cel.Macros(cel.GlobalMacro("always", 0, func(h parser.ExprHelper, _ ast.Expr, _ []ast.Expr) (ast.Expr, *common.Error) {
			return h.NewIdent("@always"), nil
		})),
		cel.Variable("@always", cel.BoolType),
	}
	for function, variable := range statusVariables {
		options = append(options, cel.Variable(variable, cel.BoolType),
			cel.Macros(cel.GlobalMacro(function, 0, func(h parser.ExprHelper, _ ast.Expr, _ []ast.Expr) (ast.Expr, *common.Error) {
				return h.NewIdent(variable), nil
			})))
	}
	// GitHub writes these as functions of two texts; CEL has them as methods.
	for name, test := range map[string]func(a, b string) bool{
		"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix,
	} {
		options = append(options, cel.Function(name, cel.Overload(name+"_text_text", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(func(a, b ref.Val) ref.Val {
				return types.Bool(test(string(a.(types.String)), string(b.(types.String))))
			}))))
	}
	return cel.NewEnv(options...)
})

// ParseExpression checks the text between ${{ and }}.
func ParseExpression(source string) (*Expression, error) {
	source = strings.TrimSpace(source)
	if source == "" {
		return nil, fmt.Errorf("the expression is empty")
	}
	if len(source) > MaxExpression {
		return nil, fmt.Errorf("the expression is longer than %d bytes", MaxExpression)
	}
	env, err := language()
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(source)
	if issues.Err() != nil {
		return nil, explainIssue(source, issues.Errors()[0])
	}
	program, err := env.Program(checked, cel.CostLimit(maxCost))
	if err != nil {
		return nil, fmt.Errorf("expression %s: %w", brief(source), err)
	}
	e := &Expression{source: source, program: program, boolean: checked.OutputType().IsAssignableType(cel.BoolType)}
	ast.PostOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(e.visit))
	if t := checked.OutputType(); !e.boolean && !scalar(t) {
		return nil, fmt.Errorf("expression %s gives a %s; a text, number or true/false is needed", brief(source), t)
	}
	return e, nil
}

func scalar(t *cel.Type) bool {
	for _, ok := range []*cel.Type{cel.StringType, cel.IntType, cel.UintType, cel.DoubleType, cel.DynType} {
		if t.IsExactType(ok) {
			return true
		}
	}
	return false
}

// explainIssue makes one line of CEL's report.
func explainIssue(source string, issue *common.Error) error {
	message, _, _ := strings.Cut(issue.Message, "\n")
	if strings.Contains(message, "undeclared reference to 'github'") {
		message = "there is no github; the commit is change.commit, the branch change.branch"
	} else if name, ok := strings.CutPrefix(message, "undeclared reference to '"); ok {
		name, _, _ = strings.Cut(name, "'")
		message = fmt.Sprintf("there is no %s; expressions know change, env, needs, steps, secrets and success(), failure(), always(), cancelled()", name)
		if strings.Contains(source, "-"+name) {
			message += `; an id with a hyphen is written ["a-b"], as in needs["a-b"].result`
		}
	}
	return fmt.Errorf("expression %s: column %d: %s", brief(source), issue.Location.Column()+1, brief(message))
}

// brief is text on one short line, for messages.
func brief(s string) string {
	line := strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	line = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, line)
	if runes := []rune(line); len(runes) > 200 {
		return string(runes[:199]) + "…"
	}
	return line
}

// visit notes what a part of the expression names.
func (e *Expression) visit(x ast.Expr) {
	if x.Kind() == ast.IdentKind && strings.HasPrefix(x.AsIdent(), "@") {
		e.status = true
	}
	if path := pathOf(x); len(path) > 1 {
		e.paths = append(e.paths, path)
	}
}

// pathOf is a.b["c"] as a, b, c; nil for anything else. has(a.b) does not need
// b to exist and counts as a.
func pathOf(x ast.Expr) []string {
	switch x.Kind() {
	case ast.IdentKind:
		return []string{x.AsIdent()}
	case ast.SelectKind:
		path := pathOf(x.AsSelect().Operand())
		if path == nil || x.AsSelect().IsTestOnly() {
			return nil
		}
		return append(path, x.AsSelect().FieldName())
	case ast.CallKind:
		call := x.AsCall()
		if call.FunctionName() != "_[_]" {
			return nil
		}
		path := pathOf(call.Args()[0])
		if path == nil || call.Args()[1].Kind() != ast.LiteralKind {
			return nil
		}
		key, ok := call.Args()[1].AsLiteral().(types.String)
		if !ok {
			return nil
		}
		return append(path, string(key))
	}
	return nil
}

// Scope is what expressions see when they are evaluated.
type Scope struct {
	Change Change
	Env    map[string]string
	Needs  map[string]Need
	Steps  map[string]StepView
	Status Status
}

// Need is how a needed job ended, as needs.ID.
type Need struct {
	Result  Result            `json:"result"`
	Outputs map[string]string `json:"outputs,omitempty"`
}

// StepView is how an earlier step ended, as steps.ID.
type StepView struct {
	Outcome    Result            `json:"outcome"`    // before continue-on-error
	Conclusion Result            `json:"conclusion"` // after it
	Outputs    map[string]string `json:"outputs,omitempty"`
}

// Status is what success(), failure() and cancelled() answer.
type Status struct{ Success, Failure, Cancelled bool }

func (e *Expression) eval(s Scope) (ref.Val, error) {
	val, _, err := e.program.Eval(map[string]any{
		"change": s.Change.context(), "env": orEmpty(s.Env), "secrets": map[string]string{},
		"needs": e.needs(s), "steps": e.steps(s),
		"@always": true, "@success": s.Status.Success, "@failure": s.Status.Failure, "@cancelled": s.Status.Cancelled,
	})
	if err != nil {
		return nil, fmt.Errorf("expression %s: %w", brief(e.source), err)
	}
	return val, nil
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// outputs is what a job or step left, with an empty text for each output that
// the expression names and that was not left.
func (e *Expression) outputs(context, id string, left map[string]string) map[string]string {
	out := map[string]string{}
	for _, p := range e.paths {
		if len(p) == 4 && p[0] == context && p[1] == id && p[2] == "outputs" {
			out[p[3]] = ""
		}
	}
	for k, v := range left {
		out[k] = v
	}
	return out
}

func (e *Expression) needs(s Scope) map[string]any {
	out := map[string]any{}
	for id, n := range s.Needs {
		out[id] = map[string]any{"result": string(n.Result), "outputs": e.outputs("needs", id, n.Outputs)}
	}
	return out
}

func (e *Expression) steps(s Scope) map[string]any {
	out := map[string]any{}
	for id, v := range s.Steps {
		out[id] = map[string]any{"outcome": string(v.Outcome), "conclusion": string(v.Conclusion), "outputs": e.outputs("steps", id, v.Outputs)}
	}
	return out
}

// ParseCondition checks an if: an expression with or without ${{ }} that is
// true or false. Empty is success().
func ParseCondition(source string) (*Expression, error) {
	source = strings.TrimSpace(source)
	if inner, ok := strings.CutPrefix(source, "${{"); ok {
		if inner, ok = strings.CutSuffix(inner, "}}"); ok && !strings.Contains(inner, "${{") {
			source = inner
		}
	}
	if strings.TrimSpace(source) == "" {
		source = "success()"
	}
	e, err := ParseExpression(source)
	if err == nil && !e.boolean {
		err = fmt.Errorf("expression %s is not true or false; compare it, as in %s != ''", brief(e.source), brief(e.source))
	}
	return e, err
}

// Holds evaluates a condition. As on GitHub, one that asks for none of the
// status functions also needs success().
func (e *Expression) Holds(s Scope) (bool, error) {
	if !e.status && !s.Status.Success {
		return false, nil
	}
	val, err := e.eval(s)
	if err != nil {
		return false, err
	}
	b, ok := val.(types.Bool)
	if !ok {
		return false, fmt.Errorf("expression %s is not true or false", brief(e.source))
	}
	return bool(b), nil
}

// Template is text with ${{ expressions }} in it.
type Template struct {
	parts []part
}

type part struct {
	text string
	expr *Expression // in place of text
}

// ParseTemplate checks a text and the expressions in it.
func ParseTemplate(text string) (Template, error) {
	var t Template
	if len(text) > MaxText {
		return t, fmt.Errorf("the text is longer than %d KiB", MaxText>>10)
	}
	for {
		before, rest, found := strings.Cut(text, "${{")
		if before != "" {
			t.parts = append(t.parts, part{text: before})
		}
		if !found {
			return t, nil
		}
		end := endOfExpression(rest)
		if end < 0 {
			return t, fmt.Errorf("${{ is not closed by }}")
		}
		e, err := ParseExpression(rest[:end])
		if err != nil {
			return t, err
		}
		t.parts = append(t.parts, part{expr: e})
		text = rest[end+2:]
	}
}

// endOfExpression is where }} stands outside of quotes, or -1.
func endOfExpression(s string) int {
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
		case c == '\'' || c == '"':
			quote = c
		case c == '}' && strings.HasPrefix(s[i:], "}}"):
			return i
		}
	}
	return -1
}

// Expand evaluates a template.
func (t Template) Expand(s Scope) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		text := p.text
		if p.expr != nil {
			val, err := p.expr.eval(s)
			if err != nil {
				return "", err
			}
			if text, err = format(val); err != nil {
				return "", fmt.Errorf("expression %s: %w", brief(p.expr.source), err)
			}
			if len(text) > MaxValue {
				return "", fmt.Errorf("expression %s gives more than %d KiB", brief(p.expr.source), MaxValue>>10)
			}
		}
		if b.Len()+len(text) > 2*MaxText {
			return "", fmt.Errorf("the text grows beyond %d KiB", 2*MaxText>>10)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func format(v ref.Val) (string, error) {
	switch v := v.(type) {
	case types.String:
		return string(v), nil
	case types.Bool:
		return strconv.FormatBool(bool(v)), nil
	case types.Int:
		return strconv.FormatInt(int64(v), 10), nil
	case types.Uint:
		return strconv.FormatUint(uint64(v), 10), nil
	case types.Double:
		if f := float64(v); !math.IsNaN(f) {
			return strconv.FormatFloat(f, 'g', -1, 64), nil
		}
		return "NaN", nil
	}
	return "", fmt.Errorf("it gives a %s, not a text, number or true/false", v.Type().TypeName())
}

// expressions are the expressions of a template.
func (t Template) expressions() []*Expression {
	var out []*Expression
	for _, p := range t.parts {
		if p.expr != nil {
			out = append(out, p.expr)
		}
	}
	return out
}

// secret is the name if the template is exactly ${{ secrets.NAME }}.
func (t Template) secret() (string, bool) {
	if len(t.parts) != 1 || t.parts[0].expr == nil {
		return "", false
	}
	e := t.parts[0].expr
	if len(e.paths) == 1 && len(e.paths[0]) == 2 && e.paths[0][0] == "secrets" && e.source == "secrets."+e.paths[0][1] {
		return e.paths[0][1], true
	}
	return "", false
}
