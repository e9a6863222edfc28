package alert

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// ListInput bounds a list of alerts.
type ListInput struct {
	Service  string `json:"service" doc:"of this service only"`
	State    string `json:"state" enum:"open,resolved" doc:"open (firing or acknowledged) or resolved; empty is all"`
	Findings bool   `json:"findings" doc:"only those that fire and lack a runbook or an owner"`
	After    string `json:"after" doc:"cursor from the page before"`
	Limit    int    `json:"limit" doc:"at most this many, 1 to 1000 (default 100)"`
}

// ShowInput names an alert.
type ShowInput struct {
	Alert string `json:"alert" arg:"1" doc:"identifier of the alert, as the list shows it"`
}

// CreateInput declares a sender.
type CreateInput struct {
	Integration string `json:"integration" arg:"1" doc:"name of the sender: lower case letters, digits and hyphens"`
	Team        string `json:"team" doc:"who is responsible for alerts that name no known service"`
	Service     string `json:"service" doc:"what alerts belong to that name no known service"`
	Environment string `json:"environment" doc:"where, for alerts that do not say (default: the last environment on the way)"`
	Mapping     string `json:"mapping" doc:"AlertMapping by which what is posted to /ingest/KEY/alert is read (default: the plain form)"`
	SecretEnv   string `json:"secret_env" doc:"environment variable of the server with the secret that signs what it sends (Sentry, PagerDuty); what is not signed is refused then"`
	Heartbeat   string `json:"heartbeat" doc:"make it a heartbeat: page when nothing came for so long, such as 15m"`
}

// CreatedIntegration is a new sender with its key.
type CreatedIntegration struct {
	Integration
	Key string `json:"key" secret:"true" doc:"shown this once"`
}

// Tell is the key and where it goes.
func (c CreatedIntegration) Tell() string {
	if c.Heartbeat > 0 {
		return fmt.Sprintf("%s\nshown this once; have the job call /ingest/%s/heartbeat at least every %s", c.Key, c.Key, time.Duration(c.Heartbeat)*time.Second)
	}
	return fmt.Sprintf("%s\nshown this once. It is the routing_key of PagerDuty senders, the GenieKey of Opsgenie senders, the bearer token of a Prometheus"+
		" (alerting: … authorization), and part of webhook addresses: /ingest/%s/alertmanager, /grafana, /datadog, /sentry, /alert", c.Key, c.Key)
}

// RevokeInput names a sender.
type RevokeInput struct {
	Integration string `json:"integration" arg:"1" doc:"name of the sender"`
	Reason      string `json:"reason" required:"true" doc:"why, for the record"`
}

// SilenceInput says what to hold back.
type SilenceInput struct {
	Matcher  []string `json:"matcher" required:"true" doc:"condition on a label, such as service=checkout or severity=~\"warn.*\"; all must hold"`
	Duration string   `json:"duration" doc:"for how long, such as 2h (default 1h)"`
	Starts   string   `json:"starts" doc:"from when, RFC 3339 (default now)"`
	Comment  string   `json:"comment" required:"true" doc:"why, for those who wonder"`
}

// PreviewInput is what a silence would match.
type PreviewInput struct {
	Matcher []string `json:"matcher" required:"true" doc:"condition on a label, such as service=checkout; all must hold"`
	After   string   `json:"after" doc:"cursor from the page before"`
	Limit   int      `json:"limit" doc:"at most this many, 1 to 1000 (default 100)"`
}

// ExpireInput names a silence.
type ExpireInput struct {
	Silence string `json:"silence" arg:"1" doc:"identifier of the silence"`
}

// PageInput bounds a list.
type PageInput struct {
	After string `json:"after" doc:"cursor from the page before"`
	Limit int    `json:"limit" doc:"at most this many, 1 to 1000 (default 100)"`
}

// Alerts is a page of alerts.
type Alerts operation.Page[Alert]

