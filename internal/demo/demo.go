package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Options says how the story is told.
type Options struct {
	Once       bool    // end when it is told
	Dir        string  // where everything is kept; default: a temporary directory
	Listen     string  // address of API and pages; default: a free port
	Traffic    string  // address of the proxy; default: a free port
	Rate       float64 // requests per second
	Executable string  // the flyball binary
	Progress   io.Writer
	Terminal   bool // a person watches Progress
	Clock      clock.Clock
	// Told is called once with what came of it, before a demo that stays up is
	// waited for.
	Told func(Report) error
}

// Step is one step of the story.
type Step struct {
	Name           string  `json:"name"`
	Expected       string  `json:"expected"`
	Got            string  `json:"got"`
	OK             bool    `json:"ok"`
	Seconds        float64 `json:"seconds"`
	CanaryWeight   int     `json:"canary_weight"`   // share of the canary when it was decided on, basis points
	CanaryRequests int64   `json:"canary_requests"` // it received
	CanaryBad      int64   `json:"canary_bad"`      // of those, by the metric that decided
	Detail         string  `json:"detail,omitempty"`
}

// Report is what came of the story.
type Report struct {
	OK       bool            `json:"ok"`
	Error    string          `json:"error,omitempty"`
	Seconds  float64         `json:"seconds"`
	Steps    []Step          `json:"steps"`
	Requests Requests        `json:"requests"`
	Incident json.RawMessage `json:"incident"` // of the outage, as the API tells it
	Budget   json.RawMessage `json:"budget"`   // of both objectives
	DORA     json.RawMessage `json:"dora"`
	URL      string          `json:"url,omitempty"`
	Dir      string          `json:"dir,omitempty"` // with logs; kept when something went wrong
}

// ErrUnexpected ends a demo in which something expected did not happen.
var ErrUnexpected = errors.New("something expected did not happen")

// Run tells the story. It fails with ErrUnexpected after Told has been given a
// report that is not OK.
func Run(ctx context.Context, o Options) error {
	for _, tool := range []string{"go", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			return problem.New(problem.Unavailable, "demo", "the demo needs %s: %w", tool, err).WithNext("install %s, then: flyball demo", tool)
		}
	}
	s := &stage{Options: o, dir: o.Dir}
	temporary := o.Dir == ""
	var err error
	if temporary {
		s.dir, err = os.MkdirTemp("", "flyball-demo-")
	} else {
		err = os.MkdirAll(o.Dir, 0o755)
	}
	if err != nil {
		return err
	}
	report, failure := s.perform(ctx)
	clean := report.OK && failure == nil
	if temporary && (clean || ctx.Err() != nil) {
		failure = errors.Join(failure, os.RemoveAll(s.dir))
	}
	if failure == nil && !report.OK {
		failure = ErrUnexpected
	}
	return failure
}

// perform sets the stage up, tells the story, waits if it is to stay up, and
// ends everything.
func (s *stage) perform(ctx context.Context) (report Report, failure error) {
	began := s.Clock.Now()
	defer func() {
		if err := s.tearDown(); err != nil && failure == nil {
			failure = fmt.Errorf("ending the demo: %w", err)
		}
	}()
	s.say("setting up in %s; the first time, Go compiles its standard library", s.dir)
	if err := s.setUp(ctx); err != nil {
		return report, err
	}
	s.say("pages   %s", s.client.url)
	s.say("sign in %s", s.signIn)
	s.say("traffic http://%s (Host: %s)", s.traffic, host)

	var wg sync.WaitGroup
	defer wg.Wait()
	load, stop := context.WithCancel(ctx)
	defer stop()
	told := &teller{stage: s, began: began, load: func() { wg.Go(func() { s.visitors.run(load) }) }}
	report = told.tell(ctx)
	if ctx.Err() != nil {
		return report, ctx.Err()
	}
	if err := s.Told(report); err != nil {
		return report, err
	}
	if s.Once {
		return report, nil
	}
	s.say("\nvisitors keep coming; sign in at %s\nend with Ctrl-C", s.signIn)
	<-ctx.Done()
	return report, nil
}

func (s *stage) say(format string, args ...any) {
	fmt.Fprintf(s.Progress, format+"\n", args...)
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }
