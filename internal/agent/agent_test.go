package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flyball-dev/flyball/internal/adapter/local"
	"github.com/flyball-dev/flyball/internal/agent"
	"github.com/flyball-dev/flyball/internal/agent/agenttest"
	"github.com/flyball-dev/flyball/internal/agent/contract"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/traffic"
	"github.com/flyball-dev/flyball/internal/port/workload"
	"github.com/flyball-dev/flyball/internal/port/workload/workloadtest"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "spawn-and-hang" { // a server to be killed
		err := agent.Spawn(context.Background(), config(os.Args[2], os.Args[3]))
		fmt.Println("spawned", err)
		select {}
	}
	os.Exit(agenttest.Run(m))
}

func config(dir, listen string) agent.Config {
	return agent.Config{Dir: dir, ProxyListen: listen, AdminSocket: filepath.Join(dir, "agent.sock"), Clock: wall}
}

var wall = clock.Wall()

const patience = 20 * time.Second

// world is an agent with a client.
type world struct {
	*agenttest.Agent
	client *local.Client
	run    local.Workloads
	router local.Router
}

func newWorld(t *testing.T, a *agenttest.Agent) world {
	c := local.NewClient(a.AdminSocket, func() int64 { return 1 })
	t.Cleanup(c.Close)
	return world{a, c, local.NewWorkloads(c), local.NewRouter(c)}
}

func revision(name string, b workloadtest.Behaviour) workload.Revision {
	return workload.Revision{
		Ref:     workload.Ref{Service: "shop", Environment: "production", Revision: name},
		Command: agenttest.Service(b), Instances: 1,
		Readiness: workload.Readiness{Path: "/", Interval: 10 * time.Millisecond},
		Grace:     10 * time.Second,
	}
}

// abrupt makes a revision's program end on SIGTERM without finishing anything.
func abrupt(r workload.Revision) workload.Revision {
	r.Env = map[string]string{"ABRUPT": "yes"}
	return r
}

func split(canary int, lease time.Duration) traffic.Split {
	s := traffic.Split{Service: "shop", Environment: "production", Stable: "v1", Lease: lease,
		Shares: []traffic.Share{{Revision: "v1", Weight: traffic.Whole - canary}}}
	if canary > 0 {
		s.Shares = append(s.Shares, traffic.Share{Revision: "v2", Weight: canary})
	}
	return s
}

