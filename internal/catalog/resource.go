package catalog

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// ServiceSpec says what a service is, how it is built and run, and what its
// users may expect of it.
type ServiceSpec struct {
	Team         string            `json:"team"`                   // owner; a Team resource
	Description  string            `json:"description,omitempty"`  // one line
	Repository   string            `json:"repository,omitempty"`   // path of the git repository; default "." (where the server runs)
	Branch       string            `json:"branch,omitempty"`       // watched branch; default main
	Build        string            `json:"build,omitempty"`        // shell command
	Test         string            `json:"test,omitempty"`         // shell command
	Files        []string          `json:"files,omitempty"`        // what the build leaves that is needed to run; globs
	Pipeline     string            `json:"pipeline,omitempty"`     // a Pipeline resource, instead of build and test
	Run          string            `json:"run"`                    // command; PORT is in its environment
	Env          map[string]string `json:"env,omitempty"`          // of the running service
	Instances    int               `json:"instances,omitempty"`    // default 1
	Ready        string            `json:"ready,omitempty"`        // path that answers 2xx when ready; default: a TCP connection
	Host         string            `json:"host,omitempty"`         // default NAME.localhost, and NAME.ENV.localhost except in the last environment on the way
	Path         string            `json:"path,omitempty"`         // path prefix; default /
	Timeout      time.Duration     `json:"timeout,omitempty"`      // of one request; default 30s
	Limit        time.Duration     `json:"limit,omitempty"`        // a request open longer is bad; default 5s
	Traffic      Rate              `json:"traffic,omitempty"`      // expected requests, such as 20/s
	Objectives   Objectives        `json:"objectives,omitempty"`   // shorthand for OpenSLO documents
	DependsOn    []string          `json:"dependsOn,omitempty"`    // other services
	Environments []string          `json:"environments,omitempty"` // default: all
	Rollout      *Rollout          `json:"rollout,omitempty"`      // overrides the environment's
	Runbook      string            `json:"runbook,omitempty"`      // address of the runbook
}

// Objectives is the two-line shorthand for a service's objectives.
type Objectives struct {
	Availability Percent       `json:"availability,omitempty"` // share of requests that do not fail, such as 99.9%
	SLA          Percent       `json:"sla,omitempty"`          // availability promised to customers; below availability, such as 99.5%
	Latency      Latency       `json:"latency,omitempty"`      // such as 99% < 300ms
	Window       time.Duration `json:"window,omitempty"`       // rolling; default 28d
}

// EnvironmentSpec says how releases reach an environment.
type EnvironmentSpec struct {
	Description string   `json:"description,omitempty"`
	Delivery    string   `json:"delivery,omitempty"`  // automatic (default) or approval
	Approvals   int      `json:"approvals,omitempty"` // people who must agree; default 1 with delivery: approval
	After       string   `json:"after,omitempty"`     // environment in which the artifact must have been promoted first
	Policy      string   `json:"policy,omitempty"`    // a BudgetPolicy; default: the built-in one
	Rollout     Rollout  `json:"rollout,omitempty"`
	Freezes     []Freeze `json:"freezes,omitempty"`
}

// Freeze is a time in which nothing but fixes is released.
type Freeze struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Reason string    `json:"reason"`
}

// FrozenAt is the freeze declared for an instant, if there is one.
func (e EnvironmentSpec) FrozenAt(now time.Time) (Freeze, bool) {
	for _, f := range e.Freezes {
		if !now.Before(f.From) && now.Before(f.To) {
			return f, true
		}
	}
	return Freeze{}, false
}

// Rollout says how a new revision takes over. See docs/rollout.md.
type Rollout struct {
	Steps         []Percent     `json:"steps,omitempty"`         // ceilings of the canary's share; default 1%, 5%, 25%, 50%
	StepDuration  time.Duration `json:"stepDuration,omitempty"`  // least time at a step; default 1m
	Deadline      time.Duration `json:"deadline,omitempty"`      // longest hold at a step; default 2h
	OnDeadline    string        `json:"onDeadline,omitempty"`    // ask (default), back or on
	FalseRollback Percent       `json:"falseRollback,omitempty"` // chance that a healthy change is ever taken back; default 1%
	BudgetShare   Percent       `json:"budgetShare,omitempty"`   // of the error budget left that one change may spend before it is stopped; default 2%
	Warmup        time.Duration `json:"warmup,omitempty"`        // after the canary's first request, in which only a majority of bad requests counts against it; default: stepDuration, at most 1m
	Tolerated     Percent       `json:"tolerated,omitempty"`     // relative worsening that is accepted; default 0%
}

