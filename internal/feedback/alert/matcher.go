package alert

import (
	"regexp"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Matcher is a condition on one label, in the terms of Alertmanager: regular
// expressions are anchored at both ends, and an absent label is the empty text.
type Matcher struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	IsRegex bool   `json:"isRegex"`
	IsEqual bool   `json:"isEqual"`

	compiled *regexp.Regexp
}

const maxMatchers = 32

// compile checks matchers and makes them ready to use. At least one must not
// match the empty text, so that a slip silences not everything.
func compile(matchers []Matcher) ([]Matcher, error) {
	if len(matchers) == 0 || len(matchers) > maxMatchers {
		return nil, problem.New(problem.Invalid, "silence.create", "%d matchers; a silence has 1 to %d", len(matchers), maxMatchers)
	}
	out := make([]Matcher, len(matchers))
	narrow := false
	for i, m := range matchers {
		if m.Name == "" || len(m.Name) > maxName || len(m.Value) > maxValue {
			return nil, problem.New(problem.Invalid, "silence.create", "matcher %d: its name has 1 to %d bytes, its value at most %d", i+1, maxName, maxValue)
		}
		ready, err := m.ready()
		if err != nil {
			return nil, err
		}
		// As with Alertmanager, a negative matcher counts as one that is narrow.
		narrow = narrow || !m.IsEqual || !ready.matches("")
		out[i] = ready
	}
	if !narrow {
		return nil, problem.New(problem.Invalid, "silence.create", "every matcher matches the empty text, so this would silence everything").
			WithNext("name at least one label that must be there")
	}
	return out, nil
}

// ready is the matcher with its expression compiled.
func (m Matcher) ready() (Matcher, error) {
	if !m.IsRegex {
		return m, nil
	}
	var err error
	if m.compiled, err = regexp.Compile("^(?s:" + m.Value + ")$"); err != nil {
		err = problem.New(problem.Invalid, "alert.matcher", "%q is not a regular expression: %w", clip(m.Value, 100), err)
	}
	return m, err
}

func (m Matcher) matches(value string) bool {
	hit := value == m.Value
	if m.IsRegex {
		hit = m.compiled != nil && m.compiled.MatchString(value)
	}
	return hit == m.IsEqual
}

// matchAll reports whether labels meet every matcher.
func matchAll(matchers []Matcher, labels map[string]string) bool {
	for _, m := range matchers {
		if !m.matches(labels[m.Name]) {
			return false
		}
	}
	return true
}

// matcherForm is one matcher in text: name, operator, value with or without quotes.
var matcherForm = regexp.MustCompile(`^\s*([a-zA-Z_][a-zA-Z0-9_.-]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|(.*?))\s*$`)

var escaped = regexp.MustCompile(`\\.`)

// ParseMatcher reads a matcher such as severity=warning, job!="api" or
// instance=~"web.*".
func ParseMatcher(s string) (Matcher, error) {
	parts := matcherForm.FindStringSubmatch(s)
	if parts == nil {
		return Matcher{}, problem.New(problem.Invalid, "silence.create", "%q is not a matcher", clip(s, 100)).
			WithNext(`write it as severity=warning, job!="api" or instance=~"web.*"`)
	}
	value := escaped.ReplaceAllStringFunc(parts[3]+parts[4], func(s string) string {
		switch s[1] {
		case 'n':
			return "\n"
		case '"', '\\':
			return s[1:]
		}
		return s // no escape of ours: part of an expression
	})
	return Matcher{Name: parts[1], Value: value, IsRegex: parts[2] == "=~" || parts[2] == "!~", IsEqual: parts[2][0] == '='}, nil
}

// String is the matcher in text.
func (m Matcher) String() string {
	operators := map[[2]bool]string{{false, true}: "=", {false, false}: "!=", {true, true}: "=~", {true, false}: "!~"}
	return m.Name + operators[[2]bool{m.IsRegex, m.IsEqual}] + `"` + m.Value + `"`
}

// Filter makes a test of labels from matchers; without any, all pass.
func Filter(matchers []Matcher) (func(labels map[string]string) bool, error) {
	ready := make([]Matcher, len(matchers))
	for i, m := range matchers {
		var err error
		if ready[i], err = m.ready(); err != nil {
			return nil, err
		}
	}
	return func(labels map[string]string) bool { return matchAll(ready, labels) }, nil
}
