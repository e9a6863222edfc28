package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// ListInput bounds a list of probes.
type ListInput struct {
	Service string `json:"service" doc:"of this service only"`
	After   string `json:"after" doc:"cursor from the page before"`
	Limit   int    `json:"limit" doc:"at most this many, 1 to 1000 (default 100)"`
}

// ShowInput names a probe.
type ShowInput struct {
	Probe string `json:"probe" arg:"1" doc:"name of the probe"`
}

// Row is one probe in a list.
type Row struct {
	Probe       string    `json:"probe"`
	Service     string    `json:"service"`
	Environment string    `json:"environment,omitempty"`
	Kind        string    `json:"kind" doc:"http, tcp, dns or grpc"`
	Target      string    `json:"target"`
	State       string    `json:"state" doc:"good, bad, unmade when the last run could not be made, or new before the first"`
	Last        time.Time `json:"last,omitzero" doc:"when it ran last"`
	Seconds     float64   `json:"seconds" doc:"how long that took"`
	Reason      string    `json:"reason,omitempty" doc:"why it is not good"`
}

// Detail is one probe with what came of it.
type Detail struct {
	Row
	IntervalSeconds float64 `json:"interval_seconds"`
	Day             Tally   `json:"day" doc:"the last 24 hours"`
	Month           Tally   `json:"month" doc:"the last 30 days"`
	Runs            []Run   `json:"runs" doc:"the last runs since the server started, newest first"`
}

// Tally counts runs.
type Tally struct {
	Runs   int64 `json:"runs" doc:"made"`
	Bad    int64 `json:"bad" doc:"of them"`
	Unmade int64 `json:"unmade" doc:"could not be made: gaps"`
}

func (t Tally) String() string {
	if t.Runs == 0 {
		return fmt.Sprintf("no runs, %d could not be made", t.Unmade)
	}
	return fmt.Sprintf("%.3f %% good of %d runs, %d could not be made", 100*float64(t.Runs-t.Bad)/float64(t.Runs), t.Runs, t.Unmade)
}

// Run is one run.
type Run struct {
	Time            time.Time `json:"time"`
	State           string    `json:"state" doc:"good, bad or unmade"`
	Seconds         float64   `json:"seconds"`
	Answer          string    `json:"answer,omitempty" doc:"what was answered, such as a status"`
	Reason          string    `json:"reason,omitempty" doc:"why it is not good"`
	CertificateDays int       `json:"certificate_days" doc:"for which the certificate is valid still; -1 without one"`
}

// Tell is a run in a line.
func (r Run) Tell() string {
	parts := []string{r.Time.UTC().Format(time.RFC3339), r.State, (time.Duration(r.Seconds * float64(time.Second))).Round(time.Millisecond).String()}
	for _, p := range []string{r.Answer, r.Reason} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	if r.CertificateDays >= 0 {
		parts = append(parts, fmt.Sprintf("certificate valid for %d days", r.CertificateDays))
	}
	return strings.Join(parts, "  ")
}

// Tell is the probe in lines.
func (d Detail) Tell() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s asks %s by %s every %s: %s\n", d.Probe, d.Target, d.Kind, time.Duration(d.IntervalSeconds*float64(time.Second)), d.State)
	fmt.Fprintf(&b, "  24 hours  %s\n  30 days   %s", d.Day, d.Month)
	for _, r := range d.Runs {
		b.WriteString("\n  " + r.Tell())
	}
	return b.String()
}

// Operations are what users can do with probes.
func (d *Desk) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ListInput, operation.Page[Row]]{
			Noun: "probe", Verb: "list", Summary: "List probes and what they found last", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ListInput) (operation.Page[Row], error) {
				return d.list(ctx, in)
			},
		}),
		operation.Define(operation.Spec[ShowInput, Detail]{
			Noun: "probe", Verb: "show", Summary: "Show a probe with its last runs", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ShowInput) (Detail, error) {
				return d.show(ctx, in.Probe)
			},
		}),
		operation.Define(operation.Spec[ShowInput, Run]{
			Noun: "probe", Verb: "run", Summary: "Run a probe now and show what came of it; the run is not counted", Role: operation.Developer, Write: true,
			Scope: d.scope,
			Handle: func(ctx context.Context, _ operation.Caller, in ShowInput) (Run, error) {
				return d.runNow(ctx, in.Probe)
			},
		}),
	}
}

