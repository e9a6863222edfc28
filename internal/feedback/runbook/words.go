package runbook

import (
	"regexp"
	"slices"
)

// words are what ${…} in an operation's input stands for. A command finds the
// same in its environment, as FLYBALL_SERVICE and so on: text from an alert is
// never pasted into a script.
var words = []string{"service", "environment", "team", "incident", "rollout", "run"}

var word = regexp.MustCompile(`\$\{([^}]*)\}`)

func (p Place) word(name string) (string, bool) {
	switch name {
	case "service":
		return p.Service, true
	case "environment":
		return p.Environment, true
	case "team":
		return p.Team, true
	case "incident":
		return p.Incident, true
	case "rollout":
		return p.Rollout, true
	case "run":
		return p.Run, true
	}
	return "", false
}

// fill puts a run's own words into an input.
func fill(v any, p Place) any {
	switch v := v.(type) {
	case string:
		return word.ReplaceAllStringFunc(v, func(s string) string {
			if text, ok := p.word(s[2 : len(s)-1]); ok {
				return text
			}
			return s
		})
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[key] = fill(value, p)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = fill(value, p)
		}
		return out
	}
	return v
}

// unknownWords lists those in a step's input that stand for nothing.
func unknownWords(s Step) (out []string) {
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			for _, m := range word.FindAllStringSubmatch(v, -1) {
				if !slices.Contains(words, m[1]) {
					out = append(out, m[1])
				}
			}
		case map[string]any:
			for _, value := range v {
				walk(value)
			}
		case []any:
			for _, value := range v {
				walk(value)
			}
		}
	}
	walk(map[string]any(s.Input))
	slices.Sort(out)
	return slices.Compact(out)
}
