package pipeline_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/flow/pipeline"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

var began = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// run is a Run that facts are applied to as they would be recorded.
type run struct {
	pipeline.Run
	t testing.TB
}

var sampleChange = pipeline.Change{
	Name: "checkout-3f2a91c", Service: "checkout", Branch: "main", Commit: "3f2a91c04d55e0b1c2d3e4f5061728394a5b6c7d",
	Subject: "fix: $(rm -rf /)", Author: "Ana", Time: began.Add(-time.Hour),
}

func newRun(t testing.TB, spec pipeline.Spec) *run {
	r := &run{t: t}
	r.record(pipeline.EventStarted, pipeline.Started{Run: "checkout-7", Change: sampleChange, Spec: spec})
	return r
}

func (r *run) record(typ string, data any) {
	r.t.Helper()
	raw, err := json.Marshal(data)
	if err == nil {
		r.Run, err = r.Run.Apply(event.Event{Type: typ, Data: raw, Time: began})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// grants admits the run to every group it claims.
func (r *run) grants() map[string]bool { return pipeline.Admit(r.Claims()).For(r.ID) }

// decide decides, records what is a fact and returns the orders.
func (r *run) decide(slots int) []pipeline.Order {
	r.t.Helper()
	orders := pipeline.Decide(pipeline.View{Run: r.Run, Slots: slots, Granted: r.grants()})
	for _, o := range orders {
		if typ, data := o.Fact(); typ != "" {
			r.record(typ, data)
		}
	}
	return orders
}

func show(o pipeline.Order) string {
	s := string(o.Kind)
	if o.Job != "" {
		s += " " + o.Job
	}
	switch o.Kind {
	case pipeline.OrderStartStep, pipeline.OrderSkipStep, pipeline.OrderCancelStep:
		s += " " + strconv.Itoa(o.Step)
	}
	if o.Kind == pipeline.OrderStartStep {
		s += fmt.Sprintf(" %q limit=%s", o.Script, o.Limit)
	}
	for _, part := range []struct {
		name  string
		value any
		show  bool
	}{
		{"command", o.Command, o.Command != nil}, {"dir", o.Dir, o.Dir != ""}, {"env", o.Env.Plain, len(o.Env.Plain) > 0},
		{"secrets", o.Env.Secrets, len(o.Env.Secrets) > 0}, {"files", o.Files, o.Files != nil}, {"outputs", o.Outputs, len(o.Outputs) > 0},
		{"digest", o.Digest, o.Digest != ""},
	} {
		if part.show {
			s += fmt.Sprintf(" %s=%v", part.name, part.value)
		}
	}
	if o.Result != "" {
		s += " " + string(o.Result)
	}
	if o.Reason != "" {
		s += ": " + o.Reason
	}
	return s
}

// TestSchedule plays what happens in a run, line by line, against what was
// decided. The lines are: exit JOB STEP CODE [took=SECONDS] [name=output…],
// end JOB STEP END [took=SECONDS], packed JOB DIGEST, unpacked JOB ERROR,
// cancel REASON, slots N, look.
func TestSchedule(t *testing.T) {
	files, err := filepath.Glob("testdata/schedule/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			spec, found := load(t, append([]byte(header), a.Files[0].Data...))
			if spec == nil {
				t.Fatalf("findings:\n%s", found)
			}
			compare(t, file, a, 2, play(t, *spec, string(a.Files[1].Data)))
		})
	}
}

func play(t *testing.T, spec pipeline.Spec, script string) string {
	r := newRun(t, spec)
	slots := 8
	var out strings.Builder
	say := func() {
		for _, o := range r.decide(slots) {
			out.WriteString("  " + show(o) + "\n")
		}
		if again := pipeline.Decide(pipeline.View{Run: r.Run, Slots: 0, Granted: r.grants()}); slices.ContainsFunc(again, func(o pipeline.Order) bool {
			return o.Kind != pipeline.OrderCancelStep
		}) {
			t.Errorf("deciding again gives %v", again)
		}
	}
	out.WriteString("> push\n")
	say()
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		out.WriteString("> " + line + "\n")
		if n, ok := strings.CutPrefix(line, "slots "); ok {
			slots, _ = strconv.Atoi(n)
		} else {
			r.happen(line)
		}
		say()
	}
	return out.String()
}

func (r *run) happen(line string) {
	r.t.Helper()
	word := strings.Fields(line)
	switch word[0] {
	case "look":
	case "cancel":
		r.record(pipeline.EventCancelled, pipeline.Cancelled{Reason: strings.TrimPrefix(line, "cancel ")})
	case "packed":
		r.record(pipeline.EventJobPacked, pipeline.JobPacked{Job: word[1], Digest: word[2]})
	case "unpacked":
		r.record(pipeline.EventJobPacked, pipeline.JobPacked{Job: word[1], Error: strings.Join(word[2:], " ")})
	case "exit", "end":
		e := pipeline.StepEnded{Job: word[1], End: workload.EndExited, Seconds: 1, Outputs: map[string]string{}}
		e.Step, _ = strconv.Atoi(word[2])
		if word[0] == "exit" {
			e.ExitCode, _ = strconv.Atoi(word[3])
		} else {
			e.End = word[3]
		}
		for _, w := range word[4:] {
			name, value, _ := strings.Cut(w, "=")
			if name == "took" {
				e.Seconds, _ = strconv.ParseFloat(value, 64)
			} else {
				e.Outputs[name] = value
			}
		}
		r.record(pipeline.EventStepEnded, e)
	default:
		r.t.Fatalf("unknown line %q", line)
	}
}

func jobIDs(s pipeline.Spec) []string { return slices.Sorted(maps.Keys(s.Jobs)) }
