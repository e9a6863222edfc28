package status

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// PageSpec is a status page as declared. Everything in it but team, service,
// environment, objectives and publish is shown to everybody.
type PageSpec struct {
	Title       string        `json:"title"`                 // required
	Description string        `json:"description,omitempty"` // a sentence or two below the title
	Team        string        `json:"team,omitempty"`        // whose developers may post to it; default: only who may everywhere
	URL         string        `json:"url,omitempty"`         // where users find it, such as https://status.example.org; for links in feeds and messages
	TimeZone    oncall.Zone   `json:"timeZone,omitempty"`    // of days and times shown; default UTC
	Support     string        `json:"support,omitempty"`     // where users get help: an address beginning with https:// or mailto:
	Components  []Component   `json:"components"`            // at least one
	Automatic   bool          `json:"automatic,omitempty"`   // what the objectives say goes out in neutral words, without a person
	Settle      time.Duration `json:"settle,omitempty"`      // how long a worse state lasts before it is drafted; default 2m
	Recovery    time.Duration `json:"recovery,omitempty"`    // how long a better state lasts before it is drafted; default 10m
	States      Thresholds    `json:"states,omitempty"`      // which state follows from what is measured
	Subscribe   *Subscribe    `json:"subscribe,omitempty"`   // how users may have updates sent to them; default: not at all, feeds remain
	Publish     []Target      `json:"publish,omitempty"`     // where the page is written to whenever it changes
}

// Component is one thing that users know by name.
type Component struct {
	Name        string   `json:"name"`                  // in addresses: lower case letters, digits and hyphens
	Title       string   `json:"title,omitempty"`       // as users know it; default: the name
	Description string   `json:"description,omitempty"` // one line
	Group       string   `json:"group,omitempty"`       // heading it stands under
	Service     string   `json:"service,omitempty"`     // whose objectives it is judged by; without one, only people set its state
	Environment string   `json:"environment,omitempty"` // default: the only one, or the last on the way
	Objectives  []string `json:"objectives,omitempty"`  // names; default: all of service and environment
	Uptime      string   `json:"uptime,omitempty"`      // the objective whose events the bars count; default: the first that is no latency
}

// Thresholds say which state follows from what an objective's events were over
// the last minutes. What is slow is never more than degraded.
type Thresholds struct {
	Alert    string          `json:"alert,omitempty"`         // least severity of a firing alert that makes it degraded: page (default), ticket or none
	Degraded catalog.Percent `json:"degraded,omitempty"`      // share of bad events from which it is degraded; default: alerts alone say so
	Partial  catalog.Percent `json:"partialOutage,omitempty"` // default 10%
	Major    catalog.Percent `json:"majorOutage,omitempty"`   // default 50%
	Over     time.Duration   `json:"over,omitempty"`          // 5m (default), 30m or 1h
	Events   int64           `json:"events,omitempty"`        // fewer in that time are no evidence; default 20
}

// Target is a place the page's files are written to: one of its fields.
type Target struct {
	Directory string `json:"directory,omitempty"` // absolute, on the server's machine; replaced as a whole
	Git       string `json:"git,omitempty"`       // a repository: a path, or an address that git can push to
	Branch    string `json:"branch,omitempty"`    // of git; default gh-pages
	Put       string `json:"put,omitempty"`       // address below which each file is written by HTTP PUT: WebDAV, or an object store
	TokenEnv  string `json:"tokenEnv,omitempty"`  // of put, or of git over https: environment variable of the server that holds a token
	S3        *S3    `json:"s3,omitempty"`        // of put: signed as Amazon's S3 and those compatible with it expect
}

// S3 says how requests to an object store are signed (AWS Signature Version 4).
type S3 struct {
	Region       string `json:"region,omitempty"`       // default us-east-1
	AccessKeyEnv string `json:"accessKeyEnv,omitempty"` // environment variable of the server; default AWS_ACCESS_KEY_ID
	SecretKeyEnv string `json:"secretKeyEnv,omitempty"` // default AWS_SECRET_ACCESS_KEY
}

