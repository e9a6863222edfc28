package artifact

import (
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Artifact is the folded state of one artifact.
type Artifact struct {
	Built
	Name    string    `json:"name"`
	BuiltAt time.Time `json:"built_at"`
	Event   string    `json:"event"`
}

// ProjectionName is where artifacts are folded, keyed by name and indexed by
// "change", "service" and "all".
const ProjectionName = "artifact"

// Projection folds artifacts.
func Projection() *projection.Projection {
	return projection.Define(projection.Fold[Artifact]{
		Name: ProjectionName, Version: 1, Types: []string{EventBuilt},
		Keys: func(e event.Event) []string {
			if name, ok := strings.CutPrefix(e.Subject, "artifact/"); ok {
				return []string{name}
			}
			return nil
		},
		Apply: func(name string, _ Artifact, e event.Event) (Artifact, error) {
			b, err := event.Decode[Built](e)
			return Artifact{Built: b, Name: name, BuiltAt: e.Time, Event: e.ID}, err
		},
		Indexes: func(_ string, a Artifact) []projection.Index {
			at := fmt.Sprintf("%020d", a.BuiltAt.UnixMicro())
			return []projection.Index{{Name: "change", Value: a.Change, Sort: at}, {Name: "service", Value: a.Service, Sort: at}, {Name: "all", Value: "yes", Sort: at}}
		},
	})
}
