package cli

import (
	"bytes"
	"encoding/json"
)

// Print shows what a hand-written command answers as Show shows an
// operation's output: for people, or as JSON or YAML.
func (s *Session) Print(out any) error {
	var b bytes.Buffer
	raw, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	switch s.Format {
	case "json":
		b.Write(append(raw, '\n'))
	case "yaml":
		text, err := asYAML(raw)
		if err != nil {
			return err
		}
		b.Write(text)
	default:
		view{&b, s.Colour}.output(out)
	}
	if _, err := s.Out.Write(b.Bytes()); err != nil {
		return err
	}
	return answered(out)
}
