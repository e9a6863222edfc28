package rollout

import (
	"context"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// A revision is not given up because its runtime cannot be reached, however
// often; after a few tries it is for what lies in itself.
func TestAStartIsGivenUpForItsOwnFaultsOnly(t *testing.T) {
	for _, tt := range []struct {
		name     string
		kind     problem.Kind
		attempts int
		want     problem.Kind // Invalid is not tried again
	}{
		{"the agent does not answer", problem.Unavailable, 500, problem.Unavailable},
		{"another server leads", problem.Conflict, 500, problem.Conflict},
		{"the image is corrupt, once", problem.Internal, 0, problem.Internal},
		{"the image is corrupt, five times", problem.Internal, 4, problem.Invalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ensure := Types(nil, nil, func(context.Context, string) (string, error) {
				return "", problem.New(tt.kind, "test", "%s", tt.name)
			})[0]
			a := action.Action{Proposal: action.Proposal{ID: "a", Type: ActionEnsure, Params: action.Params(EnsureParams{})}, Attempts: tt.attempts}
			_, err := ensure.Run(t.Context(), a)
			if got := problem.KindOf(err); ensure.Name != ActionEnsure || ensure.Attempts != 0 || got != tt.want {
				t.Errorf("%s, at most %d attempts: %v is %s, want %s", ensure.Name, ensure.Attempts, err, got, tt.want)
			}
		})
	}
}