// scope is the team whose service the probe is of.
func (d *Desk) scope(ctx context.Context, in ShowInput) (operation.Scope, error) {
	s, _, err := catalog.Get[Spec](ctx, operation.Reader(ctx, d.Reader), KindProbe, in.Probe)
	if problem.KindOf(err) == problem.NotFound {
		return operation.Scope{}, nil
	}
	if err != nil {
		return operation.Scope{}, err
	}
	service, err := catalog.GetService(ctx, operation.Reader(ctx, d.Reader), s.Service)
	if problem.KindOf(err) == problem.NotFound {
		return operation.Scope{}, nil
	}
	return operation.Scope{Team: service.Team, Environment: s.Environment}, err
}

func (d *Desk) list(ctx context.Context, in ListInput) (operation.Page[Row], error) {
	specs, entries, err := catalog.List[Spec](ctx, operation.Reader(ctx, d.Reader), KindProbe)
	out := operation.Page[Row]{Items: []Row{}}
	limit := operation.Limit(in.Limit, 100, 1000)
	for i, e := range entries {
		name := e.Metadata.Name
		if name <= in.After || in.Service != "" && specs[i].Service != in.Service {
			continue
		}
		if len(out.Items) == limit {
			out.Next = out.Items[limit-1].Probe
			break
		}
		out.Items = append(out.Items, d.row(name, &specs[i]))
	}
	return out, err
}

// recent are the last runs of a probe, oldest first.
func (d *Desk) recent(name string) []run {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.probes[name]; p != nil {
		return slices.Clone(p.recent)
	}
	return nil
}

func (d *Desk) row(name string, s *Spec) Row {
	c := s.Check()
	r := Row{Probe: name, Service: s.Service, Environment: s.Environment, Kind: string(c.Kind), Target: c.Target, State: "new"}
	if runs := d.recent(name); len(runs) > 0 {
		last := shown(runs[len(runs)-1])
		r.State, r.Last, r.Seconds, r.Reason = last.State, last.Time, last.Seconds, last.Reason
	}
	return r
}

func shown(r run) Run {
	state := "bad"
	switch {
	case r.unmade:
		state = "unmade"
	case r.outcome.Good:
		state = "good"
	}
	return Run{Time: r.at.UTC(), State: state, Seconds: r.outcome.Took.Seconds(), Answer: r.outcome.Answer, Reason: r.outcome.Reason, CertificateDays: r.outcome.CertificateDays}
}

func (d *Desk) show(ctx context.Context, name string) (Detail, error) {
	s, _, err := catalog.Get[Spec](ctx, operation.Reader(ctx, d.Reader), KindProbe, name)
	if err != nil {
		return Detail{}, err
	}
	out := Detail{Row: d.row(name, &s), IntervalSeconds: s.Interval.Seconds(), Runs: []Run{}}
	for _, r := range slices.Backward(d.recent(name)) {
		out.Runs = append(out.Runs, shown(r))
	}
	now := d.Clock.Now()
	minutes, err := load(ctx, d.Blobs, name, now.Add(-30*24*time.Hour), now.Add(time.Minute))
	for _, m := range minutes {
		out.Month.plus(m)
		if m.Time.After(now.Add(-24 * time.Hour)) {
			out.Day.plus(m)
		}
	}
	return out, err
}

func (t *Tally) plus(m Minute) {
	t.Runs += m.Runs
	t.Bad += m.Bad
	t.Unmade += m.Unmade
}

func (d *Desk) runNow(ctx context.Context, name string) (Run, error) {
	s, _, err := catalog.Get[Spec](ctx, d.Reader, KindProbe, name)
	if err != nil {
		return Run{}, err
	}
	if d.Prober == nil {
		return Run{}, problem.New(problem.Unavailable, "probe.run", "this server probes nothing").WithNext("start one with flyball up")
	}
	return shown(d.ask(ctx, name, &s, d.Clock.Now())), nil
}