// Subscribe says how users may have updates sent to them.
type Subscribe struct {
	Email   string `json:"email,omitempty"`   // a Channel that sends mail; without one nobody can subscribe by mail
	Webhook bool   `json:"webhook,omitempty"` // addresses of programs; only public ones are called
	Server  string `json:"server"`            // where users reach this server for it, such as https://flyball.example.org
}

// KindPage is the kind.
const KindPage = "StatusPage"

// Kinds declares the kinds of this room.
func Kinds() []*resource.Kind {
	return []*resource.Kind{resource.Define(KindPage, resource.Options[PageSpec]{
		Summary:  "what users are told: components, which state follows from what is measured, where the page is written to",
		Defaults: func(_ resource.Metadata, s *PageSpec) { s.defaults() }, Validate: validate,
	})}
}

func (s *PageSpec) defaults() {
	s.TimeZone = cmp.Or(s.TimeZone, "UTC")
	s.Settle, s.Recovery = cmp.Or(s.Settle, 2*time.Minute), cmp.Or(s.Recovery, 10*time.Minute)
	t := &s.States
	t.Alert, t.Over, t.Events = cmp.Or(t.Alert, "page"), cmp.Or(t.Over, 5*time.Minute), cmp.Or(t.Events, 20)
	t.Partial, t.Major = cmp.Or(t.Partial, 10), cmp.Or(t.Major, 50)
	for i := range s.Components {
		c := &s.Components[i]
		c.Title = cmp.Or(c.Title, c.Name)
	}
	for i := range s.Publish {
		p := &s.Publish[i]
		if p.Git != "" {
			p.Branch = cmp.Or(p.Branch, "gh-pages")
		}
		if p.S3 != nil {
			p.S3.Region = cmp.Or(p.S3.Region, "us-east-1")
			p.S3.AccessKeyEnv, p.S3.SecretKeyEnv = cmp.Or(p.S3.AccessKeyEnv, "AWS_ACCESS_KEY_ID"), cmp.Or(p.S3.SecretKeyEnv, "AWS_SECRET_ACCESS_KEY")
		}
	}
}

// Bounds of one page.
const (
	maxComponents = 200
	maxTargets    = 10
	maxTitle      = 200
	maxText       = 10_000
)

var slug = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func validate(c *resource.Checker, s *PageSpec) {
	if strings.TrimSpace(s.Title) == "" || len(s.Title) > maxTitle {
		c.Errorf("title", "required", "a status page has a title of up to %d characters", maxTitle)
	}
	c.Refers("team", catalog.KindTeam, s.Team)
	if s.URL != "" && !web(s.URL) {
		c.Errorf("url", "format", "%q is not the address of a page: it begins with https:// or http:// and has neither query nor fragment", s.URL)
	}
	if s.Support != "" && !web(s.Support) && !strings.HasPrefix(s.Support, "mailto:") {
		c.Errorf("support", "format", "%q is neither an https:// address nor mailto:", s.Support)
	}
	if _, err := s.TimeZone.Location(); err != nil {
		c.Errorf("timeZone", "format", "%v", err)
	}
	if s.Settle < 0 || s.Settle > time.Hour {
		c.Errorf("settle", "range", "settle is %s; it must be between 0 and 1h", s.Settle)
	}
	if s.Recovery < 0 || s.Recovery > 24*time.Hour {
		c.Errorf("recovery", "range", "recovery is %s; it must be between 0 and 24h", s.Recovery)
	}
	validateThresholds(c, s.States)
	validateComponents(c, s)
	if len(s.Publish) > maxTargets {
		c.Errorf("publish", "range", "there are %d targets; at most %d are written to", len(s.Publish), maxTargets)
	}
	for i, t := range s.Publish {
		validateTarget(c, fmt.Sprintf("publish[%d]", i), t)
	}
	if s.Subscribe != nil {
		if !web(s.Subscribe.Server) {
			c.Errorf("subscribe.server", "required", "say where users reach this server to subscribe, such as https://flyball.example.org")
		}
		c.Refers("subscribe.email", channel.Kind, s.Subscribe.Email)
		if s.Subscribe.Email == "" && !s.Subscribe.Webhook {
			c.Errorf("subscribe", "required", "say how: name a Channel for email, or allow webhook")
		}
	}
}