// Header names the columns.
func (Alerts) Header() []string {
	return []string{"ALERT", "STATE", "URGENCY", "SERVICE", "ENV", "SINCE", "WHAT", "ID"}
}

// Rows are the lines.
func (a Alerts) Rows() [][]string {
	var out [][]string
	for _, x := range a.Items {
		state := x.State
		if len(x.Suppressed) > 0 && x.State != StateResolved {
			state += ", " + heldBack(x.Suppressed)
		}
		if len(x.Missing) > 0 && x.State != StateResolved {
			state += ", no " + strings.Join(x.Missing, ", no ")
		}
		if x.Flapping(latestOf(x.Changes)) {
			state += ", flapping"
		}
		out = append(out, []string{x.Name(), state, first(x.Urgency, x.Severity), x.Service, x.Environment,
			x.FiredAt.Local().Format("Jan 2 15:04:05"), clip(x.Explanation, 80), x.Alert})
	}
	return out
}

// heldBack says what holds an alert back.
func heldBack(by []string) string {
	if by[0] == snoozed {
		return "snoozed"
	}
	for _, s := range by {
		if !strings.HasPrefix(s, windowPrefix) {
			return "silenced"
		}
	}
	return "in maintenance"
}

func latestOf(times []time.Time) time.Time {
	if len(times) == 0 {
		return time.Time{}
	}
	return times[len(times)-1]
}

// Operations are what users can do with alerts, senders and silences.
func (i *Intake) Operations() []operation.Operation {
	return slices.Concat(i.reading(), i.answering(), i.routeOperations(), i.integrating(), i.silencing())
}

func (i *Intake) reading() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ListInput, Alerts]{
			Noun: "alert", Verb: "list", Summary: "List alerts, newest first, of objectives and of senders", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ListInput) (Alerts, error) {
				f := projection.Filter{Index: "all", Value: "yes", After: in.After, Limit: operation.Limit(in.Limit, 100, 1000), Newest: true}
				if in.State != "" {
					f.Index, f.Value = "state", in.State
				}
				if in.Service != "" {
					f.Index, f.Value = "service", in.Service
				}
				if in.Findings {
					f.Index, f.Value = "finding", "yes"
				}
				items, next, err := projection.List[Alert](ctx, operation.Reader(ctx, i.Reader), ProjectionName, f)
				if in.Findings && in.Service != "" {
					items = slices.DeleteFunc(items, func(a Alert) bool { return a.Service != in.Service })
				}
				if in.Service != "" && in.State != "" {
					items = slices.DeleteFunc(items, func(a Alert) bool { return (a.State == StateResolved) != (in.State == StateResolved) })
				}
				if err == nil {
					err = standing(ctx, operation.Reader(ctx, i.Reader), items, i.now(ctx))
				}
				return Alerts{Items: items, Next: next}, err
			},
		}),
		operation.Define(operation.Spec[ShowInput, Alert]{
			Noun: "alert", Verb: "show", Summary: "Show one alert", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ShowInput) (Alert, error) {
				a, err := i.get(ctx, operation.Reader(ctx, i.Reader), in.Alert)
				if err != nil {
					return a, err
				}
				one := []Alert{a}
				err = standing(ctx, operation.Reader(ctx, i.Reader), one, i.now(ctx))
				return one[0], err
			},
		}),
	}
}

// now is the moment that is asked about.
func (i *Intake) now(ctx context.Context) time.Time {
	if at, ok := operation.At(ctx); ok {
		return at
	}
	return i.Clock.Now()
}

