package maintenance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// KindWindow is the kind of a maintenance window.
const KindWindow = "MaintenanceWindow"

// WindowSpec says what a maintenance window covers, and when it is on.
type WindowSpec struct {
	Title        string               `json:"title,omitempty"`        // one line; default: the window's name
	Reason       string               `json:"reason"`                 // why, for those who wonder
	Services     []string             `json:"services,omitempty"`     // what is covered: these services,
	Teams        []string             `json:"teams,omitempty"`        // and all services of these teams
	Matchers     []string             `json:"matchers,omitempty"`     // of those, only alerts whose labels meet all of these; alone: such alerts of any service
	Environments []string             `json:"environments,omitempty"` // default: all
	TimeZone     oncall.Zone          `json:"timeZone,omitempty"`     // of local times; default UTC
	From         oncall.Point         `json:"from,omitzero"`
	To           oncall.Point         `json:"to,omitzero"`
	Hours        []oncall.Restriction `json:"hours,omitempty"`  // recurring: hours of the week, between from and to if these are given
	Public       bool                 `json:"public,omitempty"` // the status page announces it
	Text         string               `json:"text,omitempty"`   // what users read there
}

// Bounds of one window.
const (
	maxCovered  = 500 // services, teams, environments
	maxMatchers = 32
	maxHours    = 50
	maxTitle    = 200  // bytes
	maxReason   = 1024 // bytes
	maxPublic   = 4096 // bytes of the text for users
)

// Kinds declares the room's kind. matcher says what is wrong with a condition on
// labels; nil takes any.
func Kinds(matcher func(string) error) []*resource.Kind {
	return []*resource.Kind{resource.Define(KindWindow, resource.Options[WindowSpec]{
		Summary: "planned work: when it is, whose alerts it holds back, and what users read about it",
		Validate: func(c *resource.Checker, s *WindowSpec) {
			for i, name := range s.Services {
				c.Refers(fmt.Sprintf("services[%d]", i), catalog.KindService, name)
			}
			for i, name := range s.Teams {
				c.Refers(fmt.Sprintf("teams[%d]", i), catalog.KindTeam, name)
			}
			for i, name := range s.Environments {
				c.Refers(fmt.Sprintf("environments[%d]", i), catalog.KindEnvironment, name)
			}
			for _, f := range s.check(matcher) {
				c.Errorf(f.path, f.code, "%s", f.text)
			}
		},
	})}
}

// flaw is one thing wrong with a window.
type flaw struct{ path, code, text string }

// check finds what is wrong with a window by itself, declared or scheduled.
func (s WindowSpec) check(matcher func(string) error) []flaw {
	return slices.Concat(s.checkWhat(matcher), s.checkWhen())
}

func (s WindowSpec) checkWhat(matcher func(string) error) (out []flaw) {
	add := func(path, code, format string, args ...any) {
		out = append(out, flaw{path, code, fmt.Sprintf(format, args...)})
	}
	if len(s.Services)+len(s.Teams)+len(s.Matchers) == 0 {
		add("services", "required", "a window covers something: name services, teams or matchers")
	}
	if n := len(s.Services) + len(s.Teams) + len(s.Environments); n > maxCovered {
		add("services", "range", "%d services, teams and environments; at most %d", n, maxCovered)
	}
	if len(s.Matchers) > maxMatchers {
		add("matchers", "range", "%d matchers; at most %d", len(s.Matchers), maxMatchers)
	}
	for i, m := range s.Matchers {
		if matcher == nil {
			break
		}
		if err := matcher(m); err != nil {
			add(fmt.Sprintf("matchers[%d]", i), "format", "%s", err)
		}
	}
	if strings.TrimSpace(s.Reason) == "" || len(s.Reason) > maxReason {
		add("reason", "required", "a window says why, in at most %d bytes", maxReason)
	}
	if len(s.Title) > maxTitle {
		add("title", "range", "the title has %d bytes; at most %d", len(s.Title), maxTitle)
	}
	if len(s.Text) > maxPublic {
		add("text", "range", "the text has %d bytes; at most %d", len(s.Text), maxPublic)
	}
	if s.Text != "" && !s.Public {
		add("text", "exclusive", "the text is what the status page says, but the window is not public; add public: true, or leave the text out")
	}
	return out
}

func (s WindowSpec) checkWhen() (out []flaw) {
	add := func(path, code, format string, args ...any) {
		out = append(out, flaw{path, code, fmt.Sprintf(format, args...)})
	}
	if len(s.Hours) > maxHours {
		add("hours", "range", "%d entries; at most %d", len(s.Hours), maxHours)
	}
	for i, h := range s.Hours {
		if h.From == 24*60 {
			add(fmt.Sprintf("hours[%d].from", i), "range", "24:00 is the end of a day; begin at 00:00 of the next")
		}
	}
	if len(s.Hours) == 0 && s.From.IsZero() {
		add("from", "required", "say when it begins, such as 2026-12-01T22:00, or give hours of the week")
	}
	if len(s.Hours) == 0 && s.To.IsZero() {
		add("to", "required", "say when it ends: a window without end is how alerts are lost")
	}
	from, to, err := s.bounds()
	switch {
	case err != nil:
		add("timeZone", "format", "%s", err)
	case !from.IsZero() && !to.IsZero() && !from.Before(to):
		add("to", "range", "a window ends after it begins: from %s to %s", from.Format(stamp), to.Format(stamp))
	case len(s.Hours) == 0 && !from.IsZero() && to.Sub(from) > maxLength:
		add("to", "range", "%s is longer than 30 days; plan several windows", to.Sub(from))
	}
	return out
}
