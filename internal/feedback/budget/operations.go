package budget

import (
	"context"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Books is what the operations on budgets work with.
type Books struct {
	Log    event.Log
	Reader projection.Reader
	Clock  clock.Clock
	// Sync waits until Reader shows the end of the log.
	Sync func(ctx context.Context) error
	// Objectives lists the objectives of a service in an environment; an empty
	// name is all.
	Objectives func(service, environment string) []*slo.Objective
	// Counts gives an objective's minutes in [from, until) as they were counted;
	// arms are nil where revisions are not counted.
	Counts func(ctx context.Context, o *slo.Objective, from, until time.Time) (raw *slo.Series, arms []Minute, err error)

	spenders spenders
}

// ShowInput asks who spent budgets.
type ShowInput struct {
	Service     string `json:"service" arg:"1" doc:"service whose budgets were spent"`
	Environment string `json:"environment" doc:"environment (default: the last one on the way)"`
	Objective   string `json:"objective" doc:"of this objective only, by its name, such as availability"`
}

// Report is the ledgers of one place.
type Report struct {
	Items []Ledger `json:"items" doc:"a ledger per objective"`
}

// Tell is the ledgers in lines.
func (r Report) Tell() string {
	if len(r.Items) == 0 {
		return "there is no objective, so no budget; give the service one in its file: objectives: {availability: 99.9%}"
	}
	parts := make([]string, len(r.Items))
	for i, l := range r.Items {
		parts[i] = l.Tell()
	}
	return strings.Join(parts, "\n\n")
}

// ListInput bounds a list of budgets.
type ListInput struct {
	Service     string `json:"service" doc:"of this service only"`
	Environment string `json:"environment" doc:"in this environment only"`
	Search      string `json:"search" doc:"only objectives whose key contains this"`
	After       string `json:"after" doc:"cursor from the page before"`
	Limit       int    `json:"limit" doc:"at most this many, 1 to 100 (default 20)"`
}

// Row is one budget in a list.
type Row struct {
	Objective string  `json:"objective" doc:"key"`
	Bad       int64   `json:"bad" doc:"bad events in the window, without what is excluded"`
	Allowed   float64 `json:"allowed" doc:"bad events that the window allows"`
	Remaining float64 `json:"remaining" doc:"share of the budget left; negative when overspent"`
	Spenders  string  `json:"spenders" doc:"who spent most of it"`
}

// Header names the columns of a list of budgets.
func (Row) Header() []string { return []string{"OBJECTIVE", "LEFT", "BAD", "ALLOWED", "SPENT BY"} }

// Rows is the budget as a line of a list.
func (r Row) Rows() [][]string {
	return [][]string{{r.Objective, percent(r.Remaining), number(float64(r.Bad)), allowed(r.Allowed), r.Spenders}}
}

// LinkInput says what may have spent budget.
type LinkInput struct {
	Service     string    `json:"service" arg:"1" doc:"service whose budget it may have spent"`
	Environment string    `json:"environment" required:"true" doc:"environment it happened in"`
	Kind        string    `json:"kind" required:"true" enum:"flag,experiment,dependency,maintenance" doc:"what it is"`
	Name        string    `json:"name" required:"true" doc:"its name, such as new-search or payments-provider"`
	From        time.Time `json:"from" doc:"when it began (default: now)"`
	To          time.Time `json:"to" doc:"when it ended (default: it lasts)"`
	Reason      string    `json:"reason" required:"true" doc:"what happened, in one line"`
}

// UnlinkInput takes a link back.
type UnlinkInput struct {
	Link   string `json:"link" arg:"1" doc:"the link, such as flag-new-search-20261121T120000"`
	Reason string `json:"reason" required:"true" doc:"why it was wrong"`
}

// Operations are what users can ask of budgets.
func (b *Books) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ShowInput, Report]{
			Noun: "budget", Verb: "show", Summary: "Show who spent the error budgets of a service", Role: operation.Viewer,
			Help: "Every bad event of the window belongs to a cause or to the background; the shares sum to what was spent.\n\n  flyball budget show checkout\n  flyball budget show checkout --environment prod --objective availability",
			Scope: func(ctx context.Context, in ShowInput) (operation.Scope, error) {
				return b.scope(ctx, in.Service, in.Environment)
			},
			Handle: func(ctx context.Context, _ operation.Caller, in ShowInput) (Report, error) { return b.show(ctx, in) },
		}),
		operation.Define(operation.Spec[ListInput, operation.Page[Row]]{
			Noun: "budget", Verb: "list", Summary: "List error budgets with who spent most of them", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ListInput) (operation.Page[Row], error) {
				return b.list(ctx, in)
			},
		}),
		operation.Define(operation.Spec[LinkInput, Linked]{
			Noun: "budget", Verb: "link", Summary: "Record that a flag, an experiment, a dependency or maintenance may have spent budget",
			Help: "Only what went wrong beyond the usual in the interval is charged to it. Linking again with the same kind, name and begin gives its end.\n\n  flyball budget link checkout --environment prod --kind dependency --name payments-provider --from 2026-11-21T09:00:00Z --to 2026-11-21T09:40:00Z --reason 'their status page: partial outage'",
			Role: operation.Developer, Write: true,
			Scope: func(ctx context.Context, in LinkInput) (operation.Scope, error) {
				return b.scope(ctx, in.Service, in.Environment)
			},
			Handle: b.link,
		}),
		operation.Define(operation.Spec[UnlinkInput, Record]{
			Noun: "budget", Verb: "unlink", Summary: "Take a link back: another record, nothing is deleted",
			Role: operation.Developer, Write: true,
			Scope: func(ctx context.Context, in UnlinkInput) (operation.Scope, error) {
				r, err := b.linked(ctx, in.Link)
				return operation.Scope{Team: r.Team, Environment: r.Environment}, err
			},
			Handle: b.unlink,
		}),
	}
}

