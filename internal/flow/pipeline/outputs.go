package pipeline

import (
	"fmt"
	"strings"
)

// Bounds on what one step may leave.
const (
	MaxOutputsFile = 64 << 10 // bytes
	MaxOutputs     = 100
)

// Variables are what every step finds in its environment, beneath its own.
// outputs is the file for ParseOutputs, which must be empty when the step starts.
func (c Change) Variables(outputs string) map[string]string {
	return map[string]string{
		"CI": "true", "FLYBALL_OUTPUT": outputs, "GITHUB_OUTPUT": outputs,
		"FLYBALL_CHANGE": c.Name, "FLYBALL_SERVICE": c.Service, "FLYBALL_BRANCH": c.Branch, "FLYBALL_COMMIT": c.Commit,
	}
}

// ParseOutputs reads the file in which a step leaves outputs, in GitHub's
// format: lines name=value, or name<<MARK, lines, and MARK for a value of
// several lines.
func ParseOutputs(data []byte) (map[string]string, error) {
	if len(data) > MaxOutputsFile {
		return nil, fmt.Errorf("outputs are larger than %d KiB", MaxOutputsFile>>10)
	}
	out := map[string]string{}
	lines := strings.Split(strings.ToValidUTF8(string(data), "\uFFFD"), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSuffix(lines[i], "\r")
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, isLine := strings.Cut(line, "=")
		if before, mark, ok := strings.Cut(line, "<<"); ok && (!isLine || len(before) < len(name)) {
			end := endOf(lines, i+1, mark)
			if mark == "" || end < 0 {
				return nil, fmt.Errorf("outputs line %d: %.40s is not closed by a line %.40q", i+1, before, mark)
			}
			name, value = before, strings.Join(lines[i+1:end], "\n")
			i = end
		} else if !isLine {
			return nil, fmt.Errorf("outputs line %d: %.40q is not name=value", i+1, line)
		}
		if !idPattern.MatchString(name) {
			return nil, fmt.Errorf("outputs line %d: %.40q is not the name of an output", i+1, name)
		}
		out[name] = value
		if len(out) > MaxOutputs {
			return nil, fmt.Errorf("more than %d outputs", MaxOutputs)
		}
	}
	return out, nil
}

func endOf(lines []string, from int, mark string) int {
	for i := from; i < len(lines); i++ {
		if strings.TrimSuffix(lines[i], "\r") == mark {
			return i
		}
	}
	return -1
}
