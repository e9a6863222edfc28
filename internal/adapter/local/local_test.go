package local

import (
	"os"
	"testing"

	"github.com/flyball-dev/flyball/internal/agent/agenttest"
	"github.com/flyball-dev/flyball/internal/port/workload"
	"github.com/flyball-dev/flyball/internal/port/workload/workloadtest"
)

func TestMain(m *testing.M) { os.Exit(agenttest.Run(m)) }

func client(t *testing.T, a *agenttest.Agent, epoch int64) *Client {
	c := NewClient(a.AdminSocket, func() int64 { return epoch })
	t.Cleanup(c.Close)
	return c
}

func TestRuntimeConforms(t *testing.T) {
	workloadtest.RunRuntime(t, func(t *testing.T) workloadtest.Runtime {
		return workloadtest.Runtime{
			Runtime: NewWorkloads(client(t, agenttest.Spawn(t), 1)),
			Revision: func(b workloadtest.Behaviour) workload.Revision {
				return workload.Revision{Command: agenttest.Service(b)}
			},
		}
	})
}

func TestStepsConform(t *testing.T) {
	workloadtest.RunSteps(t, func(t *testing.T) workload.Steps { return NewSteps(t.TempDir()) })
}
