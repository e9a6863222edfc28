package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/flow/artifact"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/flow/pipeline"
	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// changeRow is a change in a list, with how far it has come.
type changeRow struct {
	change.Change
	State string
	Where string // environment, while it is on its way there
	Href  string // of what the state is about
}

type changeListBody struct {
	Lead    string
	Service string
	Items   []changeRow
	Next    string
}

func (s *site) changeList(v *visit) (page, error) {
	b := changeListBody{Service: v.URL.Query().Get("service")}
	f := v.filter("all", "yes")
	if b.Service != "" {
		f.Index, f.Value = "service", b.Service
	}
	items, next, err := projection.List[change.Change](v.ctx, v.reader, change.ProjectionName, f)
	if err != nil {
		return page{}, err
	}
	b.Next = next
	if b.Items, err = v.changeRows(items); err != nil {
		return page{}, err
	}
	b.Lead = b.lead(v.now)
	return page{Template: "changes", Title: "Changes", Section: "changes", Live: "change.,pipeline.started,pipeline.ended,artifact.,rollout.,action.gated", Body: b}, nil
}

func (b changeListBody) lead(now time.Time) string {
	of := ""
	if b.Service != "" {
		of = " of " + b.Service
	}
	if len(b.Items) == 0 {
		return "No change" + of + " has been pushed yet."
	}
	under := 0
	for _, c := range b.Items {
		if _, t := lookup(c.State); t == moving || t == risk && c.State != "aborted" {
			under++
		}
	}
	return fmt.Sprintf("The newest change%s came %s ago; %s under way.", of, ago(now, b.Items[0].PushedAt), isAre(under))
}

func isAre(n int) string {
	switch n {
	case 0:
		return "none is"
	case 1:
		return "1 is"
	}
	return count(n) + " are"
}

func (v *visit) changeRows(changes []change.Change) ([]changeRow, error) {
	out := make([]changeRow, len(changes))
	for i, c := range changes {
		out[i] = changeRow{Change: c, State: "pushed", Href: "/changes/" + c.Pushed.Change}
		way, err := v.way(c)
		if err != nil {
			return nil, err
		}
		out[i].State, out[i].Where, out[i].Href = way.state()
	}
	return out, nil
}

// way is everything that became of a change.
type way struct {
	change   change.Change
	runs     []pipeline.Run // oldest first, like the rest
	artifact *artifact.Artifact
	releases []shipped
}

// shipped is one release with its gate and its rollouts.
type shipped struct {
	release.Release
	Gate     *action.Action
	Rollouts []rollout.Rollout
}

func (v *visit) way(c change.Change) (way, error) {
	w := way{change: c}
	f := projection.Filter{Index: "change", Value: c.Pushed.Change, Limit: 20}
	var err error
	if w.runs, _, err = projection.List[pipeline.Run](v.ctx, v.reader, pipeline.ProjectionName, f); err != nil {
		return w, err
	}
	built, _, err := projection.List[artifact.Artifact](v.ctx, v.reader, artifact.ProjectionName, f)
	if err != nil {
		return w, err
	}
	if n := len(built); n > 0 {
		w.artifact = &built[n-1]
	}
	releases, _, err := projection.List[release.Release](v.ctx, v.reader, release.ProjectionName, f)
	if err != nil {
		return w, err
	}
	for _, r := range releases {
		sh := shipped{Release: r}
		gates, err := v.actions("subject", "release/"+r.Proposed.Release)
		if err != nil {
			return w, err
		}
		if len(gates) > 0 {
			sh.Gate = &gates[0]
		}
		for _, name := range r.Rollouts {
			ro, ok, err := rollout.Get(v.ctx, v.reader, name)
			if err != nil {
				return w, err
			}
			if ok {
				sh.Rollouts = append(sh.Rollouts, ro)
			}
		}
		w.releases = append(w.releases, sh)
	}
	return w, nil
}

// state is how far the change has come, where, and the page about it.
func (w way) state() (word, where, href string) {
	for i := len(w.releases) - 1; i >= 0; i-- {
		r := w.releases[i]
		if n := len(r.Rollouts); n > 0 {
			last := r.Rollouts[n-1]
			return rolloutState(last), r.Environment, "/rollouts/" + last.Rollout
		}
		if r.Gate != nil {
			return string(r.Gate.Phase), r.Environment, "/why/release/" + r.Proposed.Release
		}
	}
	self := "/changes/" + w.change.Pushed.Change
	switch n := len(w.runs); {
	case w.artifact != nil:
		return "built", "", self
	case n > 0 && w.runs[n-1].Phase == pipeline.Done:
		return string(w.runs[n-1].Result), "", "/pipelines/" + w.runs[n-1].ID
	case n > 0:
		return string(w.runs[n-1].Phase), "", "/pipelines/" + w.runs[n-1].ID
	}
	return "pushed", "", self
}