func (i *Intake) integrating() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[CreateInput, CreatedIntegration]{
			Noun: "integration", Verb: "create", Summary: "Let a sender report alerts; its key is shown once", Role: operation.Operator, Write: true,
			Help: "  flyball integration create prometheus --team payments\n  flyball integration create nightly-backup --heartbeat 25h --team platform",
			Scope: func(_ context.Context, in CreateInput) (operation.Scope, error) {
				return operation.Scope{Team: in.Team}, nil
			},
			Handle: i.create,
		}),
		operation.Define(operation.Spec[PageInput, operation.Page[Integration]]{
			Noun: "integration", Verb: "list", Summary: "List senders of alerts, without their keys", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in PageInput) (operation.Page[Integration], error) {
				items, next, err := projection.List[Integration](ctx, operation.Reader(ctx, i.Reader), integrationName,
					projection.Filter{Index: "all", Value: "yes", After: in.After, Limit: operation.Limit(in.Limit, 100, 1000)})
				for n := range items {
					items[n].Hash = ""
				}
				return operation.Page[Integration]{Items: items, Next: next}, err
			},
		}),
		operation.Define(operation.Spec[RevokeInput, Integration]{
			Noun: "integration", Verb: "revoke", Summary: "Revoke a sender's key at once", Role: operation.Operator, Write: true,
			Scope: func(ctx context.Context, in RevokeInput) (operation.Scope, error) {
				known, err := i.integration(ctx, in.Integration)
				return operation.Scope{Team: known.Team}, err
			},
			Handle: i.revoke,
		}),
	}
}