// TeamSpec says who a team is and how it is reached.
type TeamSpec struct {
	Description string    `json:"description,omitempty"`
	Members     []string  `json:"members,omitempty"`    // user names, with what commits call them: ana <ana@example.org> <Ana Lovelace>
	Page        []Webhook `json:"page,omitempty"`       // called when a person is needed
	Escalation  string    `json:"escalation,omitempty"` // an EscalationPolicy, instead of page
	Updates     Updates   `json:"updates,omitempty"`    // how often those who wait hear of an incident
}

// Updates is how often those who wait hear of an incident, by its severity.
// Zero: only when somebody promises to.
type Updates struct {
	Sev1 time.Duration `json:"sev1,omitempty"`
	Sev2 time.Duration `json:"sev2,omitempty"`
	Sev3 time.Duration `json:"sev3,omitempty"`
}

// Of is the time between updates with a severity.
func (u Updates) Of(severity int) time.Duration {
	switch severity {
	case 1:
		return u.Sev1
	case 2:
		return u.Sev2
	case 3:
		return u.Sev3
	}
	return 0
}

// Webhook is an address that is called with a Standard Webhooks signature, or
// an address in a Channel.
type Webhook struct {
	URL       string `json:"url,omitempty"`
	SecretEnv string `json:"secretEnv,omitempty"` // environment variable of the server that holds the signing secret
	Channel   string `json:"channel,omitempty"`   // instead of url: a Channel
	To        string `json:"to,omitempty"`        // address in the channel, such as #incidents
}

// The kinds.
const (
	KindService     = "Service"
	KindTeam        = "Team"
	KindEnvironment = "Environment"
)

// Kinds declares the catalog's kinds.
func Kinds() []*resource.Kind {
	return []*resource.Kind{
		resource.Define(KindService, resource.Options[ServiceSpec]{
			Summary: "something that serves users, with its owner, its build and its objectives", Defaults: serviceDefaults, Validate: validateService,
		}),
		resource.Define(KindEnvironment, resource.Options[EnvironmentSpec]{
			Summary: "a place releases go to, with the way they get there", Defaults: environmentDefaults, Validate: validateEnvironment,
		}),
		resource.Define(KindTeam, resource.Options[TeamSpec]{
			Summary: "people who own services and are paged for them", Validate: validateTeam,
		}),
	}
}

func serviceDefaults(meta resource.Metadata, s *ServiceSpec) {
	s.Repository = or(s.Repository, ".")
	s.Branch = or(s.Branch, "main")
	s.Host = or(s.Host, meta.Name+".localhost")
	s.Path = or(s.Path, "/")
	s.Instances = or(s.Instances, 1)
	s.Timeout = or(s.Timeout, 30*time.Second)
	s.Limit = or(s.Limit, min(5*time.Second, s.Timeout))
	s.Objectives.Window = or(s.Objectives.Window, 28*24*time.Hour)
}

func environmentDefaults(_ resource.Metadata, e *EnvironmentSpec) {
	e.Delivery = or(e.Delivery, "automatic")
	if e.Delivery == "approval" {
		e.Approvals = or(e.Approvals, 1)
	}
	e.Rollout = e.Rollout.WithDefaults()
}

// WithDefaults fills in what was left out.
func (r Rollout) WithDefaults() Rollout {
	if len(r.Steps) == 0 {
		r.Steps = []Percent{1, 5, 25, 50}
	}
	r.StepDuration = or(r.StepDuration, time.Minute)
	r.Deadline = or(r.Deadline, 2*time.Hour)
	r.OnDeadline = or(r.OnDeadline, "ask")
	r.FalseRollback = or(r.FalseRollback, 1)
	r.BudgetShare = or(r.BudgetShare, 2)
	return r
}