func (w world) ensure(t *testing.T, r workload.Revision) {
	t.Helper()
	if err := w.run.Ensure(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func (w world) shift(t *testing.T, s traffic.Split) {
	t.Helper()
	if err := w.router.Shift(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func (w world) observe(t *testing.T) contract.Observed {
	t.Helper()
	o, err := w.client.Observed(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func until(t *testing.T, what string, ok func() (said any, ok bool)) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		said, done := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not %s within %s: %+v", what, patience, said)
		}
	}
}

func (w world) await(t *testing.T, name string, ok func(workload.Status) bool) (s workload.Status) {
	t.Helper()
	until(t, name+" as wanted", func() (any, bool) {
		o := w.observe(t)
		for _, s = range o.Workloads {
			if s.Ref.Revision == name && ok(s) {
				return s, true
			}
		}
		return o, false
	})
	return s
}

func ready(s workload.Status) bool { return s.State == workload.Ready }

func (w world) get(path string) (body, revision string, err error) {
	resp, err := http.Get(w.URL() + path)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 && err == nil {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return string(text), resp.Header.Get("Revision"), err
}

func (w world) pid(t *testing.T) string {
	t.Helper()
	body, _, err := w.get("/pid")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestKilledAgentReadopts(t *testing.T) {
	w := newWorld(t, agenttest.New(t))
	w.Launch(t)
	r := revision("v1", workloadtest.Serves)
	r.Instances = 2
	w.ensure(t, r)
	w.shift(t, split(0, 0))
	before := w.await(t, "v1", ready)
	w.pid(t)
	for range 3 {
		w.Kill()
		w.Launch(t)
		// At once: no readiness probe may lie between the start and the first answer.
		if _, rev, err := w.get("/"); err != nil || rev != "v1" {
			t.Fatalf("the first request after the restart: %q, %v", rev, err)
		}
	}
	after := w.await(t, "v1", ready)
	for i := range after.Instances {
		b, a := before.Instances[i], after.Instances[i]
		if a.ID != b.ID || a.Pid != b.Pid || a.Port != b.Port || a.Restarts != 0 {
			t.Errorf("instance %+v became %+v", b, a)
		}
	}
	if len(after.Instances) != 2 {
		t.Errorf("%d instances, want 2", len(after.Instances))
	}
}

func TestChangesWhileTheAgentIsDown(t *testing.T) {
	w := newWorld(t, agenttest.New(t))
	w.Launch(t)
	w.ensure(t, revision("v1", workloadtest.Serves))
	w.shift(t, split(0, 0))
	pid := w.await(t, "v1", ready).Instances[0].Pid
	w.pid(t)
	w.Kill()
	unix.Kill(pid, unix.SIGKILL) // its supervisor restarts it meanwhile
	w.Launch(t)
	s := w.await(t, "v1", func(s workload.Status) bool { return ready(s) && s.Instances[0].Pid != pid })
	if s.Instances[0].Restarts != 1 {
		t.Errorf("%+v, want one restart", s.Instances[0])
	}
	until(t, "answered", func() (any, bool) { _, rev, err := w.get("/"); return err, rev == "v1" })
}

func TestSupervisorsKilledWhileTheAgentIsDown(t *testing.T) {
	w := newWorld(t, agenttest.New(t))
	w.Launch(t)
	w.ensure(t, revision("v1", workloadtest.Serves))
	s := w.await(t, "v1", ready)
	w.Kill()
	text, err := os.ReadFile(filepath.Join(w.Dir, "instances/shop/production/v1", s.Instances[0].ID, "status.json"))
	var status struct{ Supervisor int }
	if err := errors.Join(err, json.Unmarshal(text, &status)); err != nil {
		t.Fatal(err)
	}
	unix.Kill(status.Supervisor, unix.SIGKILL) // as if the machine had been switched off
	w.Launch(t)
	after := w.await(t, "v1", func(s workload.Status) bool { return ready(s) && s.Instances[0].Restarts > 0 })
	if len(after.Instances) != 1 {
		t.Errorf("%+v", after)
	}
}

func TestAgentComesBackByItself(t *testing.T) {
	w := newWorld(t, agenttest.Spawn(t))
	w.ensure(t, revision("v1", workloadtest.Serves))
	w.shift(t, split(0, 0))
	before := w.await(t, "v1", ready).Instances[0]
	text, err := os.ReadFile(filepath.Join(w.Dir, "runs/1/status.json"))
	var status struct{ Pid int }
	if err := errors.Join(err, json.Unmarshal(text, &status)); err != nil {
		t.Fatal(err)
	}
	unix.Kill(status.Pid, unix.SIGKILL)
	began := time.Now()
	until(t, "answered", func() (any, bool) { _, rev, err := w.get("/"); return err, rev == "v1" })
	t.Logf("answered again %s after the kill", time.Since(began).Round(time.Millisecond))
	after := w.await(t, "v1", ready).Instances[0]
	if after.Pid != before.Pid || after.Restarts != 0 {
		t.Errorf("instance %+v became %+v", before, after)
	}
}

func TestSpawn(t *testing.T) {
	a := agenttest.New(t)
	// A server starts the agent and is killed.
	server := exec.Command(os.Args[0], "spawn-and-hang", a.Dir, a.ProxyListen)
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 100)
	n, _ := out.Read(said)
	if got := string(said[:n]); got != "spawned <nil>\n" {
		t.Fatal(got)
	}
	server.Process.Kill()
	server.Wait()
	w := newWorld(t, a)
	w.ensure(t, revision("v1", workloadtest.Serves))
	w.shift(t, split(0, 0))
	w.await(t, "v1", ready)
	pid := w.pid(t)
	// The next server finds it.
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { errs[i] = agent.Spawn(t.Context(), a.Config) })
	}
	wg.Wait()
	runs, _ := os.ReadDir(filepath.Join(a.Dir, "runs"))
	if err := errors.Join(errs...); err != nil || len(runs) != 1 {
		t.Errorf("spawning again: %v, %d runs", err, len(runs))
	}
	// Another address: another agent, the same instances.
	old := a.URL()
	a.ProxyListen = agenttest.New(t).ProxyListen
	if err := agent.Spawn(t.Context(), a.Config); err != nil {
		t.Fatal(err)
	}
	if got := w.pid(t); got != pid {
		t.Errorf("the instance has pid %s, had %s", got, pid)
	}
	if _, err := http.Get(old); err == nil {
		t.Error("the old address still answers")
	}
	if err := agent.Stop(t.Context(), a.Config); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.Observed(t.Context(), "", ""); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("after Stop: %v, want unavailable", err)
	}
	if err := agent.Spawn(t.Context(), a.Config); err != nil {
		t.Fatal(err)
	}
	if got := w.pid(t); got != pid {
		t.Errorf("the instance has pid %s, had %s before the agent was stopped", got, pid)
	}
}

// An agent outlives upgrades. The new program is told, and what to do.
func TestSpawnNoticesAnOlderAgent(t *testing.T) {
	a := agenttest.New(t)
	a.Launch(t)
	var said bytes.Buffer
	cfg := a.Config
	cfg.Log = slog.New(slog.NewTextHandler(&said, nil))
	if err := agent.Spawn(t.Context(), cfg); err != nil || said.Len() > 0 {
		t.Errorf("of the same build: %v, said %q", err, said.String())
	}
	cfg.Build = "the new one"
	if err := agent.Spawn(t.Context(), cfg); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"another build", "bytes of", "the new one", "flyball down"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("it does not say %q: %s", want, said.String())
		}
	}
}

