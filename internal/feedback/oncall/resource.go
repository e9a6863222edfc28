package oncall

import (
	"fmt"
	"sort"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// ScheduleSpec says who is on call when.
type ScheduleSpec struct {
	Description string     `json:"description,omitempty"` // one line
	Team        string     `json:"team,omitempty"`        // whose it is: its developers may override and swap
	TimeZone    Zone       `json:"timeZone"`              // of the IANA database; required
	Layers      []Layer    `json:"layers"`                // a later layer goes over the earlier ones
	Overrides   []Override `json:"overrides,omitempty"`   // who stands in, over all layers; a later one over the earlier
	MayBeEmpty  bool       `json:"mayBeEmpty,omitempty"`  // holes are meant: coverage does not ask for them
}

// Layer is one rotation.
type Layer struct {
	Name         string        `json:"name"`
	TimeZone     Zone          `json:"timeZone,omitempty"` // default: the schedule's
	Start        Wall          `json:"start"`              // first hand-over; its time of day, weekday and day of the month are those of the others
	End          Wall          `json:"end,omitzero"`       // the layer is no more from here on
	Every        Length        `json:"every"`              // a turn
	Members      []Member      `json:"members"`            // in the order in which they take turns
	Restrictions []Restriction `json:"restrictions,omitempty"`
	Shadow       bool          `json:"shadow,omitempty"` // they follow along: nobody pages them, nobody counts on them
}

// Member is somebody who takes turns.
type Member struct {
	Person string `json:"person"`
	From   Date   `json:"from,omitzero"`  // first day
	Until  Date   `json:"until,omitzero"` // last day
}

// UnmarshalNode reads a name, or a mapping with person, from and until.
func (m *Member) UnmarshalNode(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		m.Person = n.Value
		return nil
	}
	type plain Member
	var p plain
	for _, f := range resource.Decode(n, "", "", &p) {
		return fmt.Errorf("%s", strings.TrimPrefix(f.Field+": "+f.Message, ": "))
	}
	*m = Member(p)
	return nil
}

// Restriction is hours of the week in which a layer is on call. Without to
// after from, it lasts into the next day.
type Restriction struct {
	Days []Days    `json:"days,omitempty"` // on which it begins; default: all
	From TimeOfDay `json:"from"`
	To   TimeOfDay `json:"to"`
}

func (r Restriction) mask() (m Days) {
	for _, d := range r.Days {
		m |= d
	}
	if len(r.Days) == 0 {
		m = 1<<7 - 1
	}
	return m
}

// Override is somebody standing in.
type Override struct {
	From     Point  `json:"from"`
	To       Point  `json:"to"`
	Person   string `json:"person"`
	Replaces string `json:"replaces,omitempty"` // only the shifts of this person; default: everybody's
	Reason   string `json:"reason,omitempty"`
}

// PersonSpec says how somebody is reached.
type PersonSpec struct {
	DisplayName string            `json:"displayName,omitempty"`
	TimeZone    Zone              `json:"timeZone,omitempty"` // of the quiet hours; default UTC
	Contacts    []channel.Contact `json:"contacts,omitempty"` // tried in order until one accepts, unless rules say otherwise
	Rules       Rules             `json:"rules,omitzero"`
	QuietHours  *Hours            `json:"quietHours,omitempty"`
}

// Rules say which contacts a person wants tried when, by how urgent a page is.
type Rules struct {
	High []Rule `json:"high,omitempty"` // severity 1 and 2
	Low  []Rule `json:"low,omitempty"`  // severity 3, which can wait
}

// Rule is one contact, tried some time after the page unless somebody has
// answered. If it does not accept, the person's other contacts are tried.
type Rule struct {
	Contact string        `json:"contact"` // name of a contact
	After   time.Duration `json:"after,omitempty"`
}

// Hours is a time of each day.
type Hours struct {
	From TimeOfDay `json:"from"`
	To   TimeOfDay `json:"to"`
}

// The kinds.
const (
	KindSchedule   = "Schedule"
	KindPerson     = "Person"
	KindEscalation = "EscalationPolicy"
)

// Kinds declares the kinds of this room.
func Kinds() []*resource.Kind {
	return []*resource.Kind{
		resource.Define(KindSchedule, resource.Options[ScheduleSpec]{
			Summary: "who is on call when: layers of rotations, restrictions, overrides", Validate: validateSchedule,
		}),
		resource.Define(KindPerson, resource.Options[PersonSpec]{
			Summary: "how somebody is reached, and when better not", Validate: validatePerson,
		}),
		resource.Define(KindEscalation, resource.Options[EscalationSpec]{
			Summary: "whom to page, and whom next while nobody answers", Defaults: escalationDefaults, Validate: validateEscalation,
		}),
	}
}

// Bounds of one schedule.
const (
	maxLayers       = 50
	maxMembers      = 500
	maxRestrictions = 200
	maxOverrides    = 5000
)

func validateSchedule(c *resource.Checker, s *ScheduleSpec) {
	c.Refers("team", catalog.KindTeam, s.Team)
	checkSchedule(c, s)
}

func checkSchedule(c *resource.Checker, s *ScheduleSpec) {
	if s.TimeZone == "" {
		c.Errorf("timeZone", "required", "a schedule has a time zone, such as Europe/Berlin")
	}
	if len(s.Layers) == 0 && len(s.Overrides) == 0 {
		c.Errorf("layers", "required", "a schedule has at least one layer")
	}
	bounded(c, "layers", len(s.Layers), maxLayers)
	bounded(c, "overrides", len(s.Overrides), maxOverrides)
	names := map[string]bool{LayerOverride: true}
	for i, l := range s.Layers {
		validateLayer(c, fmt.Sprintf("layers[%d]", i), l)
		if names[l.Name] {
			c.Errorf(fmt.Sprintf("layers[%d].name", i), "duplicate-name", "a layer named %q is there already; names of layers differ, and %q is what overrides are called", l.Name, LayerOverride)
		}
		names[l.Name] = true
	}
	for i, o := range s.Overrides {
		validateOverride(c, fmt.Sprintf("overrides[%d]", i), s.TimeZone, o)
	}
}

