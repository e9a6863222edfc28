package supervise

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// State of a run.
type State string

// The states.
const (
	Pending  State = "pending"  // a spec without a supervisor yet; Start again
	Starting State = "starting" // the supervisor lives, the command does not yet
	Running  State = "running"
	Backoff  State = "backoff" // waiting to restart the command, until NextStart
	Exited   State = "exited"  // ended for good; End says how
	Lost     State = "lost"    // the supervisor died without recording an end
)

// How a command ended.
const (
	EndExited      = "exited"       // by itself, with ExitCode
	EndSignalled   = "signalled"    // killed by Signal, not by us
	EndCancelled   = "cancelled"    // by Cancel, or by SIGTERM to the supervisor
	EndTimeLimit   = "time-limit"   // ran out of time
	EndStartFailed = "start-failed" // could not be executed; Detail says why
	EndLost        = "lost"
)

// crashLoop is how many failures in a row make a crash loop.
const crashLoop = 3

// Status is how a run is.
type Status struct {
	State      State     `json:"state"`
	Supervisor int       `json:"supervisor,omitempty"` // process and session id of the supervisor
	Pid        int       `json:"pid,omitempty"`        // process and group id of the command, while it runs
	PidStart   string    `json:"pid_start,omitempty"`  // with Pid names a process uniquely, across reboots
	Started    time.Time `json:"started,omitzero"`     // of the command, most recently
	Finished   time.Time `json:"finished,omitzero"`    // of the command, most recently
	End        string    `json:"end,omitempty"`        // how the command ended most recently
	ExitCode   int       `json:"exit_code"`            // when End is exited, and for other ends that left one
	Signal     string    `json:"signal,omitempty"`     // such as SIGKILL
	Detail     string    `json:"detail,omitempty"`     // for a person
	Restarts   int       `json:"restarts"`             // starts of the command beyond the first
	Failures   int       `json:"failures"`             // in a row
	NextStart  time.Time `json:"next_start,omitzero"`  // in backoff

	// Computed by Observe from the output files.
	OutputBytes   int64 `json:"-"` // printed
	OutputDropped int64 `json:"-"` // of those, no longer kept
}

// Ended reports whether the run will do nothing more unless started again.
func (s Status) Ended() bool { return s.State == Exited || s.State == Lost }

// CrashLoop reports whether the command fails again and again.
func (s Status) CrashLoop() bool { return s.Failures >= crashLoop }

// Observe tells how the run in dir is. It changes nothing. The error is
// fs.ErrNotExist when nothing was started there.
func Observe(dir string) (Status, error) {
	if _, err := os.Stat(filepath.Join(dir, "spec.json")); err != nil {
		return Status{}, err
	}
	s, err := currentStatus(dir)
	if err != nil {
		return Status{}, err
	}
	segments, err := listSegments(dir)
	if err != nil {
		return Status{}, err
	}
	s.OutputBytes, s.OutputDropped = measureSegments(segments)
	return s, nil
}

// currentStatus is the recorded status, made true if the supervisor is dead.
func currentStatus(dir string) (Status, error) {
	for {
		before, err := readStatus(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Status{}, err
		}
		holder, err := lockHolder(dir)
		if err != nil {
			return Status{}, err
		}
		s, err := readStatus(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist) && holder != 0:
			return Status{State: Starting, Supervisor: holder}, nil
		case errors.Is(err, fs.ErrNotExist):
			return Status{State: Pending}, nil
		case err != nil:
			return Status{}, err
		case holder != 0 || s.Ended():
			return s, nil
		case before.Supervisor == s.Supervisor:
			// It had written before we looked for it and is gone: this is its last word.
			s.State, s.End, s.Pid, s.PidStart = Lost, EndLost, 0, ""
			s.Detail = lostDetail
			return s, nil
		}
		// Another supervisor took charge meanwhile; look again.
	}
}

const lostDetail = "the supervisor died without recording an end"

func readStatus(dir string) (Status, error) {
	var s Status
	data, err := os.ReadFile(filepath.Join(dir, "status.json"))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("status.json: %w", err)
	}
	return s, nil
}

func writeStatus(dir string, s Status) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return writeAtomic(dir, "status.json", data)
}

// writeAtomic replaces dir/name, durably on return; a crash leaves the old
// content or the new.
func writeAtomic(dir, name string, data []byte) error {
	tmp, err := writeTemp(dir, name, data)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
		os.Remove(tmp)
		return err
	}
	return syncDir(dir)
}

func writeTemp(dir, name string, data []byte) (path string, err error) {
	f, err := os.CreateTemp(dir, "."+name+"-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return f.Name(), errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
