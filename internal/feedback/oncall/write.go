package oncall

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// Write writes a resource as a document of YAML, as a person would.
func Write(kind, name string, spec any) (string, error) {
	data, err := json.Marshal(struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Metadata   map[string]string `json:"metadata"`
		Spec       any               `json:"spec"`
	}{resource.APIVersion, kind, map[string]string{"name": name}, spec})
	if err != nil {
		return "", err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil { // JSON is YAML in one line
		return "", err
	}
	relax(&doc)
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	err = enc.Encode(&doc)
	return b.String(), err
}

// relax leaves out the brackets, quotes that are not needed and what is empty,
// and writes durations as people do: in JSON they are nanoseconds.
func relax(n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		var kept []*yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			if value.Kind == yaml.MappingNode && len(value.Content) == 0 {
				continue
			}
			if ns, err := strconv.ParseInt(value.Value, 10, 64); err == nil && key.Value == "wait" {
				value.SetString(time.Duration(ns).String())
			}
			kept = append(kept, key, value)
		}
		n.Content = kept
	}
	if n.Kind != yaml.ScalarNode {
		n.Style = 0
	} else if n.Tag == "!!str" && n.Style == yaml.DoubleQuotedStyle {
		var plain any
		if yaml.Unmarshal([]byte(n.Value), &plain) == nil {
			if s, ok := plain.(string); ok && s == n.Value {
				n.Style = 0
			}
		}
	}
	for _, c := range n.Content {
		relax(c)
	}
}