func TestSpawnSaysWhyNot(t *testing.T) {
	a := agenttest.New(t)
	l, err := net.Listen("tcp", a.ProxyListen)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = agent.Spawn(t.Context(), a.Config)
	if problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("%v, want unavailable with the agent's own words", err)
	}
}

func TestOneAgentPerDirectory(t *testing.T) {
	a := agenttest.New(t)
	a.Launch(t)
	other := a.Config
	other.ProxyListen = "127.0.0.1:0"
	if err := agent.Run(t.Context(), other); problem.KindOf(err) != problem.Conflict {
		t.Errorf("%v, want conflict", err)
	}
}

func TestDamagedDocument(t *testing.T) {
	a := agenttest.New(t)
	if err := os.WriteFile(filepath.Join(a.Dir, "desired.json"), []byte(`{"epoch":1,"gen`), 0o600); err != nil {
		t.Fatal(err)
	}
	err := agent.Run(t.Context(), a.Config)
	if err == nil || !strings.Contains(err.Error(), "desired.json is damaged") || problem.NextOf(err) == "" {
		t.Errorf("%v", err)
	}
}

func TestFilesAreOurs(t *testing.T) {
	w := newWorld(t, agenttest.New(t))
	w.Launch(t)
	r := revision("v1", workloadtest.Serves)
	r.Env = map[string]string{"PASSWORD": "hunter2"}
	w.ensure(t, r)
	w.await(t, "v1", ready)
	err := filepath.WalkDir(w.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return nil // removed meanwhile
		}
		if info, err := d.Info(); err == nil && info.Mode().Perm()&0o077 != 0 && d.Name() != "log" {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// put sends a document as it is.
func (w world) put(t *testing.T, d contract.Document) (status int, answer string) {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return w.raw(t, http.MethodPut, "/desired", string(text))
}

func (w world) raw(t *testing.T, method, path, body string) (status int, answer string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.AdminSocket)
	}}}
	req, err := http.NewRequest(method, "http://agent"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

func TestCompareAndSet(t *testing.T) {
	w := newWorld(t, agenttest.New(t))
	w.Launch(t)
	doc := func(epoch, generation int64, instances int) contract.Document {
		r := revision("v1", workloadtest.Serves)
		r.Instances = instances
		return contract.Document{Epoch: epoch, Generation: generation, Revisions: []contract.Wanted{{Revision: r}}}
	}
	for _, c := range []struct {
		what string
		doc  contract.Document
		want int
		says string
	}{
		{"a beginning", doc(3, 1, 0), 200, ""},
		{"the same again, as after a lost answer", doc(3, 1, 0), 200, ""},
		{"the same generation, something else", doc(3, 1, 1), 409, "generation 1 does not follow generation 1"},
		{"a gap", doc(3, 3, 1), 409, "generation 3 does not follow generation 1"},
		{"an older epoch", doc(2, 2, 1), 409, "epoch 2 is over; epoch 3 is in effect"},
		{"the next", doc(3, 2, 1), 200, ""},
		{"a newer epoch", doc(5, 3, 0), 200, ""},
		{"the epoch before", doc(3, 4, 1), 409, "epoch 3 is over"},
		{"no generation", doc(5, 0, 0), 400, "generation 0"},
		{"invalid", doc(5, 4, -1), 400, "instances is -1"},
	} {
		if status, answer := w.put(t, c.doc); status != c.want || !strings.Contains(answer, c.says) {
			t.Errorf("%s: %d %s, want %d with %q", c.what, status, answer, c.want, c.says)
		}
	}
	if o := w.observe(t); o.Epoch != 5 || o.Generation != 3 {
		t.Errorf("epoch %d, generation %d, want 5 and 3", o.Epoch, o.Generation)
	}
	stale := local.NewClient(w.AdminSocket, func() int64 { return 4 })
	defer stale.Close()
	err := local.NewWorkloads(stale).Ensure(t.Context(), revision("v9", workloadtest.Serves))
	if problem.KindOf(err) != problem.Conflict || !strings.Contains(err.Error(), "epoch 4 is over") {
		t.Errorf("a client with an older epoch: %v, want conflict", err)
	}
	if err := local.NewRouter(stale).Refresh(t.Context(), "shop", "production"); problem.KindOf(err) != problem.Conflict {
		t.Errorf("a refresh with an older epoch: %v, want conflict", err)
	}
	// On disk before acknowledged: a killed agent knows it all.
	w.Kill()
	w.Launch(t)
	if o := w.observe(t); o.Epoch != 5 || o.Generation != 3 {
		t.Errorf("after a kill: epoch %d, generation %d, want 5 and 3", o.Epoch, o.Generation)
	}
}

// Every acknowledged document survives kills at random moments, and one whose
// answer was lost can be sent again.
func TestKilledBetweenWriteAndAnswer(t *testing.T) {
	w := newWorld(t, agenttest.New(t))
	w.Launch(t)
	generation := int64(1)
	for round := range 8 {
		stop := make(chan struct{})
		var acked atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() {
			for g := generation; ; g++ {
				r := revision("v1", workloadtest.Serves)
				r.Instances, r.Env = 0, map[string]string{"N": fmt.Sprint(g)}
				text, _ := json.Marshal(contract.Document{Epoch: 1, Generation: g, Revisions: []contract.Wanted{{Revision: r}}})
				client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "unix", w.AdminSocket)
				}}}
				req, _ := http.NewRequest(http.MethodPut, "http://agent/desired", strings.NewReader(string(text)))
				resp, err := client.Do(req)
				if err != nil {
					<-stop
					return
				}
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Errorf("generation %d: %s", g, resp.Status)
				}
				acked.Store(g)
			}
		})
		until(t, "written to", func() (any, bool) { return acked.Load(), acked.Load() > generation+int64(3*round) })
		w.Kill()
		close(stop)
		wg.Wait()
		w.Launch(t)
		status, text := w.raw(t, http.MethodGet, "/desired", "")
		var doc contract.Document
		if err := json.Unmarshal([]byte(text), &doc); status != 200 || err != nil {
			t.Fatal(status, text, err)
		}
		if a := acked.Load(); doc.Generation != a && doc.Generation != a+1 {
			t.Errorf("acknowledged generation %d, found %d", a, doc.Generation)
		}
		if got := doc.Revisions[0].Env["N"]; got != fmt.Sprint(doc.Generation) {
			t.Errorf("generation %d has the content of %s", doc.Generation, got)
		}
		if status, answer := w.put(t, doc); status != 200 {
			t.Errorf("sending generation %d again: %d %s", doc.Generation, status, answer)
		}
		generation = doc.Generation + 1
	}
}

