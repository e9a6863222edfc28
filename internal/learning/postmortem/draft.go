package postmortem

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The sections, in the order in which they are read.
const (
	SectionTitle    = "title"
	SectionSummary  = "summary"
	SectionImpact   = "impact"
	SectionTimeline = "timeline"
	SectionResponse = "response"
	SectionFactors  = "factors"
	SectionWell     = "well"
	SectionBadly    = "badly"
	SectionLucky    = "lucky"
	SectionLessons  = "lessons"
)

// Heading is a section with its heading and what belongs into it.
type Heading struct{ Section, Title, Hint string }

// Headings are the sections of every postmortem but its title.
var Headings = []Heading{
	{SectionSummary, "Summary", "What happened, in three sentences that somebody from another team understands."},
	{SectionImpact, "Impact", "Who was hurt, how, and for how long. The budget ledger has the numbers."},
	{SectionTimeline, "Timeline", "What happened when, in UTC."},
	{SectionResponse, "Response", "How long it took to notice, to take it on, to mitigate and to resolve."},
	{SectionFactors, "Contributing factors", "Everything that had to be true for this to happen. There is never only one."},
	{SectionWell, "What went well", "What limited the harm, and should stay."},
	{SectionBadly, "What went badly", "What made it worse or longer."},
	{SectionLucky, "Where we got lucky", "What limited the harm this time, and cannot be relied upon."},
	{SectionLessons, "Lessons", "What we know now that we did not know before."},
}

// Entry is one line of an incident's timeline.
type Entry struct {
	At    time.Time `json:"at"`
	Type  string    `json:"type"`
	Actor string    `json:"actor"`
	Text  string    `json:"text"`
}

// Cost is what the incident spent of one objective's budget.
type Cost struct {
	Objective string    `json:"objective"`
	Bad       float64   `json:"bad"`    // bad events
	Budget    float64   `json:"budget"` // share of the window's budget; 1 is all of it
	From      time.Time `json:"from"`
	To        time.Time `json:"to,omitzero"` // zero while it lasts
}

// Story is what other rooms know of an incident.
type Story struct {
	Entries []Entry `json:"entries"`        // of the timeline, oldest first, at most MaxEntries
	More    int     `json:"more,omitempty"` // further ones that are left out
	Costs   []Cost  `json:"costs,omitempty"`
	Cast    []Named `json:"cast,omitempty"` // persons who occur in it, with their roles
}

// Bounds on a draft.
const (
	MaxEntries = 200 // lines of the timeline
	maxLine    = 240 // bytes of one
)

// lateDetection and lateAnswer are how long it may take to notice and to take
// on before the draft asks why.
const (
	lateDetection = 5 * time.Minute
	lateAnswer    = 15 * time.Minute
)

// Draft writes a postmortem from the facts: the same facts give the same text.
// Suspects become questions, never verdicts; persons become roles unless named.
func Draft(place Place, t Trouble, s Story, named bool) Drafted {
	d := drafter{place: place, trouble: t, story: s, named: named, names: newLookup(s.Cast)}
	out := Drafted{Place: place, Title: d.clean(t.Title), Named: named, Factors: d.factors(), Cast: s.Cast}
	for _, h := range Headings {
		text := map[string]func() string{
			SectionSummary: d.summary, SectionImpact: d.impact, SectionTimeline: d.timeline, SectionResponse: d.response,
			SectionFactors: d.questions, SectionWell: d.well, SectionBadly: d.badly,
		}[h.Section]
		w := Written{Section: h.Section}
		if text != nil {
			w.Text = text()
		}
		out.Sections = append(out.Sections, w)
	}
	return out
}

type drafter struct {
	place   Place
	trouble Trouble
	story   Story
	named   bool
	names   lookup
}

// clean is a text of the log without persons, in one line.
func (d drafter) clean(text string) string {
	text = clip(strings.Join(strings.Fields(text), " "), maxLine)
	if d.named {
		return text
	}
	return d.names.Scrub(text)
}

