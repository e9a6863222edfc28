package feed

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// Connection is how a metrics engine is reached: an OpenSLO DataSource of type
// Prometheus.
type Connection struct {
	Name string
	URL  string
	// Names of secrets, and what goes with them.
	BearerSecret, User, PasswordSecret string
	Tenant                             string
}

// Default is the name of the source that the server was started with.
const Default = slo.OwnDefault

// BuiltIn is the name of the server's own metrics store.
const BuiltIn = slo.OwnStore

// engineTypes are the types of sources that speak PromQL.
var engineTypes = []string{"prometheus", "thanos", "mimir", "cortex", "victoriametrics"}

// connectionOf reads a DataSource's connectionDetails.
func connectionOf(d slo.Definition) (Connection, bool) {
	c := Connection{Name: d.Name}
	c.URL = d.Connection["url"]
	c.BearerSecret, c.User, c.PasswordSecret = d.Connection["bearerTokenSecret"], d.Connection["username"], d.Connection["passwordSecret"]
	c.Tenant = d.Connection["tenant"]
	return c, speaksPromQL(d.Type)
}

func speaksPromQL(kind string) bool { return slices.Contains(engineTypes, strings.ToLower(kind)) }

// directory finds the engine of an indicator.
type directory struct {
	byName  map[string]Connection
	primary string // name of the one that is meant when none is named; may be empty
}

// read makes a directory of the DataSources that are applied and the server's
// own. Without a name, a source is the one called default, or the one the
// server was started with, or the only one there is, or the server's own store.
func read(ctx context.Context, r projection.Reader, own Connection) (directory, error) {
	list, err := slo.DataSources(ctx, r)
	if err != nil {
		return directory{}, err
	}
	d := directory{byName: map[string]Connection{}}
	for _, def := range list {
		if c, ok := connectionOf(def); ok {
			d.byName[c.Name] = c
			d.primary = c.Name
		}
	}
	if len(d.byName) > 1 {
		d.primary = ""
	}
	if _, declared := d.byName[Default]; declared {
		d.primary = Default
	} else if own.URL != "" || own.Name != "" && len(d.byName) == 0 {
		d.byName[own.Name], d.primary = own, own.Name
	}
	if _, declared := d.byName[BuiltIn]; !declared {
		d.byName[BuiltIn] = Connection{Name: BuiltIn}
	}
	return d, nil
}

// sources are those of an indicator.
func sources(i slo.Indicator) []*slo.Source {
	return slices.DeleteFunc([]*slo.Source{i.Good, i.Bad, i.Total, i.Value}, func(s *slo.Source) bool { return s == nil })
}

// Ours reports whether an indicator is one that metrics engines count.
func Ours(i slo.Indicator) bool {
	all := sources(i)
	return len(all) > 0 && !slices.ContainsFunc(all, func(s *slo.Source) bool { return !speaksPromQL(s.Type) })
}

// of is the engine that an indicator is counted on: one for all its sources.
func (d directory) of(i slo.Indicator) (Connection, error) {
	names := map[string]bool{}
	name := ""
	for _, s := range sources(i) {
		name = d.primary
		if _, known := d.byName[s.Ref]; known {
			name = s.Ref
		}
		names[name] = true
	}
	if len(names) > 1 {
		return Connection{}, problem.New(problem.Invalid, "slo.source", "the indicator's queries are of different data sources").WithNext("use one metricSourceRef for all of them")
	}
	c, ok := d.byName[name]
	if !ok {
		return Connection{}, problem.New(problem.NotFound, "slo.source", "nobody said which Prometheus to ask").
			WithNext("apply a DataSource (openslo/v1, type: Prometheus, connectionDetails: {url: …}), or start with flyball up --prometheus URL")
	}
	return c, nil
}

// Indicator is an objective's indicator in the words of the port.
func Indicator(i slo.Indicator, groupBy []string) metric.Indicator {
	query := func(s *slo.Source) string {
		if s == nil {
			return ""
		}
		return s.Query
	}
	out := metric.Indicator{
		Good: query(i.Good), Bad: query(i.Bad), Total: query(i.Total), Value: query(i.Value), Failures: i.Failures,
		Op: string(i.Op), Threshold: i.Threshold.Float64(), Counter: i.Counter, GroupBy: groupBy,
	}
	out.Sum = slices.ContainsFunc(sources(i), func(s *slo.Source) bool { return s.Whole })
	switch i.Kind {
	case slo.Ratio:
		out.Kind = metric.Ratio
	case slo.Raw:
		out.Kind = metric.Share
	case slo.Latency:
		out.Kind = metric.Faster
	default:
		out.Kind = metric.Measured
	}
	return out
}

// Check says what is wrong with the queries of an objective that metrics
// engines count, at the place where the objective is written.
func Check(counter metric.Counter, o *slo.Objective) []problem.Finding {
	if !Ours(o.Indicator) {
		return nil
	}
	i := o.Indicator
	written := map[string]*slo.Source{"good": i.Good, "bad": i.Bad, "total": i.Total, "value": i.Value}
	add := func(severity, code, field, message string) problem.Finding {
		f := problem.Finding{File: o.File, Line: o.Line, Column: 1, Severity: severity, Code: code, Field: field, Message: "objective " + o.Name + ": " + message}
		if s := written[field]; s != nil && s.Line > 0 {
			f.Line, f.Column = s.Line, s.Column
		}
		return f
	}
	plan, err := counter.Plan(Indicator(o.Indicator, o.GroupBy))
	var e *problem.Error
	switch {
	case errors.As(err, &e):
		var out []problem.Finding
		for _, f := range e.Findings {
			out = append(out, add("error", f.Code, f.Field, f.Message))
		}
		return out
	case err == nil && !plan.Exact:
		return []problem.Finding{add("warning", metric.CodeApproximate, "", "its counts will be approximate: "+plan.Reason)}
	}
	return nil
}

// named is the source of a name; without one, the source that objectives use
// that name none.
func (f *Feeder) named(ctx context.Context, name string) (c Connection, primary bool, err error) {
	d, err := read(ctx, f.Reader, f.Own)
	if err != nil {
		return c, false, err
	}
	if name == "" {
		name = d.primary
	}
	c, ok := d.byName[name]
	switch {
	case ok:
		return c, name == d.primary, nil
	case name == "":
		return c, false, problem.New(problem.NotFound, "slo.source", "there are several metrics sources, and none is called default").
			WithNext("name one of %s", strings.Join(slices.Sorted(maps.Keys(d.byName)), ", "))
	}
	return c, false, problem.New(problem.NotFound, "slo.source", "there is no metrics source %q", name).
		WithNext("there are %s; apply a DataSource of that name, or leave it out for the server's default", strings.Join(slices.Sorted(maps.Keys(d.byName)), ", "))
}

// Counter counts on a source by its name; without one, on the source that
// objectives use that name none.
func (f *Feeder) Counter(ctx context.Context, name string) (metric.Counter, error) {
	c, _, err := f.named(ctx, name)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.lines {
		if l.counter != nil && l.source == c {
			return l.counter, nil
		}
	}
	if f.asked == nil {
		f.asked = map[Connection]metric.Counter{}
	}
	if f.asked[c] == nil {
		if f.asked[c], err = f.Open(c); err != nil {
			return nil, err
		}
	}
	return f.asked[c], nil
}