type changeBody struct {
	change.Change
	Lead     string
	State    string
	Where    string
	Stream   []stage
	Work     time.Duration
	Waiting  time.Duration
	Runs     []pipeline.Run
	Artifact *artifact.Artifact
	Releases []shipped
	Bad      int64 // requests its canaries failed
	Requests int64
	MayMark  bool
}

func (s *site) change(v *visit) (page, error) {
	name := v.PathValue("name")
	c, ok, err := change.Get(v.ctx, v.reader, name)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "change.show", "there is no change named %q", name).WithNext("the list of changes shows what there is")
	}
	if err != nil {
		return page{}, err
	}
	w, err := v.way(c)
	if err != nil {
		return page{}, err
	}
	b := changeBody{Change: c, Runs: w.runs, Artifact: w.artifact, Releases: w.releases, MayMark: c.Mark == nil && s.may(v, "change.mark", c.Team, "")}
	b.State, b.Where, _ = w.state()
	b.Stream = drawn(w.stages(v.now))
	for _, st := range b.Stream {
		if st.Waiting {
			b.Waiting += st.Length()
		} else {
			b.Work += st.Length()
		}
	}
	for _, r := range w.releases {
		for _, ro := range r.Rollouts {
			for _, a := range armsOf(ro) {
				b.Requests, b.Bad = max(b.Requests, a.Canary.Requests), max(b.Bad, a.Canary.Bad)
			}
		}
	}
	b.Lead = b.lead()
	return page{Template: "change", Title: name, Section: "changes", Body: b, Live: "change.,pipeline.,artifact.,release.,rollout.,action."}, nil
}

func (b changeBody) lead() string {
	where := ""
	if b.Where != "" {
		where = " in " + b.Where
	}
	total := span(b.Work + b.Waiting)
	switch b.State {
	case "promoted":
		return fmt.Sprintf("“%s” serves everybody%s, %s after its first commit.", b.Subject, where, total)
	case "rolled_back", "aborted", "failed", "failure", "cancelled", "rejected":
		return fmt.Sprintf("“%s” %s%s, %s after its first commit.", b.Subject, word(b.State), where, total)
	case "blocked", "awaiting approval":
		return fmt.Sprintf("“%s” %s%s.", b.Subject, strings.Replace(word(b.State), "blocked", "is blocked", 1), where)
	}
	return fmt.Sprintf("“%s” is on its way%s: %s.", b.Subject, where, word(b.State))
}

// stages is the change's value stream: work and waiting, from its first commit
// to all of the traffic.
func (w way) stages(now time.Time) []stage {
	c := w.change
	first := c.PushedAt
	for _, k := range c.Commits {
		if !k.Authored.IsZero() && k.Authored.Before(first) {
			first = k.Authored
		}
	}
	t := track{now: now, at: first}
	t.wait("written, not pushed", "", c.PushedAt, false)
	for _, r := range w.runs {
		t.wait("waits for a run", "", r.Started, false)
		end, open := ended(r.Ended, now)
		t.work("build and test", "/pipelines/"+r.ID, toneOf(string(r.Result)), end, open)
	}
	for _, r := range w.releases {
		t.wait("waits to be released to "+r.Environment, "", r.ProposedAt, false)
		if len(r.Rollouts) == 0 {
			if r.Gate == nil || !r.Gate.Phase.Done() {
				t.wait("at the gate of "+r.Environment, "/why/release/"+r.Proposed.Release, now, true)
			} else {
				t.wait("at the gate of "+r.Environment, "/why/release/"+r.Proposed.Release, r.Gate.EndedAt, false)
			}
		}
		for _, ro := range r.Rollouts {
			t.wait("at the gate of "+r.Environment, "/why/release/"+r.Proposed.Release, ro.StartedAt, false)
			t.rollout(ro)
		}
	}
	return t.stages
}

func toneOf(state string) tone {
	_, t := lookup(state)
	return t
}

func ended(at, now time.Time) (time.Time, bool) {
	if at.IsZero() {
		return now, true
	}
	return at, false
}

// track lays stages one after another.
type track struct {
	now    time.Time
	at     time.Time
	stages []stage
}