func web(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

func validateThresholds(c *resource.Checker, t Thresholds) {
	if !slices.Contains([]string{"page", "ticket", "none"}, t.Alert) {
		c.Errorf("states.alert", "enum", "alert is %q; it must be page, ticket or none", t.Alert)
	}
	if !slices.Contains([]time.Duration{5 * time.Minute, 30 * time.Minute, time.Hour}, t.Over) {
		c.Errorf("states.over", "enum", "over is %s; it must be 5m, 30m or 1h", t.Over)
	}
	if t.Degraded < 0 || t.Degraded > t.Partial || t.Partial > t.Major || t.Major > 100 {
		c.Errorf("states", "range", "a worse state needs a larger share: degraded %s, partialOutage %s, majorOutage %s", t.Degraded, t.Partial, t.Major)
	}
	if t.Events < 0 {
		c.Errorf("states.events", "range", "events is %d; it must not be negative", t.Events)
	}
}

func validateComponents(c *resource.Checker, s *PageSpec) {
	if len(s.Components) == 0 || len(s.Components) > maxComponents {
		c.Errorf("components", "required", "a status page has 1 to %d components; this has %d", maxComponents, len(s.Components))
	}
	seen := map[string]bool{}
	for i, x := range s.Components {
		at := fmt.Sprintf("components[%d].", i)
		if !slug.MatchString(x.Name) {
			c.Errorf(at+"name", "format", "%q is no name for an address: use lower case letters, digits and hyphens", x.Name)
		}
		if seen[x.Name] {
			c.Errorf(at+"name", "duplicate-name", "a component named %q is there already", x.Name)
		}
		seen[x.Name] = true
		c.Refers(at+"service", catalog.KindService, x.Service)
		c.Refers(at+"environment", catalog.KindEnvironment, x.Environment)
		if x.Service == "" && (x.Environment != "" || len(x.Objectives) > 0 || x.Uptime != "") {
			c.Errorf(at+"service", "required", "environment, objectives and uptime are a service's: name it")
		}
	}
}

func validateTarget(c *resource.Checker, at string, t Target) {
	kinds := 0
	for _, v := range []string{t.Directory, t.Git, t.Put} {
		if v != "" {
			kinds++
		}
	}
	if kinds != 1 {
		c.Errorf(at, "exclusive", "a target is one of directory, git and put; this has %d of them", kinds)
	}
	if t.Directory != "" && !strings.HasPrefix(t.Directory, "/") {
		c.Errorf(at+".directory", "format", "%q is not absolute", t.Directory)
	}
	if t.Put != "" && !web(t.Put) {
		c.Errorf(at+".put", "format", "%q is not an http or https address", t.Put)
	}
	if t.Put == "" && t.S3 != nil || t.Put == "" && t.Git == "" && t.TokenEnv != "" {
		c.Errorf(at+".put", "required", "tokenEnv and s3 say how requests are signed: give the address of put")
	}
	if t.TokenEnv != "" && t.S3 != nil {
		c.Errorf(at+".tokenEnv", "exclusive", "give either tokenEnv or s3, not both")
	}
	if strings.HasPrefix(t.Branch, "-") || strings.HasPrefix(t.Git, "-") {
		c.Errorf(at+".git", "format", "neither repository nor branch begins with a hyphen")
	}
}

// component is the component of a name; nil when there is none.
func (s *PageSpec) component(name string) *Component {
	for i := range s.Components {
		if s.Components[i].Name == name {
			return &s.Components[i]
		}
	}
	return nil
}