func TestLeaseLapsesWithoutAnyServer(t *testing.T) {
	w := newWorld(t, agenttest.New(t))
	w.Launch(t)
	w.ensure(t, revision("v1", workloadtest.Serves))
	w.ensure(t, revision("v2", workloadtest.Serves))
	w.await(t, "v1", ready)
	w.await(t, "v2", ready)
	w.shift(t, split(traffic.Whole, 400*time.Millisecond))
	w.client.Close() // nobody speaks to the agent from here on
	if _, rev, err := w.get("/"); err != nil || rev != "v2" {
		t.Fatalf("within the lease: %q, %v", rev, err)
	}
	until(t, "back on stable", func() (any, bool) {
		_, rev, err := w.get("/")
		if err != nil {
			t.Errorf("a request failed: %v", err)
		}
		return rev, rev == "v1"
	})
	// It stays lapsed, whatever restarts.
	lapsed := w.observe(t).Routes[0]
	w.Kill()
	w.Launch(t)
	again := w.observe(t).Routes[0]
	if !again.Lapsed || !again.LapsedAt.Equal(lapsed.LapsedAt) {
		t.Errorf("lapsed %+v, after a restart %+v", lapsed, again)
	}
	if _, rev, err := w.get("/"); err != nil || rev != "v1" {
		t.Errorf("after a restart: %q, %v", rev, err)
	}
}

