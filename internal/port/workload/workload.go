package workload

import (
	"context"
	"fmt"
	"time"
)

// Runtime runs revisions of services.
type Runtime interface {
	// Ensure makes a revision wanted, or changes the wish for it (its instance
	// count, say). Durable on return.
	Ensure(ctx context.Context, revision Revision) error
	// Remove makes a revision unwanted: it gets no new requests, finishes those
	// it has, and is then terminated within its grace. A revision that is not
	// there is no error; one that still has a share of traffic is a conflict.
	Remove(ctx context.Context, ref Ref) error
	// Observe lists the revisions of a service in an environment, draining ones
	// included, by revision name. Empty names match all.
	Observe(ctx context.Context, service, environment string) ([]Status, error)
	// Restart replaces a revision's instances one after another, each only when
	// its replacement is ready. The token names this wish: repeating it restarts
	// nothing again.
	Restart(ctx context.Context, ref Ref, token string) error
	// Output reads what an instance printed (see Instance.ID). A negative offset
	// means that many bytes before the end. Limit is at most MaxOutput.
	Output(ctx context.Context, ref Ref, instance string, offset int64, limit int) (Chunk, error)
	// Capabilities says what this runtime can do.
	Capabilities() Capabilities
}

// MaxOutput is the most bytes one Output call returns.
const MaxOutput = 1 << 20

// Capabilities of a runtime, for callers that must choose and pages that must
// explain.
type Capabilities struct {
	Name         string `json:"name"`          // such as local or kube
	Isolation    string `json:"isolation"`     // what separates workloads: process, container
	RunsImages   bool   `json:"runs_images"`   // Image suffices; without, Dir must hold the unpacked root
	MultipleHost bool   `json:"multiple_host"` // instances survive the loss of a host
}

// Ref names one revision of a service in an environment.
type Ref struct {
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Revision    string `json:"revision"`
}

// String is service/environment/revision.
func (r Ref) String() string { return r.Service + "/" + r.Environment + "/" + r.Revision }

// Revision is a version of a service that is wanted in an environment.
type Revision struct {
	Ref
	Image       string            `json:"image,omitempty"`        // OCI image by digest
	Dir         string            `json:"dir,omitempty"`          // absolute path of the image's unpacked root; also the working directory
	Command     []string          `json:"command"`                // program and arguments; a relative program is looked up in Dir, then in PATH
	Env         map[string]string `json:"env,omitempty"`          // added to PATH, HOME, TMPDIR and PORT, which are always set
	Instances   int               `json:"instances"`              // how many are wanted, 0 to MaxInstances
	Readiness   Readiness         `json:"readiness"`              // when an instance counts
	Grace       time.Duration     `json:"grace_ns,omitempty"`     // between SIGTERM and SIGKILL, and the longest drain; 0 is DefaultGrace
	OutputBytes int64             `json:"output_bytes,omitempty"` // output kept per instance; 0 is the runtime's default
}

// Readiness is how an instance shows that it can serve.
type Readiness struct {
	Path     string        `json:"path,omitempty"`        // HTTP GET that must answer 2xx or 3xx; empty: a TCP connection suffices
	Interval time.Duration `json:"interval_ns,omitempty"` // between probes; 0 is 200 ms
	Timeout  time.Duration `json:"timeout_ns,omitempty"`  // of one probe; 0 is 1 s
	Deadline time.Duration `json:"deadline_ns,omitempty"` // from start to ready before it is failed; 0 is 60 s
}

// Defaults and bounds of a Revision.
const (
	DefaultGrace    = 30 * time.Second
	DefaultInterval = 200 * time.Millisecond
	DefaultTimeout  = time.Second
	DefaultDeadline = 60 * time.Second
	MaxInstances    = 256
)

// State of a revision or an instance.
type State string