func bounded(c *resource.Checker, path string, n, most int) {
	if n > most {
		c.Errorf(path, "range", "%d are too many; at most %d", n, most)
	}
}

func validateLayer(c *resource.Checker, at string, l Layer) {
	if l.Name == "" {
		c.Errorf(at+".name", "required", "a layer has a name")
	} else if !printable(l.Name) {
		c.Errorf(at+".name", "format", "a name is at most 100 printable characters")
	}
	if l.Start.IsZero() {
		c.Errorf(at+".start", "required", "say when the first turn begins, such as 2026-01-05T09:00; the hand-overs after it follow from that")
	}
	if !l.End.IsZero() && l.End.seconds() <= l.Start.seconds() {
		c.Errorf(at+".end", "range", "a layer ends after it begins: from %s to %s", l.Start, l.End)
	}
	if l.Every.IsZero() {
		c.Errorf(at+".every", "required", "say how long a turn lasts, such as 12 hours, 1 day, 1 week or 1 month")
	}
	if len(l.Members) == 0 {
		c.Errorf(at+".members", "required", "a layer without members leaves nobody on call; name at least one person")
	}
	bounded(c, at+".members", len(l.Members), maxMembers)
	bounded(c, at+".restrictions", len(l.Restrictions), maxRestrictions)
	for i, m := range l.Members {
		path := fmt.Sprintf("%s.members[%d]", at, i)
		knownPerson(c, path, m.Person)
		if !m.From.IsZero() && !m.Until.IsZero() && m.Until.t.Before(m.From.t) {
			c.Errorf(path+".until", "range", "the last day is before the first")
		}
	}
	for i, r := range l.Restrictions {
		if r.From == 24*60 {
			c.Errorf(fmt.Sprintf("%s.restrictions[%d].from", at, i), "range", "24:00 is the end of a day; begin at 00:00 of the next")
		}
	}
}

// knownPerson checks a name, and that the person is declared once anybody is.
func knownPerson(c *resource.Checker, path, name string) {
	if name == "" {
		c.Errorf(path, "required", "name a person")
		return
	}
	if !printable(name) {
		c.Errorf(path, "format", "a person's name is at most 100 printable characters")
		return
	}
	if c.Set.Find(KindPerson, name) != nil {
		return
	}
	if anyPerson(c.Set) {
		c.Warnf(path, "unreachable", "there is no Person named %q, so nobody can be reached by that name", name)
	}
}

// anyPerson looks for the first of its kind among objects ordered by key.
func anyPerson(set *resource.Set) bool {
	first := resource.Key(KindPerson, "")
	all := set.All()
	i := sort.Search(len(all), func(i int) bool { return all[i].Key() >= first })
	return i < len(all) && all[i].Kind == KindPerson
}

func printable(s string) bool {
	return len(s) <= 100 && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func validateOverride(c *resource.Checker, at string, zone Zone, o Override) {
	knownPerson(c, at+".person", o.Person)
	if o.From.IsZero() || o.To.IsZero() {
		c.Errorf(at, "required", "an override has from and to")
		return
	}
	loc, err := zone.Location()
	if err != nil {
		return // reported where the zone is
	}
	start, _ := o.From.instants(loc)
	if _, end := o.To.instants(loc); !start.Before(end) {
		c.Errorf(at+".to", "range", "an override ends after it begins: from %s to %s", start.Format(time.RFC3339), end.Format(time.RFC3339))
	}
}

func validatePerson(c *resource.Checker, p *PersonSpec) {
	for i, k := range p.Contacts {
		channel.Check(c, fmt.Sprintf("contacts[%d]", i), k)
	}
	checkPerson(c, p)
}

// checkPerson checks what can be without knowing the channels.
func checkPerson(c *resource.Checker, p *PersonSpec) {
	bounded(c, "contacts", len(p.Contacts), 10)
	names := map[string]bool{}
	for i, k := range p.Contacts {
		if k.Name != "" && names[k.Name] {
			c.Errorf(fmt.Sprintf("contacts[%d].name", i), "duplicate-name", "a contact named %q is there already", k.Name)
		}
		names[k.Name] = true
	}
	if len(p.Contacts) == 0 {
		c.Warnf("contacts", "unreachable", "%s has no contact, so nobody can reach them", c.Object.Metadata.Name)
	}
	checkRules(c, "rules.high", p.Rules.High, names)
	checkRules(c, "rules.low", p.Rules.Low, names)
}

// maxAfter is how long after a page a rule may still ring.
const maxAfter = 24 * time.Hour

func checkRules(c *resource.Checker, path string, rules []Rule, names map[string]bool) {
	bounded(c, path, len(rules), 10)
	for i, r := range rules {
		at := fmt.Sprintf("%s[%d]", path, i)
		if r.Contact == "" || !names[r.Contact] {
			c.Errorf(at+".contact", "unknown", "there is no contact named %q; give the contact a name", r.Contact)
		}
		if r.After < 0 || r.After > maxAfter {
			c.Errorf(at+".after", "range", "after is %s; it must be between 0 and 24h", r.After)
		}
		if i == 0 && r.After != 0 {
			c.Errorf(at+".after", "range", "the first rule is tried at once; leave out after")
		}
	}
}