// who is who acted, as the text calls them.
func (d drafter) who(actor string) string {
	name := user(actor)
	switch {
	case name == "" && (strings.HasPrefix(actor, "controller:") || strings.HasPrefix(actor, "system")):
		return "Flyball"
	case name == "":
		return "a program"
	case d.named:
		return name
	}
	i := slices.IndexFunc(d.story.Cast, func(n Named) bool { return strings.EqualFold(n.Name, name) })
	if i < 0 {
		return roleOther
	}
	return d.story.Cast[i].Role
}

func (d drafter) summary() string {
	t := d.trouble
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s was in trouble from %s: %s.", d.place.Service, d.place.Environment, moment(t.Began), strings.TrimRight(d.clean(t.Title), "."))
	if !t.Mitigated.IsZero() {
		fmt.Fprintf(&b, " Users were no longer hurt after %s.", span(t.Mitigated.Sub(t.Began)))
	}
	if !t.Resolved.IsZero() {
		fmt.Fprintf(&b, " It was resolved after %s", span(t.Resolved.Sub(t.Began)))
		if t.Resolution != "" {
			fmt.Fprintf(&b, ": %s", strings.TrimRight(d.clean(t.Resolution), "."))
		}
		b.WriteString(".")
	}
	fmt.Fprintf(&b, " Severity %d.", t.Severity)
	return b.String()
}

