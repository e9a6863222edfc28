package local

import (
	"io"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/agent/agenttest"
	"github.com/flyball-dev/flyball/internal/port/measure/measuretest"
	"github.com/flyball-dev/flyball/internal/port/traffic"
	"github.com/flyball-dev/flyball/internal/port/traffic/traffictest"
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

// serve makes a ready revision of shop in production.
func serve(t *testing.T, c *Client, revision string) {
	t.Helper()
	w := NewWorkloads(c)
	r := workload.Revision{
		Ref:     workload.Ref{Service: "shop", Environment: "production", Revision: revision},
		Command: agenttest.Service(workloadtest.Serves), Instances: 1,
		Readiness: workload.Readiness{Path: "/", Interval: 10 * time.Millisecond},
		Grace:     5 * time.Second,
	}
	if err := w.Ensure(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		list, err := w.Observe(t.Context(), "shop", "production")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			if s.Ref == r.Ref && s.State == workload.Ready {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready: %+v", revision, list)
		}
	}
}

// get sends one request and tells the revision that answered, or "".
func get(t *testing.T, client *http.Client, url, host string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.Header.Get("Revision")
}

func TestRouterConforms(t *testing.T) {
	traffictest.RunRouter(t, func(t *testing.T) traffictest.Router {
		a := agenttest.Spawn(t)
		c := client(t, a, 1)
		return traffictest.Router{
			Router: NewRouter(c),
			Make:   func(t *testing.T, revision string) { serve(t, c, revision) },
			Send: func(t *testing.T, host, path string, n int) map[string]int {
				got := map[string]int{}
				for range n {
					got[get(t, http.DefaultClient, a.URL()+path, host)]++
				}
				return got
			},
		}
	})
}

func TestSourceConforms(t *testing.T) {
	const threshold = 300 * time.Millisecond // of the slow page's half second
	measuretest.RunSource(t, func(t *testing.T) measuretest.Source {
		a := agenttest.New(t)
		a.Launch(t)
		c := client(t, a, 1)
		serve(t, c, "one")
		err := NewRouter(c).Shift(t.Context(), traffic.Split{
			Service: "shop", Environment: "production", Stable: "one",
			Shares:     []traffic.Share{{Revision: "one", Weight: traffic.Whole}},
			Thresholds: []time.Duration{threshold}, Limit: time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		return measuretest.Source{
			Source: NewSource(c), Threshold: threshold,
			Send: func(t *testing.T, n, failing, slow int) {
				var wg sync.WaitGroup
				for i := range n {
					path := "/"
					if i < failing {
						path = "/fail"
					} else if i < failing+slow {
						path = "/slow"
					}
					wg.Go(func() { get(t, http.DefaultClient, a.URL()+path, "x") })
				}
				wg.Wait()
			},
			Restart: func(t *testing.T) {
				a.Kill()
				a.Launch(t)
				c.Close()
			},
		}
	})
}
