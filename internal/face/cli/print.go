package cli

import (
	"bytes"
	"encoding/json"

	"github.com/flyball-dev/flyball/internal/face/sheet"
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
	case "csv":
		if err := sheet.Write(&b, out); err != nil {
			return usage("use -o json, which shows any answer", "this answer is no table: %v", err)
		}
	default:
		view{&b, s.Colour}.output(out)
	}
	if _, err := s.Out.Write(b.Bytes()); err != nil {
		return err
	}
	return answered(out)
}