// scope is where a service is; without an environment, in the users'.
func (b *Books) scope(ctx context.Context, service, environment string) (operation.Scope, error) {
	s, err := catalog.GetService(ctx, operation.Reader(ctx, b.Reader), service)
	if b.watched(err, service) {
		return operation.Scope{Environment: environment}, nil // nobody's: a grant for every team
	}
	if err == nil && environment == "" {
		environment, err = b.last(ctx)
	}
	return operation.Scope{Team: s.Team, Environment: environment}, err
}

// watched reports whether a service that the catalog does not know, as err
// says, has objectives all the same.
func (b *Books) watched(err error, service string) bool {
	return problem.KindOf(err) == problem.NotFound && service != "" && len(b.Objectives(service, "")) > 0
}

// last is the last environment on the way.
func (b *Books) last(ctx context.Context) (string, error) {
	all, err := catalog.Environments(ctx, operation.Reader(ctx, b.Reader))
	if err == nil && len(all) == 0 {
		err = problem.New(problem.NotFound, "budget.show", "there is no environment").WithNext("flyball init writes one")
	}
	if err != nil {
		return "", err
	}
	return all[len(all)-1].Name, nil
}

// moment is the time asked for, or now.
func (b *Books) moment(ctx context.Context) time.Time {
	if at, ok := operation.At(ctx); ok {
		return at
	}
	return b.Clock.Now()
}

func (b *Books) show(ctx context.Context, in ShowInput) (Report, error) {
	reader := operation.Reader(ctx, b.Reader)
	_, err := catalog.GetService(ctx, reader, in.Service)
	switch {
	case b.watched(err, in.Service): // wherever it is measured, unless one place is named
		err = nil
	case err != nil:
	case in.Environment == "":
		in.Environment, err = b.last(ctx)
	default:
		_, err = catalog.GetEnvironment(ctx, reader, in.Environment)
	}
	if err != nil {
		return Report{}, err
	}
	out := Report{Items: []Ledger{}}
	for _, o := range b.Objectives(in.Service, in.Environment) {
		if in.Objective != "" && o.Name != in.Objective && o.Key() != in.Objective {
			continue
		}
		l, err := b.Ledger(ctx, o, b.moment(ctx))
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, l)
	}
	if in.Objective != "" && len(out.Items) == 0 {
		return out, problem.New(problem.NotFound, "budget.show", "%s has no objective %q in %s", in.Service, in.Objective, in.Environment).
			WithNext("flyball slo list --service %s shows its objectives; a composite is spent by its parts: flyball slo show KEY", in.Service)
	}
	return out, nil
}

// Ledger computes an objective's ledger at a moment, from the causes known to
// the reader of ctx and the counts until then.
func (b *Books) Ledger(ctx context.Context, o *slo.Objective, now time.Time) (Ledger, error) {
	reader := operation.Reader(ctx, b.Reader)
	adjustments, err := slo.AdjustmentsOf(ctx, reader, o.Key())
	if err != nil {
		return Ledger{}, err
	}
	from, _ := o.Window.Lookback(now)
	from = from.Add(-History)
	begin := from // a correction of so many begins to take at its beginning
	for _, a := range adjustments.Holding() {
		if a.To.After(from) && a.From.Before(begin) {
			begin = a.From.Truncate(time.Minute)
		}
	}
	raw, arms, err := b.Counts(ctx, o, begin, now)
	if err != nil {
		return Ledger{}, err
	}
	var adjusted *slo.Series
	if holding := adjustments.Holding(); len(holding) > 0 {
		adjusted = slo.Adjust(raw, holding)
	}
	own, err := records(ctx, reader, o.Service, o.Environment)
	if err != nil {
		return Ledger{}, err
	}
	dependencies := map[string][]Record{}
	service, err := catalog.GetService(ctx, reader, o.Service)
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return Ledger{}, err
	}
	for _, name := range service.DependsOn {
		if dependencies[name], err = records(ctx, reader, name, o.Environment); err != nil {
			return Ledger{}, err
		}
	}
	return Book(Entry{Objective: o, Raw: raw, Adjusted: adjusted, Arms: arms, Causes: causes(own, dependencies, from, now), Now: now})
}