func (i *Intake) integration(ctx context.Context, name string) (Integration, error) {
	in, ok, err := projection.Get[Integration](ctx, i.Reader, integrationName, name)
	if err == nil && (!ok || !in.Revoked.IsZero()) {
		err = problem.New(problem.NotFound, "integration.show", "there is no integration %q", clip(name, 100)).WithNext("flyball integration list shows the senders")
	}
	return in, err
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

func (i *Intake) create(ctx context.Context, c operation.Caller, in CreateInput) (CreatedIntegration, error) {
	fail := func(format string, args ...any) (CreatedIntegration, error) {
		return CreatedIntegration{}, problem.New(problem.Invalid, "integration.create", format, args...)
	}
	if !plainName(in.Integration) || in.Integration == Local {
		return fail("%q cannot name an integration: use lower case letters, digits and hyphens, and not %q", clip(in.Integration, 80), Local)
	}
	if in.Environment != "" && !plainName(in.Environment) {
		return fail("%q is not the name of an environment", clip(in.Environment, 80))
	}
	out := CreatedIntegration{Key: newKey(), Integration: Integration{Name: in.Integration, Team: in.Team, Service: in.Service, Environment: in.Environment,
		Mapping: in.Mapping, SecretEnv: in.SecretEnv}}
	if in.Mapping != "" {
		if err := mappingExists(ctx, i.Reader, in.Mapping); err != nil {
			return CreatedIntegration{}, err
		}
	}
	if in.SecretEnv != "" && !envName.MatchString(in.SecretEnv) {
		return fail("%q is not the name of an environment variable", clip(in.SecretEnv, 80))
	}
	out.Confined = !c.May(operation.Operator, operation.Scope{})
	if s, err := catalog.GetService(ctx, i.Reader, in.Service); err == nil && !out.speaksFor(s) {
		return CreatedIntegration{}, problem.New(problem.Denied, "integration.create", "the service %s is not of the team %s", s.Name, in.Team)
	} else if problem.KindOf(err) != problem.NotFound && err != nil {
		return out, err
	}
	if in.Heartbeat != "" {
		every, err := time.ParseDuration(in.Heartbeat)
		if err != nil || every < 10*time.Second || every > 366*24*time.Hour {
			return fail("heartbeat %q is not a duration from 10s to 8784h, such as 15m", clip(in.Heartbeat, 40))
		}
		out.Heartbeat = int64(every / time.Second)
	}
	out.KeyID, out.Hash = out.Key[:keyPublic], hashed(out.Key)
	version, err := i.Log.Version(ctx, "integration/"+in.Integration)
	if err != nil {
		return out, err
	}
	if _, err := i.integration(ctx, in.Integration); problem.KindOf(err) != problem.NotFound {
		if err == nil {
			err = problem.New(problem.Conflict, "integration.create", "there is an integration %q already", in.Integration).
				WithNext("revoke it first, or choose another name")
		}
		return CreatedIntegration{}, err
	}
	err = i.append1(ctx, version, "integration/"+in.Integration, EventIntegrationCreated, c.Name, out.Integration)
	out.Hash = ""
	return out, err
}

func (i *Intake) append1(ctx context.Context, version int64, stream, typ, actor string, data any) error {
	_, err := i.Log.Append(ctx, event.Batch{Stream: stream, Expect: version, Drafts: []event.Draft{{Type: typ, Actor: actor, Data: data}}})
	if err != nil {
		return err
	}
	return i.Sync(ctx)
}

func (i *Intake) revoke(ctx context.Context, c operation.Caller, in RevokeInput) (Integration, error) {
	known, err := i.integration(ctx, in.Integration)
	if err != nil {
		return Integration{}, err
	}
	known.Hash = ""
	return known, i.append1(ctx, event.AnyVersion, "integration/"+in.Integration, EventIntegrationRevoked, c.Name, known)
}

func (i *Intake) silencing() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[SilenceInput, Silence]{
			Noun: "silence", Verb: "create", Summary: "Hold alerts back from people for a time", Role: operation.Operator, Write: true,
			Help: "  flyball silence create --matcher service=checkout --matcher 'alertname=~\"Disk.*\"' --duration 2h --comment 'moving disks'",
			Handle: func(ctx context.Context, c operation.Caller, in SilenceInput) (Silence, error) {
				s, err := i.silenceOf(in)
				if err != nil {
					return s, err
				}
				s.CreatedBy = c.Name
				return i.Silence(ctx, c.Name, s)
			},
		}),
		operation.Define(operation.Spec[PageInput, operation.Page[Silence]]{
			Noun: "silence", Verb: "list", Summary: "List silences, those that end last first", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in PageInput) (operation.Page[Silence], error) {
				items, next, err := projection.List[Silence](ctx, operation.Reader(ctx, i.Reader), silenceName,
					projection.Filter{Index: "all", Value: "yes", After: in.After, Limit: operation.Limit(in.Limit, 100, 1000), Newest: true})
				return operation.Page[Silence]{Items: items, Next: next}, err
			},
		}),
		operation.Define(operation.Spec[PreviewInput, operation.Page[Fired]]{
			Noun: "silence", Verb: "preview", Summary: "Show which firing alerts a silence would hold back", Role: operation.Viewer,
			Handle: func(_ context.Context, _ operation.Caller, in PreviewInput) (operation.Page[Fired], error) {
				matchers, err := parseMatchers(in.Matcher)
				if err != nil {
					return operation.Page[Fired]{}, err
				}
				found, err := i.Matching(matchers)
				var out operation.Page[Fired]
				for _, f := range found {
					if f.Alert <= in.After {
						continue
					}
					if len(out.Items) == operation.Limit(in.Limit, 100, 1000) {
						out.Next = out.Items[len(out.Items)-1].Alert
						break
					}
					out.Items = append(out.Items, f.Fired)
				}
				return out, err
			},
		}),
		operation.Define(operation.Spec[ExpireInput, Silence]{
			Noun: "silence", Verb: "expire", Summary: "End a silence now", Role: operation.Operator, Write: true,
			Handle: func(ctx context.Context, c operation.Caller, in ExpireInput) (Silence, error) {
				return i.Expire(ctx, c.Name, in.Silence)
			},
		}),
	}
}