func (t *track) add(s stage) {
	s.From = t.at
	if !s.To.After(t.at) {
		if s.Waiting {
			return
		}
		s.To = t.at
	}
	t.at = s.To
	t.stages = append(t.stages, s)
}

func (t *track) wait(name, href string, until time.Time, open bool) {
	t.add(stage{Name: name, Href: href, Waiting: true, Tone: idle, To: until, Open: open})
}

func (t *track) work(name, href string, tone tone, until time.Time, open bool) {
	t.add(stage{Name: name, Href: href, Tone: tone, To: until, Open: open})
}

// rollout adds a rollout, step by step.
func (t *track) rollout(r rollout.Rollout) {
	href := "/rollouts/" + r.Rollout
	end, open := ended(r.FinishedAt, t.now)
	var steps []rollout.Point
	for _, p := range r.Trace {
		if p.Weight > 0 && (len(steps) == 0 || steps[len(steps)-1].Weight != p.Weight) {
			steps = append(steps, p)
		}
	}
	start := end
	if len(steps) > 0 {
		start = steps[0].Time
	}
	t.work("starts in "+r.Environment, href, moving, start, len(steps) == 0 && open)
	for i, p := range steps {
		until, last := end, i == len(steps)-1
		if !last {
			until = steps[i+1].Time
		}
		mood := moving
		if last && !open {
			mood = toneOf(r.Outcome)
		}
		if p.Weight < 10_000 || !last {
			t.work(points(p.Weight)+" of "+r.Environment, href, mood, until, last && open)
		}
	}
	if n := len(t.stages); !open && n > 0 && t.stages[n-1].Href == href {
		t.stages[n-1].Tone, t.stages[n-1].Detail = toneOf(r.Outcome), word(r.Outcome)
	}
}

type runBody struct {
	pipeline.Run
	Lead   string
	Jobs   []jobRow
	Logs   pipeline.Logs // of the step people ask about
	Output string        // its end
	Silent string        // why there is no output
}

// outputShown is how much of a step's output a page shows, in bytes.
const outputShown = 20_000

type jobRow struct {
	Name  string
	State string
	pipeline.JobState
	Steps []stepRow
}

type stepRow struct {
	Title string
	State string
	pipeline.StepState
}

func (s *site) run(v *visit) (page, error) {
	name := v.PathValue("name")
	r, ok, err := projection.Get[pipeline.Run](v.ctx, v.reader, pipeline.ProjectionName, name)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "pipeline.show", "there is no run named %q", name).WithNext("a change's page lists its runs")
	}
	if err != nil {
		return page{}, err
	}
	b := runBody{Run: r}
	for _, id := range r.Spec.Order() {
		j := r.Jobs[id]
		row := jobRow{Name: id, JobState: j, State: either(string(j.Result), string(j.Phase))}
		for n, st := range j.Steps {
			row.Steps = append(row.Steps, stepRow{r.Spec.Jobs[id].Steps[n].Title(), either(string(st.Conclusion), string(st.Phase)), st})
		}
		b.Jobs = append(b.Jobs, row)
	}
	if err := s.output(v, &b); err != nil {
		return page{}, err
	}
	end, open := ended(r.Ended, v.now)
	b.Lead = fmt.Sprintf("%s %s in %s.", name, word(either(string(r.Result), string(r.Phase))), span(end.Sub(r.Started)))
	if open {
		b.Lead = fmt.Sprintf("%s has been running for %s.", name, span(end.Sub(r.Started)))
	}
	return page{Template: "run", Title: name, Section: "changes", Body: b, Live: "pipeline."}, nil
}

// output reads the end of what the failed step printed, or else the last one.
func (s *site) output(v *visit, b *runBody) error {
	if v.past {
		return nil
	}
	logs, _, err := call[pipeline.Logs](s, v, "pipeline.logs", func(in any) error {
		in.(*pipeline.LogsInput).Run = b.ID
		return nil
	})
	switch problem.KindOf(err) {
	case "":
	case problem.NotFound, problem.Unavailable:
		// The step has not begun, its output was pruned, or the machine is away.
		b.Silent = api.Describe(err).Detail
		return nil
	default:
		return err
	}
	b.Logs, b.Output = logs, logs.Text
	if n := len(b.Output); n > outputShown {
		b.Output = "…" + strings.ToValidUTF8(b.Output[n-outputShown:], "")
	}
	return nil
}

func either(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// newest is a copy in reverse order.
func newest[T any](list []T) []T {
	out := slices.Clone(list)
	slices.Reverse(out)
	return out
}
