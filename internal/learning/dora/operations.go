package dora

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Insight is what the operations work with.
type Insight struct {
	Reader projection.Reader
	Clock  clock.Clock
}

// DefaultBands is the table that is used unless another is asked for.
const DefaultBands = "dora-2023"

// ShowInput says of what and over which time.
type ShowInput struct {
	Service     string    `json:"service" doc:"of this service only"`
	Team        string    `json:"team" doc:"of this team's services only"`
	Environment string    `json:"environment" doc:"deployments to this environment (default: the last one on the way, where users are)"`
	Days        int       `json:"days" doc:"days up to the end, 1 to 3660 (default 90)"`
	From        time.Time `json:"from" doc:"beginning, instead of days"`
	To          time.Time `json:"to" doc:"end (default: now, or the moment asked for by at)"`
	Zone        string    `json:"zone" doc:"time zone whose calendar days are counted, such as Europe/Berlin (default UTC)"`
	Bands       string    `json:"bands" doc:"published table to compare with: article, dora-2021, dora-2023 (default) or dora-2024"`
	Limit       int       `json:"most" doc:"deployments listed, 1 to 1000 (default 100); numbers count them all"`
}

// Report is what was measured.
type Report struct {
	Environment string     `json:"environment"`
	Service     string     `json:"service,omitempty"`
	Team        string     `json:"team,omitempty"`
	From        time.Time  `json:"from"`
	To          time.Time  `json:"to"`
	Zone        string     `json:"zone"`
	Bands       string     `json:"bands"`
	Numbers     Numbers    `json:"numbers" doc:"of all services asked for together"`
	Services    []Measured `json:"services" doc:"of each service"`
	Deliveries  []Delivery `json:"deliveries" doc:"the deployments behind the numbers, newest first"`
	More        bool       `json:"more,omitempty" doc:"older ones are counted and not listed"`
}

// Measured is one service's numbers.
type Measured struct {
	Service string  `json:"service"`
	Numbers Numbers `json:"numbers"`
}

// Operations are what users can ask.
func (n *Insight) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ShowInput, Report]{
			Noun: "dora", Verb: "show", Summary: "Show delivery numbers and the deployments behind them",
			Help: "  flyball dora show\n  flyball dora show --service checkout --days 30 --bands article\n  flyball dora show --team payments --zone Europe/Berlin -o json",
			Role: operation.Viewer,
			Scope: func(ctx context.Context, in ShowInput) (operation.Scope, error) {
				if in.Service == "" {
					return operation.Scope{Team: in.Team, Environment: in.Environment}, nil
				}
				s, err := catalog.GetService(ctx, n.Reader, in.Service)
				return operation.Scope{Team: s.Team, Environment: in.Environment}, err
			},
			Handle: n.show,
		}),
	}
}

func (n *Insight) show(ctx context.Context, _ operation.Caller, in ShowInput) (Report, error) {
	r := operation.Reader(ctx, n.Reader)
	report, window, bands, err := n.frame(ctx, r, in)
	if err != nil {
		return report, err
	}
	services, err := n.services(ctx, r, in)
	if err != nil {
		return report, err
	}
	var places []Place
	for _, s := range services {
		p, err := Load(ctx, r, s, report.Environment)
		if err != nil {
			return report, err
		}
		m := Measured{Service: s, Numbers: Measure([]Place{p}, window)}
		bands.apply(&m.Numbers)
		report.Services = append(report.Services, m)
		places = append(places, p)
	}
	report.Numbers = Measure(places, window)
	bands.apply(&report.Numbers)
	report.Deliveries, report.More = listed(places, window, in.Limit)
	return report, nil
}

// frame works out what is asked for.
func (n *Insight) frame(ctx context.Context, r projection.Reader, in ShowInput) (out Report, w Window, bands BandSet, err error) {
	invalid := func(format string, args ...any) error {
		return problem.New(problem.Invalid, "dora.show", format, args...)
	}
	if bands, err = Bands(cmp.Or(in.Bands, DefaultBands)); err != nil {
		return out, w, bands, err
	}
	zone, err := time.LoadLocation(cmp.Or(in.Zone, "UTC"))
	if err != nil || in.Zone == "Local" {
		return out, w, bands, invalid("%q is not a time zone such as Europe/Berlin", in.Zone)
	}
	w = Window{To: in.To, From: in.From, Zone: zone}
	if w.To.IsZero() {
		w.To = n.Clock.Now()
		if at, ok := operation.At(ctx); ok {
			w.To = at
		}
	}
	if in.Days < 0 || in.Days > 3660 {
		return out, w, bands, invalid("days is %d; it must be between 1 and 3660", in.Days)
	}
	if w.From.IsZero() {
		w.From = w.To.AddDate(0, 0, -cmp.Or(in.Days, 90))
	}
	if !w.From.Before(w.To) {
		return out, w, bands, invalid("the window ends (%s) before it begins (%s)", w.To.Format(time.RFC3339), w.From.Format(time.RFC3339))
	}
	environment := in.Environment
	if environment == "" {
		all, err := catalog.Environments(ctx, r)
		if err != nil {
			return out, w, bands, err
		}
		if len(all) == 0 {
			return out, w, bands, problem.New(problem.NotFound, "dora.show", "no environment is declared yet").WithNext("flyball init declares a first one")
		}
		environment = all[len(all)-1].Name
	}
	out = Report{Environment: environment, Service: in.Service, Team: in.Team, From: w.From, To: w.To, Zone: zone.String(), Bands: bands.Name, Services: []Measured{}, Deliveries: []Delivery{}}
	return out, w, bands, nil
}

