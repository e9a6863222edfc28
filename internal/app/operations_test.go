package app

import (
	"slices"
	"testing"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/face/facetest"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/runbook"
	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// Route, OpenAPI entry, command and permission of every operation come from
// one declaration and agree.
func TestEveryOperationAgrees(t *testing.T) {
	facetest.Agree(t, memory.New(memory.Options{}).Log(), Declarations())
}

// Every automatic decision can be recomputed: each controller that runs has a
// replayer, and each action type that is gated has its gate known to why.
func TestEveryDecisionCanBeReplayed(t *testing.T) {
	a, err := New(Config{Clock: clock.Wall()}, Ports{Store: memory.New(memory.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	replayers := Replayers()
	for _, name := range a.controls.Names() {
		if name != a.executor.Name() && name != pulseName && replayers[name] == nil {
			t.Errorf("decisions of controller %s cannot be recomputed: list it in Replayers", name)
		}
	}
	if got := a.executor.Gated(); !slices.Equal(got, []string{incident.ActionRemind, release.ActionStart, runbook.ActionCommand, runbook.ActionOperation}) {
		t.Errorf("gated action types are %v: give why the gate of each", got)
	}
	for _, want := range []string{"step.run", "step.cancel", "artifact.build", "rollout.start", "workload.ensure", "workload.remove", "workload.restart", "traffic.shift", "notify.page"} {
		if !slices.Contains(a.executor.Types(), want) {
			t.Errorf("there is no action type %s", want)
		}
	}
}
