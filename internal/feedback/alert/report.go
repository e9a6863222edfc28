package alert

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Report is one sender's statement about one alert.
type Report struct {
	Labels       map[string]string `json:"labels"`                  // what identifies it, unless Key does
	Annotations  map[string]string `json:"annotations,omitempty"`   // what a person should read
	Key          string            `json:"key,omitempty"`           // the sender's own name for it: a dedup_key or alias
	Summary      string            `json:"summary,omitempty"`       // one line
	Severity     string            `json:"severity,omitempty"`      // Page or Ticket
	StartsAt     time.Time         `json:"starts_at,omitzero"`      // when it began
	EndsAt       time.Time         `json:"ends_at,omitzero"`        // when it is over unless it is said again; zero: not said
	GeneratorURL string            `json:"generator_url,omitempty"` // where it comes from
	Runbook      string            `json:"runbook,omitempty"`
	Links        []Link            `json:"links,omitempty"`
	Elsewhere    bool              `json:"elsewhere,omitempty"` // its sender pages people itself
	Act          Act               `json:"-"`
}

// Act is what a report does.
type Act int

// The acts.
const (
	Trigger Act = iota
	Acknowledge
	Resolve
)

// The severities. Symptoms page; causes are tickets, which attach to an open
// incident and open none.
const (
	Page   = "page"
	Ticket = "ticket"
	None   = "none" // nobody is told
)

// Bounds on what a sender may say.
const (
	MaxReports   = 10_000 // in one request
	maxLabels    = 64     // of each kind, on one alert
	maxName      = 256    // bytes of a label's name
	maxValue     = 4096   // bytes of its value
	maxKey       = 512    // bytes of a sender's own key (Opsgenie's alias; PagerDuty's dedup_key has 255)
	maxFuture    = 24 * time.Hour
	maxText      = 1024 // bytes of a summary
	maxReference = 2048 // bytes of an address
)

// severityOf reads the words senders use: what is critical, an error or a high
// priority pages; the rest is a ticket. An alert that says nothing pages: rather
// one too many.
func severityOf(word string) string {
	switch strings.ToLower(word) {
	case "warning", "warn", "info", "information", "informational", "notice", "low", "moderate", "none", "ticket", "debug", "p4", "p5":
		return Ticket
	}
	return Page
}

// check says what is wrong with a report, nil when nothing is.
func (r *Report) check(now time.Time) error {
	bad := func(format string, args ...any) error {
		return problem.New(problem.Invalid, "alert.take", format, args...)
	}
	switch {
	case len(r.Labels) == 0 && r.Key == "":
		return bad("an alert has at least one label, or a key of its sender's")
	case len(r.Labels) > maxLabels || len(r.Annotations) > maxLabels:
		return bad("%d labels and %d annotations; at most %d each", len(r.Labels), len(r.Annotations), maxLabels)
	case len(r.Key) > maxKey:
		return bad("the key has %d bytes; at most %d", len(r.Key), maxKey)
	case !utf8.ValidString(r.Key + r.Summary + r.GeneratorURL + r.Runbook):
		return bad("the text is not valid UTF-8")
	case r.StartsAt.After(now.Add(maxFuture)):
		return bad("it starts at %s, more than a day ahead: correct the sender's clock", r.StartsAt.UTC().Format(time.RFC3339))
	case !r.EndsAt.IsZero() && r.EndsAt.Before(r.StartsAt):
		return bad("it ends at %s, before it starts at %s", r.EndsAt.UTC().Format(time.RFC3339), r.StartsAt.UTC().Format(time.RFC3339))
	}
	for _, set := range []map[string]string{r.Labels, r.Annotations} {
		for name, value := range set {
			if name == "" || len(name) > maxName || len(value) > maxValue || !utf8.ValidString(name+value) {
				return bad("label %q: names have 1 to %d bytes, values at most %d, both valid UTF-8", clip(name, 60), maxName, maxValue)
			}
		}
	}
	return nil
}

// complete fills in what can be told from the labels and annotations, where
// their usual names are used (Prometheus' alerting documentation).
func (r *Report) complete(now time.Time) {
	for name, value := range r.Labels {
		if value == "" {
			delete(r.Labels, name) // an empty label is none
		}
	}
	if r.StartsAt.IsZero() || r.StartsAt.After(now) {
		r.StartsAt = now
	}
	r.StartsAt = r.StartsAt.UTC()
	if r.Severity == "" {
		r.Severity = severityOf(first(r.Labels["severity"], r.Labels["priority"]))
	}
	r.Summary = clip(first(r.Summary, r.Annotations["summary"], r.Annotations["message"], r.Annotations["title"],
		r.Annotations["description"], r.Labels["alertname"], r.Key), maxText)
	r.Runbook = clip(first(r.Runbook, r.Annotations["runbook_url"], r.Annotations["runbook"]), maxReference)
	r.GeneratorURL = clip(r.GeneratorURL, maxReference)
}

// Fingerprint identifies the alert among those of its integration: by the
// sender's key when it has one, else by its labels, as Alertmanager does
// (FNV-1a over sorted names and values with separators of 255).
func (r *Report) Fingerprint() string {
	h := fnv.New64a()
	if r.Key != "" {
		h.Write([]byte("key\xff" + r.Key))
		return fmt.Sprintf("%016x", h.Sum64())
	}
	names := make([]string, 0, len(r.Labels))
	for name := range r.Labels {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		h.Write([]byte(name + "\xff" + r.Labels[name] + "\xff"))
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// clip is the beginning of s, whole runes only.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