func TestLeaseRunsOnWhileTheAgentIsDown(t *testing.T) {
	w := newWorld(t, agenttest.New(t))
	w.Launch(t)
	w.ensure(t, revision("v1", workloadtest.Serves))
	w.ensure(t, revision("v2", workloadtest.Serves))
	w.await(t, "v1", ready)
	w.await(t, "v2", ready)
	w.shift(t, split(traffic.Whole, 500*time.Millisecond))
	ends := w.observe(t).Routes[0].LeaseEnds
	w.Kill()
	time.Sleep(time.Until(ends)) // the passing of time is what is tested
	w.Launch(t)
	if _, rev, err := w.get("/"); err != nil || rev != "v1" {
		t.Errorf("the first request after the lease: %q, %v", rev, err)
	}
	if o := w.observe(t).Routes[0]; !o.Lapsed {
		t.Errorf("%+v, want lapsed", o)
	}
	w.shift(t, split(traffic.Whole, time.Hour))
	w.Kill()
	w.Launch(t)
	if o := w.observe(t).Routes[0]; o.Lapsed {
		t.Errorf("%+v lapsed although an hour is left", o)
	}
	if _, rev, err := w.get("/"); err != nil || rev != "v2" {
		t.Errorf("within the lease, after a restart: %q, %v", rev, err)
	}
}

func TestDrainingFinishesWhatIsInFlight(t *testing.T) {
	w := newWorld(t, agenttest.New(t))
	w.Launch(t)
	w.ensure(t, revision("v1", workloadtest.Serves))
	w.ensure(t, abrupt(revision("v2", workloadtest.Serves)))
	w.await(t, "v1", ready)
	w.await(t, "v2", ready)
	w.shift(t, split(traffic.Whole, 0))
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if body, rev, err := w.get("/slow"); err != nil || body != "slow\n" || rev != "v2" {
				t.Errorf("in flight: %q from %q, %v", body, rev, err)
			}
		})
	}
	until(t, "in flight", func() (any, bool) { o := w.observe(t).Routes; return o, o[0].InFlight["v2"] == 10 })
	if err := w.run.Remove(t.Context(), revision("v2", "").Ref); problem.KindOf(err) != problem.Conflict {
		t.Errorf("removing what has traffic: %v, want conflict", err)
	}
	w.shift(t, split(0, 0))
	if err := w.run.Remove(t.Context(), revision("v2", "").Ref); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, rev, err := w.get("/"); err != nil || rev != "v1" {
			t.Errorf("a new request went to %q, %v", rev, err)
		}
	}
	o := w.observe(t)
	if len(o.Workloads) != 2 || o.Workloads[1].State != workload.Draining {
		t.Errorf("observed %+v, want v2 draining", o.Workloads)
	}
	wg.Wait()
	until(t, "gone", func() (any, bool) { o := w.observe(t).Workloads; return o, len(o) == 1 })
	// Its output is kept for whoever asks why.
	c, err := w.run.Output(t.Context(), revision("v2", "").Ref, "0-1", 0, 0)
	if err != nil || !strings.Contains(string(c.Data), "shutting down") || !c.End {
		t.Errorf("output of what is gone: %q, %v", c.Data, err)
	}
}

func TestNoRequestFailsWhileEverythingIsReplaced(t *testing.T) {
	w := newWorld(t, agenttest.New(t))
	w.Launch(t)
	r := abrupt(revision("v1", workloadtest.Serves))
	r.Instances = 2
	w.ensure(t, r)
	w.await(t, "v1", ready)
	w.shift(t, split(0, 0))
	ctx, stop := context.WithCancel(t.Context())
	var sent, failed atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				path := "/"
				if sent.Add(1)%10 == 0 {
					path = "/slow"
				}
				if _, _, err := w.get(path); err != nil && failed.Add(1) < 5 {
					t.Errorf("request failed: %v", err)
				}
			}
		})
	}
	for i := range 3 {
		token := fmt.Sprint("token", i)
		if err := w.run.Restart(t.Context(), r.Ref, token); err != nil {
			t.Fatal(err)
		}
		w.await(t, "v1", func(s workload.Status) bool { return s.Restart == token && len(s.Instances) == 2 })
	}
	stop()
	wg.Wait()
	t.Logf("%d requests, %d failed", sent.Load(), failed.Load())
	if sent.Load() < 50 {
		t.Errorf("only %d requests were sent", sent.Load())
	}
}

