package slo

import (
	"context"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// exporters write objectives in the formats of others.
var exporters = map[string]func([]*Objective) ([]byte, error){
	"prometheus": ExportPrometheus,
	"grafana":    ExportGrafana,
	"openslo":    ExportOpenSLO,
}

// ExportFormats are the formats of Export.
func ExportFormats() []string { return []string{"prometheus", "grafana", "openslo"} }

// Export writes objectives as recording and alerting rules of Prometheus, as a
// Grafana dashboard over those rules, or as OpenSLO.
func Export(format string, objectives []*Objective) ([]byte, error) {
	write := exporters[format]
	if write == nil {
		return nil, problem.New(problem.Invalid, "slo.export", "%q is not a format", clip(format, 40)).WithNext("use %s", strings.Join(ExportFormats(), ", "))
	}
	return write(objectives)
}

// ExportInput names what to export.
type ExportInput struct {
	Objective string `json:"objective" arg:"1" doc:"key of the objective, such as checkout.prod.availability"`
	Format    string `json:"format" required:"true" enum:"prometheus,grafana,openslo" doc:"what to write: rules, a dashboard over them, or OpenSLO"`
}

// Exported is an objective in somebody else's format.
type Exported struct {
	Format string `json:"format"`
	Text   string `json:"text" doc:"the file"`
}

// Tell is the file.
func (e Exported) Tell() string { return e.Text }

func (w *Watcher) exportOperation() operation.Operation {
	return operation.Define(operation.Spec[ExportInput, Exported]{
		Noun: "slo", Verb: "export", Summary: "Write an objective as Prometheus rules, as a Grafana dashboard or as OpenSLO", Role: operation.Viewer,
		Handle: func(_ context.Context, _ operation.Caller, in ExportInput) (Exported, error) {
			s, err := w.Snapshot(in.Objective)
			if err != nil {
				return Exported{}, err
			}
			objectives := []*Objective{s.Objective}
			if s.Objective.composite() {
				if objectives, err = w.partsOf(s.Objective, in.Format); err != nil {
					return Exported{}, err
				}
			}
			text, err := Export(in.Format, objectives)
			return Exported{Format: in.Format, Text: string(text)}, err
		},
	})
}

// partsOf is what a composite is exported as: in OpenSLO its parts are one
// document. In Prometheus it would be a mean of ratios over windows that are
// each a series of its own, with gaps wherever a part has one: its parts have
// rules, it has none.
func (w *Watcher) partsOf(c *Objective, format string) ([]*Objective, error) {
	if format != "openslo" {
		return nil, problem.New(problem.Invalid, "slo.export", "%s is a composite, which has no events of its own to make %s of", c.Key(), format).
			WithNext("export its parts, such as %s, or the composite as openslo", c.Parts[0].Key)
	}
	var out []*Objective
	for _, p := range c.Parts {
		d, err := w.find(p.Key)
		if err != nil {
			return nil, err
		}
		out = append(out, d.objective)
	}
	return out, nil
}