func (b *Books) list(ctx context.Context, in ListInput) (operation.Page[Row], error) {
	var all []*slo.Objective
	for _, o := range b.Objectives(in.Service, in.Environment) {
		if strings.Contains(o.Key(), in.Search) && o.Key() > in.After {
			all = append(all, o)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Key() < all[j].Key() })
	limit := operation.Limit(in.Limit, 20, 100)
	out := operation.Page[Row]{Items: []Row{}}
	for i, o := range all {
		if i == limit {
			out.Next = all[i-1].Key()
			break
		}
		l, err := b.Ledger(ctx, o, b.moment(ctx))
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, Row{Objective: l.Objective, Bad: l.Adjusted.Bad / l.Scale, Allowed: l.Adjusted.Allowed,
			Remaining: l.Adjusted.Remaining, Spenders: l.Spenders(3)})
	}
	return out, nil
}

var linkName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)

// maxReach bounds how far back a link may begin, and how long it may last.
const maxReach = 400 * 24 * time.Hour

func (b *Books) link(ctx context.Context, caller operation.Caller, in LinkInput) (Linked, error) {
	now := b.Clock.Now()
	in.From = orTime(in.From, now).UTC()
	refuse := func(format string, args ...any) (Linked, error) {
		return Linked{}, problem.New(problem.Invalid, "budget.link", format, args...)
	}
	switch {
	case !linkName.MatchString(in.Name):
		return refuse("%q is no name: use lower-case letters, digits, dots and dashes, at most 100", in.Name)
	case !in.To.IsZero() && !in.To.After(in.From):
		return refuse("it ends (%s) before it begins (%s)", stamp(in.To), stamp(in.From))
	case in.From.Before(now.Add(-maxReach)), in.From.After(now.Add(maxReach)), in.To.After(now.Add(maxReach)):
		return refuse("from and to must lie within 400 days of now")
	case len(in.Reason) > 1000:
		return refuse("the reason is longer than 1,000 bytes")
	}
	service, err := catalog.GetService(ctx, b.Reader, in.Service)
	if err != nil {
		return Linked{}, err
	}
	if _, err := catalog.GetEnvironment(ctx, b.Reader, in.Environment); err != nil {
		return Linked{}, err
	}
	if !in.To.IsZero() {
		in.To = in.To.UTC()
	}
	d := Linked{Link: fmt.Sprintf("%s-%s-%s", in.Kind, in.Name, in.From.Format("20060102T150405")), Service: in.Service, Team: service.Team,
		Environment: in.Environment, Kind: in.Kind, Name: in.Name, From: in.From, To: in.To, Reason: in.Reason}
	d.Link = strings.Join([]string{in.Service, in.Environment, d.Link}, ".")
	return d, b.append(ctx, caller, d.Link, d.Service, d.Environment, EventLinked, d)
}

func (b *Books) linked(ctx context.Context, link string) (Record, error) {
	r, ok, err := projection.Get[Record](ctx, b.Reader, ProjectionName, "link/"+link)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "budget.unlink", "there is no link %q", link).
			WithNext("flyball event list --type budget.linked shows them")
	}
	return r, err
}

func (b *Books) unlink(ctx context.Context, caller operation.Caller, in UnlinkInput) (Record, error) {
	r, err := b.linked(ctx, in.Link)
	if err != nil {
		return r, err
	}
	d := Unlinked{Link: in.Link, Service: r.Service, Team: r.Team, Environment: r.Environment, Reason: in.Reason}
	if err := b.append(ctx, caller, in.Link, r.Service, r.Environment, EventUnlinked, d); err != nil {
		return r, err
	}
	return b.linked(ctx, in.Link)
}

func (b *Books) append(ctx context.Context, caller operation.Caller, link, service, environment, typ string, data any) error {
	id := operation.CallID(ctx)
	if id != "" {
		id += "#" + typ
	}
	_, err := b.Log.Append(ctx, event.Batch{Stream: "budget/" + Key(service, environment), Expect: event.AnyVersion, Drafts: []event.Draft{{
		ID: id, Type: typ, Subject: "budget/" + link, Time: b.Clock.Now(), Actor: caller.Name, Cause: operation.CallID(ctx), Data: data,
	}}})
	if err != nil {
		return err
	}
	return b.Sync(ctx)
}