// Over is r with what it leaves out taken from base.
func (r *Rollout) Over(base Rollout) Rollout {
	if r == nil {
		return base
	}
	out := base
	if len(r.Steps) > 0 {
		out.Steps = r.Steps
	}
	out.StepDuration = or(r.StepDuration, base.StepDuration)
	out.Deadline = or(r.Deadline, base.Deadline)
	out.OnDeadline = or(r.OnDeadline, base.OnDeadline)
	out.FalseRollback = or(r.FalseRollback, base.FalseRollback)
	out.BudgetShare = or(r.BudgetShare, base.BudgetShare)
	out.Warmup = or(r.Warmup, base.Warmup)
	out.Tolerated = or(r.Tolerated, base.Tolerated)
	return out
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func validateService(c *resource.Checker, s *ServiceSpec) {
	if s.Team == "" {
		c.Errorf("team", "required", "a service has an owner: name a Team")
	}
	c.Refers("team", KindTeam, s.Team)
	if s.Run == "" {
		c.Errorf("run", "required", "the command that serves is required; it finds its port in $PORT")
	}
	if s.Pipeline != "" && (s.Build != "" || s.Test != "") {
		c.Errorf("pipeline", "exclusive", "give either a pipeline or build and test, not both")
	}
	if s.Pipeline == "" && s.Build != "" && len(s.Files) == 0 {
		c.Errorf("files", "required", "name the files the build leaves that are needed to run, such as [bin/%s]", c.Object.Metadata.Name)
	}
	c.Refers("pipeline", "Pipeline", s.Pipeline)
	for i, d := range s.DependsOn {
		c.Refers(fmt.Sprintf("dependsOn[%d]", i), KindService, d)
		if d == c.Object.Metadata.Name {
			c.Errorf(fmt.Sprintf("dependsOn[%d]", i), "self-reference", "a service cannot depend on itself")
		}
	}
	for i, e := range s.Environments {
		c.Refers(fmt.Sprintf("environments[%d]", i), KindEnvironment, e)
	}
	ambiguous(c)
	if s.Instances < 0 || s.Instances > 256 {
		c.Errorf("instances", "range", "instances is %d; it must be between 1 and 256", s.Instances)
	}
	if !strings.HasPrefix(s.Path, "/") {
		c.Errorf("path", "format", "a path begins with /")
	}
	if s.Ready != "" && !strings.HasPrefix(s.Ready, "/") {
		c.Errorf("ready", "format", "a readiness path begins with /")
	}
	if s.Limit > s.Timeout || s.Limit < 0 || s.Timeout < 0 {
		c.Errorf("limit", "range", "limit (%s) is the time after which an open request is bad; it must be between 0 and timeout (%s)", s.Limit, s.Timeout)
	}
	if a := s.Objectives.Availability; a != 0 && (a <= 0 || a >= 100) {
		c.Errorf("objectives.availability", "range", "%s leaves no budget or is no objective; use a share between 0%% and 100%%, such as 99.9%%", a)
	}
	if a := s.Objectives.SLA; a != 0 && (a <= 0 || a >= s.Objectives.Availability) {
		c.Errorf("objectives.sla", "range", "an SLA of %s is not looser than the objective, availability: %s; the objective has to be spent first", a, s.Objectives.Availability)
	}
	if t := s.Objectives.Latency.Threshold; t > s.Limit {
		c.Errorf("objectives.latency", "range", "the threshold %s is longer than the limit %s after which an open request is bad anyway", t, s.Limit)
	}
	if s.Rollout != nil {
		validateRollout(c, "rollout.", s.Rollout)
	}
}

// ambiguous refuses a service that makes the name of a place, SERVICE.ENVIRONMENT,
// that another service has too: both would be one in the log.
func ambiguous(c *resource.Checker) {
	for _, e := range c.Set.All() {
		for i := range e.Metadata.Name {
			if e.Kind != KindEnvironment || e.Metadata.Name[i] != '.' {
				continue
			}
			service, environment := c.Object.Metadata.Name+"."+e.Metadata.Name[:i], e.Metadata.Name[i+1:]
			if c.Set.Find(KindService, service) != nil && c.Set.Find(KindEnvironment, environment) != nil {
				c.Errorf("metadata.name", "ambiguous-name", "%s in %s and %s in %s have one name, %s.%s: call a service or an environment something without that dot",
					c.Object.Metadata.Name, e.Metadata.Name, service, environment, service, environment)
			}
		}
	}
}

func validateEnvironment(c *resource.Checker, e *EnvironmentSpec) {
	if e.Delivery != "automatic" && e.Delivery != "approval" {
		c.Errorf("delivery", "enum", "delivery is %q; it must be automatic or approval", e.Delivery)
	}
	c.Refers("after", KindEnvironment, e.After)
	if e.After == c.Object.Metadata.Name {
		c.Errorf("after", "self-reference", "an environment cannot come after itself")
	}
	c.Refers("policy", "BudgetPolicy", e.Policy)
	if e.Approvals < 0 || e.Approvals > 10 {
		c.Errorf("approvals", "range", "approvals is %d; it must be between 0 and 10", e.Approvals)
	}
	for i, f := range e.Freezes {
		if !f.To.After(f.From) {
			c.Errorf(fmt.Sprintf("freezes[%d]", i), "range", "a freeze ends after it begins: from %s to %s", f.From, f.To)
		}
	}
	validateRollout(c, "rollout.", &e.Rollout)
}

func validateRollout(c *resource.Checker, at string, r *Rollout) {
	last := Percent(0)
	for i, s := range r.Steps {
		if s <= last || s > 100 {
			c.Errorf(fmt.Sprintf("%ssteps[%d]", at, i), "range", "%s does not rise from %s; steps are shares that rise, up to 100%%", s, last)
		}
		last = s
	}
	if len(r.Steps) > 20 {
		c.Errorf(at+"steps", "range", "%d steps; at most 20", len(r.Steps))
	}
	switch r.OnDeadline {
	case "", "ask", "back", "on":
	default:
		c.Errorf(at+"onDeadline", "enum", "onDeadline is %q; it must be ask, back or on", r.OnDeadline)
	}
	if f := r.FalseRollback; f < 0 || f > 50 {
		c.Errorf(at+"falseRollback", "range", "falseRollback is %s; it must be between 0%% and 50%%", f)
	}
	if b := r.BudgetShare; b < 0 || b > 100 {
		c.Errorf(at+"budgetShare", "range", "budgetShare is %s; it must be between 0%% and 100%%", b)
	}
	if r.StepDuration < 0 || r.Deadline < 0 || r.Warmup < 0 {
		c.Errorf(at+"stepDuration", "range", "a duration cannot be negative")
	}
}

func validateTeam(c *resource.Checker, t *TeamSpec) {
	for i, s := range t.Members {
		if m := ParseMember(s); m.Name == "" || strings.Count(s, "<") != strings.Count(s, ">") {
			c.Errorf(fmt.Sprintf("members[%d]", i), "format", "%q is no member; write a user name, and how commits call them: ana <ana@example.org> <Ana Lovelace>", s)
		}
	}
	c.Refers("escalation", "EscalationPolicy", t.Escalation)
	for severity := 1; severity <= 3; severity++ {
		if d := t.Updates.Of(severity); d != 0 && (d < 5*time.Minute || d > 7*24*time.Hour) {
			c.Errorf(fmt.Sprintf("updates.sev%d", severity), "range", "updates every %s; it must be between 5m and 168h", d)
		}
	}
	for i, w := range t.Page {
		at := fmt.Sprintf("page[%d]", i)
		switch {
		case w.Channel != "" && w.URL != "":
			c.Errorf(at, "exclusive", "write the url of a webhook or a channel, not both")
		case w.Channel != "":
			c.Refers(at+".channel", "Channel", w.Channel)
		case !strings.HasPrefix(w.URL, "http://") && !strings.HasPrefix(w.URL, "https://"):
			c.Errorf(at+".url", "format", "%q is not an http or https address", w.URL)
		}
	}
}

// Percent is a share written 99.9% or 99.9.
type Percent float64

// String writes the share with its sign, such as 99.9%.
func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%" }

// Ratio is the share as a number between 0 and 1.
func (p Percent) Ratio() float64 { return float64(p) / 100 }

// BasisPoints is the share in hundredths of a percent.
func (p Percent) BasisPoints() int { return int(math.Round(float64(p) * 100)) }

// MarshalText writes the share with its sign.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads 99.9% or 99.9.
func (p *Percent) UnmarshalText(b []byte) error {
	v, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(string(b), "%")), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%q is not a share; write it as 99.9%%", b)
	}
	*p = Percent(v)
	return nil
}