func parseMatchers(texts []string) ([]Matcher, error) {
	var out []Matcher
	for _, text := range texts {
		m, err := ParseMatcher(text)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func (i *Intake) silenceOf(in SilenceInput) (s Silence, err error) {
	if s.Matchers, err = parseMatchers(in.Matcher); err != nil {
		return s, err
	}
	s.StartsAt, s.Comment = i.Clock.Now().UTC(), in.Comment
	if in.Starts != "" {
		if s.StartsAt, err = time.Parse(time.RFC3339, in.Starts); err != nil {
			return s, problem.New(problem.Invalid, "silence.create", "starts %q is not an RFC 3339 time such as 2026-11-21T14:00:00Z", clip(in.Starts, 40))
		}
	}
	length := time.Hour
	if in.Duration != "" {
		if length, err = time.ParseDuration(in.Duration); err != nil || length <= 0 {
			return s, problem.New(problem.Invalid, "silence.create", "duration %q is not a duration such as 2h", clip(in.Duration, 40))
		}
	}
	s.EndsAt = s.StartsAt.Add(length)
	return s, nil
}

const maxSilences = 10_000

// Silence records a silence. One with an ID replaces the silence of that name:
// as with Alertmanager, what was changed beyond its end is a silence of its own.
func (i *Intake) Silence(ctx context.Context, actor string, s Silence) (Silence, error) {
	now := i.Clock.Now().UTC()
	compiled, err := compile(s.Matchers)
	if err != nil {
		return s, err
	}
	s.StartsAt = latest(s.StartsAt.UTC(), now)
	switch {
	case !s.EndsAt.After(s.StartsAt):
		return s, problem.New(problem.Invalid, "silence.create", "it ends at %s, which is not after it starts", s.EndsAt.UTC().Format(time.RFC3339))
	case s.Comment == "" || len(s.Comment) > maxText:
		return s, problem.New(problem.Invalid, "silence.create", "a silence has a comment of at most %d bytes", maxText)
	}
	s.EndsAt = s.EndsAt.UTC()
	if s.ID != "" {
		if _, err := i.Expire(ctx, actor, s.ID); err != nil {
			return s, err
		}
	}
	s.ID = newSilenceID()
	i.mu.Lock()
	full := len(i.silenced) >= maxSilences
	i.mu.Unlock()
	if full {
		return s, problem.New(problem.Conflict, "silence.create", "there are %d silences", maxSilences).WithNext("expire some first")
	}
	if err := i.append1(ctx, 0, "silence/"+s.ID, EventSilenceCreated, actor, s); err != nil {
		return s, err
	}
	i.mu.Lock()
	ready := s
	ready.Matchers = compiled
	i.silenced[s.ID] = ready
	i.mu.Unlock()
	return s, nil
}

// newSilenceID is random, in the form of a UUID, which some clients insist on.
func newSilenceID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return strings.ToLower(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
}

// Expire ends a silence now. One that is over is left as it is.
func (i *Intake) Expire(ctx context.Context, actor, id string) (Silence, error) {
	s, ok, err := projection.Get[Silence](ctx, i.Reader, silenceName, id)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "silence.expire", "there is no silence %q", clip(id, 60)).WithNext("flyball silence list shows the silences")
	}
	now := i.Clock.Now().UTC()
	if err != nil || s.State(now) == "expired" {
		return s, err
	}
	s.EndsAt = now
	if err := i.append1(ctx, event.AnyVersion, "silence/"+id, EventSilenceExpired, actor, s); err != nil {
		return s, err
	}
	i.mu.Lock()
	delete(i.silenced, id)
	i.mu.Unlock()
	return s, nil
}

// Silences lists every silence, those that end last first, at most 10,000.
func (i *Intake) Silences(ctx context.Context) ([]Silence, error) {
	var out []Silence
	f := projection.Filter{Index: "all", Value: "yes", Limit: projection.MaxPage, Newest: true}
	for {
		items, next, err := projection.List[Silence](ctx, i.Reader, silenceName, f)
		out = append(out, items...)
		if err != nil || next == "" || len(out) >= maxSilences {
			return out, err
		}
		f.After = next
	}
}
