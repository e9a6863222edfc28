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
			text, err := Export(in.Format, []*Objective{s.Objective})
			return Exported{Format: in.Format, Text: string(text)}, err
		},
	})
}