// Rate is a frequency written 20/s, 600/min or 1000/h.
type Rate float64

// PerSecond is the rate in events per second.
func (r Rate) PerSecond() float64 { return float64(r) }

// MarshalText writes the rate per second.
func (r Rate) MarshalText() ([]byte, error) {
	return []byte(strconv.FormatFloat(float64(r), 'g', -1, 64) + "/s"), nil
}

// UnmarshalText reads 20/s, 600/min or 1000/h.
func (r *Rate) UnmarshalText(b []byte) error {
	n, unit, _ := strings.Cut(string(b), "/")
	v, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
	per, ok := map[string]float64{"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}[strings.TrimSpace(unit)]
	if err != nil || !ok || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return fmt.Errorf("%q is not a rate; write it as 20/s, 600/min or 1000/h", b)
	}
	*r = Rate(v / per)
	return nil
}

// Latency is a latency objective written 99% < 300ms.
type Latency struct {
	Share     Percent
	Threshold time.Duration
}

// IsZero reports whether no objective was given.
func (l Latency) IsZero() bool { return l == Latency{} }

// MarshalText writes the objective as it is read.
func (l Latency) MarshalText() ([]byte, error) {
	if l.IsZero() {
		return nil, nil
	}
	return []byte(l.Share.String() + " < " + l.Threshold.String()), nil
}

// UnmarshalText reads 99% < 300ms.
func (l *Latency) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	share, threshold, ok := strings.Cut(string(b), "<")
	d, err := time.ParseDuration(strings.TrimSpace(threshold))
	if !ok || err != nil || d <= 0 {
		return fmt.Errorf("%q is not a latency objective; write it as 99%% < 300ms", b)
	}
	if err := l.Share.UnmarshalText([]byte(strings.TrimSpace(share))); err != nil {
		return err
	}
	if l.Share <= 0 || l.Share >= 100 {
		return fmt.Errorf("%s leaves no budget or is no objective; use a share between 0%% and 100%%", l.Share)
	}
	l.Threshold = d
	return nil
}
