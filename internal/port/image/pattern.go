package image

import (
	"path"
	"slices"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Patterns selects files by path.
type Patterns struct {
	include, exclude [][]string // split at slashes
	text             []string   // of include
}

// Compile reads patterns: slash-separated paths from the root, in which * ? and
// [a-z] match within one part of a path and ** any number of parts. A pattern
// that matches a directory selects all below it; "." is everything. One that
// begins with ! takes away from what the others select. Patterns are the same
// on every machine: case counts, and a leading ./ or trailing / does not.
func Compile(patterns []string) (*Patterns, error) {
	p := &Patterns{}
	for _, text := range patterns {
		body, negative := strings.CutPrefix(text, "!")
		parts, err := splitPattern(body)
		if err != nil {
			return nil, problem.New(problem.Invalid, "image.files", "pattern %.80q %s", text, err)
		}
		if negative {
			p.exclude = append(p.exclude, parts)
		} else {
			p.include = append(p.include, parts)
			p.text = append(p.text, text)
		}
	}
	if len(p.include) == 0 {
		return nil, problem.New(problem.Invalid, "image.files", "no pattern selects anything").WithNext("name a file, a directory or . for everything")
	}
	return p, nil
}

type patternError string

func (e patternError) Error() string { return string(e) }

func splitPattern(s string) ([]string, error) {
	switch {
	case s == "":
		return nil, patternError("is empty")
	case len(s) > 1024 || strings.Count(s, "**") > 4:
		return nil, patternError("is too long or has more than four **")
	case strings.HasPrefix(s, "/"):
		return nil, patternError("begins with /; patterns are relative to the root of the checkout")
	case strings.ContainsAny(s, "\\\x00"):
		return nil, patternError(`contains a \ or NUL`)
	}
	var parts []string
	for part := range strings.SplitSeq(s, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			return nil, patternError("leads out of the checkout")
		case part != "**" && strings.Contains(part, "**"):
			return nil, patternError("has ** beside other characters; write it alone between slashes")
		}
		if _, err := path.Match(part, ""); err != nil {
			return nil, patternError("has an unclosed [")
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// Match reports whether the patterns select the file at a slash-separated path.
func (p *Patterns) Match(name string) bool {
	return p.match(name, func(int) {})
}

func (p *Patterns) match(name string, used func(pattern int)) bool {
	parts := strings.Split(name, "/")
	selected := false
	for i, pattern := range p.include {
		if below(pattern, parts) {
			selected = true
			used(i)
		}
	}
	return selected && !slices.ContainsFunc(p.exclude, func(pattern []string) bool { return below(pattern, parts) })
}

// below reports whether a pattern matches a path or a directory above it.
func below(pattern, parts []string) bool {
	if len(pattern) == 0 {
		return true
	}
	if pattern[0] == "**" {
		for i := range len(parts) + 1 {
			if len(pattern) == 1 && i == len(parts) {
				return false // a/** is what is below a, not a itself
			}
			if below(pattern[1:], parts[i:]) {
				return true
			}
		}
		return false
	}
	if len(parts) == 0 {
		return false
	}
	ok, _ := path.Match(pattern[0], parts[0])
	return ok && below(pattern[1:], parts[1:])
}

// Selection remembers which patterns have selected anything.
type Selection struct {
	p    *Patterns
	used []bool
}

// Selection starts a selection over one set of paths.
func (p *Patterns) Selection() *Selection {
	return &Selection{p: p, used: make([]bool, len(p.include))}
}

// Match is Patterns.Match.
func (s *Selection) Match(name string) bool {
	return s.p.match(name, func(i int) { s.used[i] = true })
}

// Unused is the first pattern that selected nothing, or empty: a likely typing
// mistake, which would otherwise ship an incomplete artifact.
func (s *Selection) Unused() string {
	for i, used := range s.used {
		if !used {
			return s.p.text[i]
		}
	}
	return ""
}