func (n *Insight) services(ctx context.Context, r projection.Reader, in ShowInput) ([]string, error) {
	if in.Service != "" {
		return []string{in.Service}, nil
	}
	all, err := catalog.Services(ctx, r)
	var out []string
	for _, s := range all {
		if in.Team == "" || s.Team == in.Team {
			out = append(out, s.Name)
		}
	}
	return out, err
}

// listed is the window's deliveries of all places, newest first.
func listed(places []Place, w Window, limit int) (out []Delivery, more bool) {
	out = []Delivery{}
	for _, p := range places {
		for _, d := range p.Deliveries {
			if w.has(d.At) {
				out = append(out, d)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Delivery) int { return b.At.Compare(a.At) })
	limit = operation.Limit(limit, 100, 1000)
	return out[:min(len(out), limit)], len(out) > limit
}

// Load reads a service's history in an environment and attributes it.
func Load(ctx context.Context, r projection.Reader, service, environment string) (p Place, err error) {
	var h History
	if h.Pushes, err = all[Push](ctx, r, pushName, "service", service); err != nil {
		return p, err
	}
	at := place(service, environment)
	if h.Deployments, err = all[Deployment](ctx, r, deploymentName, "place", at); err != nil {
		return p, err
	}
	if h.Incidents, err = all[Incident](ctx, r, incidentName, "place", at); err != nil {
		return p, err
	}
	return PlaceOf(service, h), nil
}

// PlaceOf attributes a history.
func PlaceOf(service string, h History) Place {
	p := Place{Service: service, Incidents: h.Incidents, Deliveries: Attribute(h)}
	born := func(t time.Time) {
		if !t.IsZero() && (p.Born.IsZero() || t.Before(p.Born)) {
			p.Born = t
		}
	}
	for _, x := range h.Pushes {
		born(x.PushedAt)
	}
	for _, d := range h.Deployments {
		born(d.At)
	}
	return p
}

func all[T any](ctx context.Context, r projection.Reader, name, index, value string) ([]T, error) {
	var out []T
	f := projection.Filter{Index: index, Value: value, Limit: projection.MaxPage}
	for {
		page, next, err := projection.List[T](ctx, r, name, f)
		if err != nil {
			return nil, err
		}
		out = append(out, page...)
		if next == "" {
			return out, nil
		}
		f.After = next
	}
}

// Tell is the report as a table for people.
func (r Report) Tell() string {
	n := r.Numbers
	var b strings.Builder
	fmt.Fprintf(&b, "Deliveries to %s, %s to %s (%s), bands of %s\n\n", r.Environment, r.From.Format("2006-01-02"), r.To.Format("2006-01-02 15:04 MST"), r.Zone, r.Bands)
	for _, line := range []struct {
		name string
		Number
	}{
		{"deployment frequency", n.DeploymentFrequency}, {"lead time, from first commit", n.LeadTime}, {"  its 90th percentile", n.LeadTimeP90},
		{"lead time, from push", n.PushLeadTime}, {"change fail rate", n.ChangeFailRate}, {"  caught before users had it", n.Caught},
		{"recovery of failed deployments", n.Recovery}, {"recovery from incidents", n.IncidentRecovery}, {"rework", n.ReworkRate},
	} {
		fmt.Fprintf(&b, "%-32s %s\n", line.name, line.Number)
	}
	fmt.Fprintf(&b, "\n%d deployments on %d of %d days, %d rollbacks, %d redeployments, %d aborted; downtime %s\n",
		n.Deployments, n.DeploymentDays, n.Days, n.Rollbacks, n.Redeploys, n.Aborted, span(n.Downtime))
	for _, d := range r.Deliveries {
		fmt.Fprintf(&b, "  %s  %-9s %-8s %s", d.At.UTC().Format("2006-01-02 15:04"), d.Kind, d.Verdict, d.Rollout)
		if d.Evidence != "" {
			fmt.Fprintf(&b, " (%s)", d.Evidence)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// String is the number with its interval, n, band and note.
func (n Number) String() string {
	if n.Value == nil {
		return fmt.Sprintf("not known (n = %d): %s", n.N, n.Note)
	}
	s := n.format(*n.Value)
	end := func(v *float64) string {
		if v == nil {
			return "?"
		}
		return n.format(*v)
	}
	s += fmt.Sprintf("  [%s, %s]  n = %d", end(n.Low), end(n.High), n.N)
	if n.Band != nil {
		s += "  " + n.Band.Name
		if n.Band.Note != "" {
			s += " (" + n.Band.Note + ")"
		}
	}
	if n.Note != "" {
		s += "  (" + n.Note + ")"
	}
	return s
}

func (n Number) format(v float64) string {
	switch n.Unit {
	case "seconds":
		return span(v)
	case "ratio":
		return strconv.FormatFloat(100*v, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(v, 'f', 2, 64) + " a day"
}

func span(seconds float64) string {
	switch {
	case seconds < 120:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds < 7200:
		return fmt.Sprintf("%.0f min", seconds/60)
	case seconds < 172800:
		return fmt.Sprintf("%.1f h", seconds/3600)
	}
	return fmt.Sprintf("%.1f d", seconds/86400)
}