// The states. An instance restarting after a crash is starting; a crash loop
// shows in its Restarts and Reason.
const (
	Pending  State = "pending"  // wanted, nothing started yet
	Starting State = "starting" // started, not ready
	Ready    State = "ready"    // serving; a revision: all wanted instances ready
	Failed   State = "failed"   // not ready by its deadline, or cannot be started
	Draining State = "draining" // unwanted; finishing what it has
	Gone     State = "gone"     // ended; a revision that is gone is not listed
)

// Status is how a revision is.
type Status struct {
	Ref
	State     State      `json:"state"`
	Ready     int        `json:"ready"`  // instances ready
	Wanted    int        `json:"wanted"` // instances wanted; 0 when draining
	Reason    string     `json:"reason,omitempty"`
	Restart   string     `json:"restart,omitempty"` // last restart token that all instances have honoured
	Instances []Instance `json:"instances,omitempty"`
}

// Instance is one running copy of a revision.
type Instance struct {
	ID       string    `json:"id"` // unique within the revision
	State    State     `json:"state"`
	Port     int       `json:"port,omitempty"` // on the loopback address, for a local runtime
	Pid      int       `json:"pid,omitempty"`  // 0 when no process runs
	Restarts int       `json:"restarts"`       // since this instance was first started
	Reason   string    `json:"reason,omitempty"`
	Since    time.Time `json:"since"` // when State was entered
}

// Chunk is a piece of output.
type Chunk struct {
	Offset  int64  `json:"offset"`            // of Data's first byte in all that was printed
	Data    []byte `json:"data"`              // at most the limit asked for
	Next    int64  `json:"next"`              // offset to ask for next
	Dropped int64  `json:"dropped,omitempty"` // bytes before Offset that were asked for but are no longer kept
	End     bool   `json:"end"`               // nothing follows, now or ever
}

// Validate says what is wrong with a reference, or nil.
func (r Ref) Validate() error {
	for _, f := range []struct{ what, name string }{
		{"service", r.Service}, {"environment", r.Environment}, {"revision", r.Revision},
	} {
		if err := ValidateName(f.name); err != nil {
			return fmt.Errorf("%s: %w", f.what, err)
		}
	}
	return nil
}

// ValidateName accepts 1 to 100 letters, digits, dots, underscores and
// hyphens, beginning with a letter or digit: what is safe as a file name, a
// label and a path segment alike.
func ValidateName(s string) error {
	if s == "" || len(s) > 100 {
		return fmt.Errorf("name %.20q: want 1 to 100 characters", s)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !word && (i == 0 || c != '.' && c != '_' && c != '-') {
			return fmt.Errorf("name %q: character %d is not a letter, digit, dot, underscore or hyphen (the first must be a letter or digit)", s, i+1)
		}
	}
	return nil
}

// Validate says what is wrong with a revision, or nil.
func (r Revision) Validate() error {
	if err := r.Ref.Validate(); err != nil {
		return err
	}
	switch {
	case len(r.Command) == 0 || r.Command[0] == "":
		return fmt.Errorf("revision %s: command is empty", r.Ref)
	case r.Instances < 0 || r.Instances > MaxInstances:
		return fmt.Errorf("revision %s: instances is %d, want 0 to %d", r.Ref, r.Instances, MaxInstances)
	case r.Grace < 0 || r.OutputBytes < 0 || r.Readiness.Interval < 0 || r.Readiness.Timeout < 0 || r.Readiness.Deadline < 0:
		return fmt.Errorf("revision %s: a negative duration or size", r.Ref)
	case r.Readiness.Path != "" && r.Readiness.Path[0] != '/':
		return fmt.Errorf("revision %s: readiness path %q does not begin with /", r.Ref, r.Readiness.Path)
	}
	return nil
}

// WithDefaults fills in what was left zero.
func (r Revision) WithDefaults() Revision {
	r.Grace = or(r.Grace, DefaultGrace)
	r.Readiness.Interval = or(r.Readiness.Interval, DefaultInterval)
	r.Readiness.Timeout = or(r.Readiness.Timeout, DefaultTimeout)
	r.Readiness.Deadline = or(r.Readiness.Deadline, DefaultDeadline)
	return r
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
