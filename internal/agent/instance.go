package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/agent/contract"
	"github.com/flyball-dev/flyball/internal/agent/supervise"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// record is what an instance is, written before it is started.
type record struct {
	workload.Revision
	Restart string    `json:"restart,omitempty"` // token it was started under
	Slot    int       `json:"slot"`              // from 0, below the revision's instances
	Attempt int       `json:"attempt"`           // from 1, within the slot
	Port    int       `json:"port"`
	Created time.Time `json:"created"`
}

func (r record) id() string { return fmt.Sprintf("%d-%d", r.Slot, r.Attempt) }

// print identifies what an instance was made from; only the number of instances
// may change without replacing them.
func (r record) print() string { return fingerprint(r.Revision, r.Restart) }

func fingerprint(r workload.Revision, restart string) string {
	r.Instances = 0
	text, err := json.Marshal(contract.Wanted{Revision: r, Restart: restart})
	if err != nil {
		panic(err) // strings, numbers and maps of strings
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// instance is a record in operation. The agent's lock guards it.
type instance struct {
	record
	dir string

	launching bool             // supervise.Start is on its way
	launched  bool             // and succeeded
	run       supervise.Status // as last observed
	ready     string           // start token of the process that proved ready
	probing   bool
	nextProbe time.Time
	quest     time.Time // since when it tries to get ready
	complaint string    // why the last probe or start failed
	foreign   bool      // another process answers on its port
	blamed    int       // restarts when it was last called failed
	contested int       // restarts, plus 1, when its port was last checked

	state   workload.State
	since   time.Time
	reason  string
	drained time.Time // when it became unwanted; zero while wanted
	ended   bool      // supervise.Cancel was called
}

func (i *instance) draining() bool  { return !i.drained.IsZero() }
func (i *instance) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(i.Port)) }

// proved reports whether the process that runs now is one that proved ready.
func (i *instance) proved() bool {
	return i.run.State == supervise.Running && i.ready != "" && i.run.PidStart == i.ready
}

func (i *instance) enter(state workload.State, reason string, now time.Time) {
	if i.state != state {
		i.state, i.since = state, now
	}
	i.reason = reason
}

func (a *agent) instanceDir(ref workload.Ref, id string) string {
	return filepath.Join(a.cfg.Dir, "instances", ref.Service, ref.Environment, ref.Revision, id)
}

// create records a new instance; the next look launches it.
func (a *agent) create(w contract.Wanted, slot int, now time.Time) error {
	port, err := a.freePort()
	if err != nil {
		return err
	}
	i := &instance{
		record: record{Revision: w.Revision, Restart: w.Restart, Slot: slot, Port: port, Created: now},
		state:  workload.Pending, since: now, quest: now,
	}
	for i.Attempt = 1; ; i.Attempt++ {
		i.dir = a.instanceDir(w.Ref, i.id())
		if err := os.MkdirAll(filepath.Dir(i.dir), 0o700); err != nil {
			return err
		}
		if err := os.Mkdir(i.dir, 0o700); err == nil {
			break
		} else if !os.IsExist(err) {
			return err
		}
	}
	text, err := json.Marshal(i.record)
	if err != nil {
		return err
	}
	if err := writeDurably(filepath.Join(i.dir, "instance.json"), text); err != nil {
		return err
	}
	a.instances = append(a.instances, i)
	return nil
}

// launch hands the instance to its supervisor, in the background.
func (a *agent) launch(ctx context.Context, i *instance) {
	i.launching = true
	spec := i.spec()
	go func() {
		err := supervise.Start(ctx, i.dir, spec)
		a.mu.Lock()
		defer a.mu.Unlock()
		i.launching, i.launched = false, err == nil
		i.quest = a.clk.Now()
		if ctx.Err() != nil {
			return // the agent ends; the next one goes on
		}
		if err != nil {
			i.complaint = "cannot be started: " + err.Error()
			i.nextProbe = a.clk.Now().Add(time.Second)
			a.log.Warn("instance not started", "instance", i.Ref.String()+"/"+i.id(), "err", err)
		}
		a.kick()
	}()
}

func (i *instance) spec() supervise.Spec {
	env := map[string]string{
		"FLYBALL_SERVICE":     i.Service,
		"FLYBALL_ENVIRONMENT": i.Environment,
		"FLYBALL_REVISION":    i.Ref.Revision,
		"FLYBALL_INSTANCE":    i.id(),
	}
	for k, v := range i.Env {
		env[k] = v
	}
	env["PORT"] = strconv.Itoa(i.Port)
	dir := i.Dir
	if dir == "" {
		dir = i.dir
	}
	command := append([]string(nil), i.Command...)
	// A program of the image goes before one of the same name in PATH.
	if !strings.Contains(command[0], "/") {
		if info, err := os.Stat(filepath.Join(dir, command[0])); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			command[0] = "./" + command[0]
		}
	}
	spec := supervise.Spec{Command: command, Dir: dir, Env: env, Grace: i.Grace, Restart: &supervise.Restart{}}
	if i.OutputBytes > 0 {
		spec.Output = supervise.Output{Segments: 4, SegmentBytes: max(i.OutputBytes/4, 4096)}
	}
	return spec
}

// adopt takes up the instances of an earlier agent. Those that have ended for
// good stay on disk as history.
func (a *agent) adopt(now time.Time) error {
	records, err := filepath.Glob(filepath.Join(a.cfg.Dir, "instances", "*", "*", "*", "*", "instance.json"))
	if err != nil {
		return err
	}
	for _, file := range records {
		i := &instance{dir: filepath.Dir(file), state: workload.Starting, since: now, quest: now}
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &i.record)
		}
		if err == nil {
			err = i.Revision.Validate()
		}
		if err != nil || a.instanceDir(i.Ref, i.id()) != i.dir {
			a.log.Warn("not an instance; left alone", "file", file, "err", err)
			continue
		}
		run, err := supervise.Observe(i.dir)
		if err == nil && run.State == supervise.Exited {
			continue
		}
		// Launching again is idempotent: it finds the supervisor that lives, or
		// starts one where the earlier agent came no further.
		i.launched = err == nil && run.State != supervise.Pending && run.State != supervise.Lost
		i.run = run
		if token, err := os.ReadFile(filepath.Join(i.dir, "ready")); err == nil {
			i.ready = string(token)
		}
		a.instances = append(a.instances, i)
	}
	return nil
}

// history bounds what ended instances leave behind: the newest few of each
// service and environment keep their output.
const history = 20

// prune deletes the directories of ended instances beyond the history.
func (a *agent) prune(service, environment string) {
	live := map[string]bool{}
	for _, i := range a.instances {
		live[i.dir] = true
	}
	dirs, _ := filepath.Glob(filepath.Join(a.cfg.Dir, "instances", service, environment, "*", "*"))
	type past struct {
		dir string
		end time.Time
	}
	var old []past
	for _, dir := range dirs {
		if live[dir] {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, "status.json")); err == nil {
			old = append(old, past{dir, info.ModTime()})
		} else {
			old = append(old, past{dir: dir})
		}
	}
	for len(old) > history {
		oldest := 0
		for n := range old {
			if old[n].end.Before(old[oldest].end) {
				oldest = n
			}
		}
		if err := supervise.Remove(old[oldest].dir); err != nil {
			a.log.Warn("ended instance not removed", "dir", old[oldest].dir, "err", err)
		}
		os.Remove(filepath.Dir(old[oldest].dir)) // the revision's, if it was the last
		old = append(old[:oldest], old[oldest+1:]...)
	}
}
