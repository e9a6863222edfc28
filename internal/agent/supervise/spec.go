package supervise

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Spec is what to run and within which bounds. Exactly one of Command and Shell
// is set.
type Spec struct {
	Command   []string          `json:"command,omitempty"` // a program without a slash is looked up in PATH
	Shell     string            `json:"shell,omitempty"`   // a script, run by bash -e, or sh -e where there is no bash
	Dir       string            `json:"dir"`               // absolute working directory
	Env       map[string]string `json:"env,omitempty"`
	TimeLimit time.Duration     `json:"time_limit_ns,omitempty"` // of each start of the command; 0: none
	Grace     time.Duration     `json:"grace_ns"`                // between SIGTERM and SIGKILL
	Output    Output            `json:"output"`
	Restart   *Restart          `json:"restart,omitempty"` // nil: run at most once

	// LeaveOrphans spares descendants that left the command's process group when
	// it ends: for a command that itself starts things to outlive it.
	LeaveOrphans bool `json:"leave_orphans,omitempty"`
}

// Output bounds what is kept of the output, in files of SegmentBytes each.
type Output struct {
	SegmentBytes int64 `json:"segment_bytes"` // 0: 16 MiB
	Segments     int   `json:"segments"`      // files kept, at least 2; 0: 4
	KeepFirst    bool  `json:"keep_first"`    // drop from the middle rather than from the beginning
}

// Restart is the policy for a command that should stay up. The n-th failure in
// a row is followed by a wait of Min·2ⁿ⁻¹, at most Max.
type Restart struct {
	Min     time.Duration `json:"min_ns"`     // 0: 250 ms
	Max     time.Duration `json:"max_ns"`     // 0: 30 s
	Healthy time.Duration `json:"healthy_ns"` // a run this long ends the row of failures; 0: 60 s
}

// backoff is the wait after the n-th failure in a row, n from 1.
func (r Restart) backoff(n int) time.Duration {
	d := r.Min
	for ; n > 1 && d < r.Max; n-- {
		d *= 2
	}
	return min(d, r.Max)
}

func (s Spec) withDefaults() Spec {
	if s.Output.SegmentBytes == 0 {
		s.Output.SegmentBytes = 16 << 20
	}
	if s.Output.Segments == 0 {
		s.Output.Segments = 4
	}
	if s.Restart != nil {
		r := *s.Restart
		setDefault(&r.Min, 250*time.Millisecond)
		setDefault(&r.Max, 30*time.Second)
		setDefault(&r.Healthy, time.Minute)
		s.Restart = &r
	}
	return s
}

func setDefault(d *time.Duration, to time.Duration) {
	if *d == 0 {
		*d = to
	}
}

func (s Spec) validate() error {
	switch {
	case (len(s.Command) == 0) == (s.Shell == ""):
		return errors.New("want exactly one of command and shell")
	case len(s.Command) > 0 && s.Command[0] == "":
		return errors.New("the command's program is empty")
	case !filepath.IsAbs(s.Dir):
		return fmt.Errorf("working directory %q is not absolute", s.Dir)
	case s.TimeLimit < 0 || s.Grace < 0:
		return errors.New("a negative duration")
	case s.Output.SegmentBytes < 1 || s.Output.Segments < 2:
		return errors.New("output needs at least 2 segments of at least 1 byte")
	case s.Restart != nil && (s.Restart.Min < 0 || s.Restart.Max < s.Restart.Min || s.Restart.Healthy < 0):
		return errors.New("restart: want 0 ≤ min ≤ max and healthy ≥ 0")
	}
	for k, v := range s.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
			return fmt.Errorf("environment variable %q: a name has no = and neither part a NUL", k)
		}
	}
	for _, a := range append([]string{s.Shell, s.Dir}, s.Command...) {
		if strings.Contains(a, "\x00") {
			return errors.New("a NUL in the command")
		}
	}
	return nil
}

// ErrOtherSpec is returned by Start for a directory that runs something else.
var ErrOtherSpec = errors.New("the run exists with another spec")

// putSpec writes the spec, whole or not at all. Of several writers one wins;
// the others succeed if they meant the same.
func putSpec(dir string, spec Spec) error {
	want, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "spec.json")
	if have, err := os.ReadFile(path); err == nil {
		return sameSpec(have, want)
	}
	tmp, err := writeTemp(dir, "spec", want)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	// A link fails where a rename would replace another writer's spec.
	if err := os.Link(tmp, path); errors.Is(err, fs.ErrExist) {
		have, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return sameSpec(have, want)
	} else if err != nil {
		return err
	}
	return syncDir(dir)
}

func sameSpec(have, want []byte) error {
	if !bytes.Equal(have, want) {
		return ErrOtherSpec
	}
	return nil
}

func readSpec(dir string) (Spec, error) {
	var s Spec
	data, err := os.ReadFile(filepath.Join(dir, "spec.json"))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("spec.json: %w", err)
	}
	return s, nil
}