// Somebody takes the port between two starts of an instance: it gets another,
// and never does the intruder get its requests.
func TestStolenPort(t *testing.T) {
	w := newWorld(t, agenttest.New(t))
	w.Launch(t)
	w.ensure(t, revision("v1", workloadtest.Serves))
	w.shift(t, split(0, 0))
	before := w.await(t, "v1", ready).Instances[0]
	var intruder net.Listener
	until(t, "stolen", func() (any, bool) {
		unix.Kill(before.Pid, unix.SIGKILL)
		var err error
		intruder, err = net.Listen("tcp", fmt.Sprint("127.0.0.1:", before.Port))
		return err, err == nil
	})
	defer intruder.Close()
	go http.Serve(intruder, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "intruder") }))
	after := w.await(t, "v1", func(s workload.Status) bool { return ready(s) && s.Instances[0].Port != before.Port }).Instances[0]
	if after.ID == before.ID {
		t.Errorf("instance %+v became %+v", before, after)
	}
	until(t, "answered", func() (any, bool) {
		body, rev, err := w.get("/")
		if body == "intruder" {
			t.Error("the intruder answered")
		}
		return err, rev == "v1"
	})
}

// A program that lives without listening must not pass for ready because of
// somebody else who listens on its port.
func TestSquattedPort(t *testing.T) {
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		t.Skip("whose a socket is, is read from /proc")
	}
	w := newWorld(t, agenttest.New(t))
	w.Launch(t)
	r := revision("v1", workloadtest.Deaf)
	r.Readiness.Path = ""
	w.ensure(t, r)
	before := w.await(t, "v1", func(s workload.Status) bool { return len(s.Instances) == 1 && s.Instances[0].Pid != 0 }).Instances[0]
	squatter, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", before.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer squatter.Close()
	w.await(t, "v1", func(s workload.Status) bool {
		if s.Ready > 0 {
			t.Fatalf("ready: %+v", s)
		}
		for _, i := range s.Instances {
			if i.ID != before.ID && i.Port != before.Port && i.Pid != 0 {
				return true
			}
		}
		return false
	})
}

func TestHostileRequests(t *testing.T) {
	w := newWorld(t, agenttest.New(t))
	w.Launch(t)
	for _, c := range []struct {
		method, path, body string
		want               int
		says               string
	}{
		{"PUT", "/desired", "", 400, "not understood"},
		{"PUT", "/desired", "{", 400, "not understood"},
		{"PUT", "/desired", `{"epoch":1,"generation":1,"surprise":1}`, 400, "unknown field"},
		{"PUT", "/desired", `{"epoch":"one"}`, 400, "not understood"},
		{"PUT", "/desired", `{"epoch":1,"generation":1,"revisions":[{"service":"` + strings.Repeat("x", contract.MaxBytes) + `"}]}`, 400, "too large"},
		{"POST", "/refresh", `{"epoch":1,"service":"a","environment":"b"}`, 404, "no route"},
		{"GET", "/output?service=..&environment=..&revision=..&instance=..", "", 400, "service"},
		{"GET", "/output?service=a&environment=b&revision=c&instance=d", "", 404, "no instance"},
		{"GET", "/output?service=a&environment=b&revision=c&instance=d&offset=x", "", 400, "no integer"},
		{"GET", "/bins?max=0", "", 400, "max=0"},
		{"GET", "/bins?max=1e3", "", 400, "no integer"},
		{"POST", "/bins/ack", `[]`, 400, "not understood"},
		{"GET", "/healthz", "", 200, ""},
		{"GET", "/metrics", "", 200, "# EOF"},
	} {
		if status, answer := w.raw(t, c.method, c.path, c.body); status != c.want || !strings.Contains(answer, c.says) {
			t.Errorf("%s %s %.60s: %d %.200s, want %d with %q", c.method, c.path, c.body, status, answer, c.want, c.says)
		}
	}
	if o := w.observe(t); o.Generation != 0 {
		t.Errorf("generation %d is in effect", o.Generation)
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, agenttest.New(t))
	w.Launch(t)
	w.ensure(t, revision("v1", workloadtest.Serves))
	w.await(t, "v1", ready)
	_, text := w.raw(t, http.MethodGet, "/metrics", "")
	want := `flyball_instances{service="shop",environment="production",revision="v1",state="ready"} 1`
	if !strings.Contains(text, want) || strings.Count(text, "# EOF") != 1 || !strings.HasSuffix(text, "# EOF\n") {
		t.Errorf("no %s, or no proper end, in\n%s", want, text)
	}
}