func (d drafter) impact() string {
	costs := slices.DeleteFunc(slices.Clone(d.story.Costs), func(c Cost) bool { return c.Bad == 0 })
	if len(costs) == 0 {
		return "No objective counted anything for it. Say what users met, and how many."
	}
	var lines []string
	for _, c := range costs {
		line := fmt.Sprintf("- %s: %s, %s of its budget", c.Objective, plural(c.Bad, "bad event"), percent(c.Budget))
		if c.To.After(c.From) {
			line += fmt.Sprintf(", over %s from %s", span(c.To.Sub(c.From)), moment(c.From))
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func (d drafter) timeline() string {
	var lines []string
	var day string
	for _, e := range d.story.Entries {
		if today := e.At.UTC().Format("2006-01-02"); today != day {
			day = today
			lines = append(lines, day)
		}
		lines = append(lines, fmt.Sprintf("- %s %s (%s)", e.At.UTC().Format("15:04:05"), d.clean(e.line()), d.who(e.Actor)))
	}
	if d.story.More > 0 {
		lines = append(lines, fmt.Sprintf("- … and %s; the incident's page has them all", plural(float64(d.story.More), "further line")))
	}
	return strings.Join(lines, "\n")
}

// openings say what a fact's text is about, where the text alone does not.
var openings = map[string]string{
	"alert.fired": "an alert fired: ", "alert.resolved": "the alert ended: ", incidentOpened: "the incident was opened: ", incidentPaged: "people were paged: ",
	incidentAcknowledged: "it was taken on: ", incidentMitigated: "users are no longer hurt: ", incidentResolved: "it was resolved: ", "incident.noted": "noted: ",
	"rollout.rolled_back": "taken back: ",
}

// line is the entry in words. What it says to the reader of the moment is left out.
func (e Entry) line() string {
	text, _, _ := strings.Cut(e.Text, "; resolve it when that is so")
	if text == e.Type || text == "" {
		// A fact without words of its own: rollout.ready.
		text = strings.NewReplacer(".", " ", "_", " ").Replace(e.Type)
		if openings[e.Type] != "" {
			text = ""
		}
	}
	return strings.TrimSuffix(openings[e.Type]+text, ": ")
}

func (d drafter) response() string {
	t := d.trouble
	var lines []string
	step := func(name string, at, from time.Time, since string) {
		if !at.IsZero() {
			lines = append(lines, fmt.Sprintf("- %s: %s, %s after %s", name, moment(at), span(at.Sub(from)), since))
		}
	}
	how := "Noticed by Flyball"
	if t.Declared {
		how = "Declared by a person"
	}
	step(how, t.Opened, t.Began, "it began")
	step("Paged", t.Paged, t.Opened, "that")
	step("Acknowledged", t.Acknowledged, t.Opened, "it was noticed")
	step("Mitigated", t.Mitigated, t.Began, "it began")
	step("Resolved", t.Resolved, t.Began, "it began")
	return strings.Join(lines, "\n")
}

// questions asks about everything the incident is linked with. That something
// came before, or was taken back, proves nothing: people answer.
func (d drafter) questions() string {
	t := d.trouble
	var lines []string
	ask := func(format string, args ...any) { lines = append(lines, "- "+fmt.Sprintf(format, args...)) }
	for _, l := range t.Links {
		what := l.Change
		if what == "" {
			what = l.Rollout
		}
		switch {
		case what == "":
		case l.Role == roleCulprit:
			ask("Change %s was named as a cause (%s). What let it pass review, the tests and the first steps of its rollout?", what, d.clean(l.Text))
		case l.Role == roleSuspect:
			ask("Change %s came shortly before (%s). Did it contribute, and what else had to be true?", what, d.clean(l.Text))
		case l.Role == roleTrigger && l.Kind == linkRollback:
			ask("Change %s was taken back (%s). What would have found that before users met it?", what, d.clean(l.Text))
		}
	}
	if t.HeldBy != "" {
		ask("A dependency was in trouble (%s). How should %s behave while it is?", t.HeldBy, d.place.Service)
	}
	if wait := t.Opened.Sub(t.Began); wait > lateDetection {
		ask("It took %s until it was noticed. Which signal would have told sooner?", span(wait))
	}
	if len(lines) == 0 {
		ask("Which changes, conditions and assumptions had to come together for this to happen?")
	}
	return strings.Join(slices.Compact(lines), "\n")
}

// taken reports whether a revision went back by itself.
func (t Trouble) taken() bool {
	return slices.ContainsFunc(t.Links, func(l Link) bool { return l.Kind == linkRollback && l.Role == roleTrigger })
}

func (d drafter) well() string {
	t := d.trouble
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, "- "+fmt.Sprintf(format, args...)) }
	if wait := t.Opened.Sub(t.Began); !t.Declared && wait <= lateDetection {
		say("It was noticed %s, before anybody had to report it.", soon(wait))
	}
	if t.taken() {
		say("The revision was taken back on evidence, without waiting for a person.")
	}
	if !t.Paged.IsZero() && !t.Acknowledged.IsZero() && t.Acknowledged.Sub(t.Paged) <= lateDetection {
		say("The page was answered %s.", soon(t.Acknowledged.Sub(t.Paged)))
	}
	return strings.Join(lines, "\n")
}

func (d drafter) badly() string {
	t := d.trouble
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, "- "+fmt.Sprintf(format, args...)) }
	if t.Declared {
		say("A person noticed it first: no alert had fired.")
	}
	if wait := t.Opened.Sub(t.Began); wait > lateDetection {
		say("It went on for %s before it was noticed.", span(wait))
	}
	if t.Paged.IsZero() && t.Unreached != "" {
		say("Nobody could be paged: %s.", strings.TrimRight(d.clean(t.Unreached), "."))
	}
	switch wait := t.Acknowledged.Sub(t.Opened); {
	case t.Acknowledged.IsZero() && !t.Paged.IsZero():
		say("Nobody acknowledged the page.")
	case !t.Acknowledged.IsZero() && wait > lateAnswer:
		say("It took %s until somebody took it on.", span(wait))
	}
	return strings.Join(lines, "\n")
}

// factors are the ones that the facts themselves show. People add theirs.
func (d drafter) factors() []string {
	t := d.trouble
	var out []string
	add := func(name string, holds bool) {
		if holds && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	named := slices.ContainsFunc(t.Links, func(l Link) bool { return l.Role == roleCulprit })
	add("change", named || t.taken())
	add("dependency", t.HeldBy != "")
	add("late-detection", t.Opened.Sub(t.Began) > lateDetection)
	add("no-alert", t.Declared)
	add("nobody-reached", t.Paged.IsZero() && t.Unreached != "")
	add("late-response", !t.Acknowledged.IsZero() && t.Acknowledged.Sub(t.Opened) > lateAnswer)
	return out
}
