package budget

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

// Ledger says who spent the error budget of one objective, over the window it
// has at one moment.
type Ledger struct {
	Objective   string    `json:"objective" doc:"key, such as checkout.prod.availability"`
	Service     string    `json:"service"`
	Environment string    `json:"environment"`
	Name        string    `json:"name"`
	Target      string    `json:"target"`
	Window      string    `json:"window"`
	At          time.Time `json:"at" doc:"the moment it is of"`
	From        time.Time `json:"from" doc:"begin of the window, to the minute"`
	Until       time.Time `json:"until" doc:"end of the window, exclusive"`
	Unit        string    `json:"unit" doc:"what is counted: event or slice"`
	Scale       int64     `json:"scale" doc:"counts per unit: 1, or 1e9 where a slice counts by its ratio"`

	Raw      Account  `json:"raw" doc:"everything that was counted"`
	Adjusted Account  `json:"adjusted" doc:"without what is excluded; equal to raw where nothing is"`
	Shares   []Share  `json:"shares" doc:"who spent it, the greatest first; bad sums to adjusted.bad, raw to raw.bad"`
	Impacts  []Impact `json:"impacts,omitempty" doc:"what was lost while each incident lasted, whoever is charged"`
	Baseline Baseline `json:"baseline" doc:"the background at the end of the window"`
	Forecast Forecast `json:"forecast"`
}

// Account is the counts of a window and what they leave of the budget.
type Account struct {
	Total     int64   `json:"total" doc:"events, or slices times scale"`
	Bad       int64   `json:"bad" doc:"of them, what spent budget"`
	Allowed   float64 `json:"allowed" doc:"units that a full window allows to be bad"`
	Remaining float64 `json:"remaining" doc:"share of the budget left; negative when overspent"`
	Projected bool    `json:"projected,omitempty" doc:"the window is not full yet: allowed is an estimate"`
}

// Share is what one cause spent.
type Share struct {
	Kind     string    `json:"kind" doc:"change, flag, experiment, dependency, maintenance, incident or background"`
	Name     string    `json:"name" doc:"of the change, incident, …; empty for the background"`
	Title    string    `json:"title,omitempty" doc:"one line for a person"`
	Revision string    `json:"revision,omitempty" doc:"of a change: the revision that served"`
	From     time.Time `json:"from,omitzero" doc:"begin of the interval it is linked with"`
	To       time.Time `json:"to,omitzero" doc:"its end; none while it lasts"`
	Bad      int64     `json:"bad" doc:"whole counts, without what is excluded"`
	Raw      int64     `json:"raw" doc:"whole counts, all of them"`
	Measured int64     `json:"measured,omitempty" doc:"of bad, what counts per revision separate"`
	Ratio    float64   `json:"ratio" doc:"of adjusted.bad; all sum to 1"`
	Budget   float64   `json:"budget" doc:"of the budget: bad ÷ allowed"`
	Method   Method    `json:"method,omitempty" doc:"measured where counts per revision separate most of it, inferred where only time does"`
	Evidence string    `json:"evidence,omitempty" doc:"why it is charged, in a sentence"`
	Link     string    `json:"link,omitempty" doc:"path of its page"`
}

// Impact is what was lost above the baseline while an incident lasted.
type Impact struct {
	Incident string       `json:"incident"`
	Title    string       `json:"title,omitempty"`
	From     time.Time    `json:"from"`
	To       time.Time    `json:"to,omitzero"`
	Bad      int64        `json:"bad" doc:"whole counts, without what is excluded"`
	Budget   float64      `json:"budget" doc:"of the budget"`
	Causes   []ImpactPart `json:"causes,omitempty" doc:"who is charged for it; they sum to bad"`
}

// ImpactPart is one cause's part of an incident.
type ImpactPart struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	Bad  int64  `json:"bad"`
}

// Baseline is what goes wrong when nothing in particular is the matter.
type Baseline struct {
	Ratio      float64 `json:"ratio" doc:"bad ÷ total expected without a cause"`
	Requests   int64   `json:"requests" doc:"it was estimated from"`
	Dispersion float64 `json:"dispersion" doc:"how much more bad events vary than if each came alone; 1 is not at all"`
	Prior      bool    `json:"prior,omitempty" doc:"too little is known: it is mostly what the target allows"`
}

// Forecast is when the budget runs out if things go on.
type Forecast struct {
	Exhausted bool      `json:"exhausted,omitempty"`
	At        time.Time `json:"at,omitzero" doc:"when it runs out, or ran out; none: not within a window's length"`
	Early     time.Time `json:"early,omitzero" doc:"At is enclosed by early and late with 90 %"`
	Late      time.Time `json:"late,omitzero"`
	Burn      float64   `json:"burn" doc:"the burn rate it goes on with"`
}

// Method is how a share was told apart.
type Method string

// The methods.
const (
	Measured Method = "measured" // counts per revision of the same minutes separate it
	Inferred Method = "inferred" // it overlaps in time, and goes beyond what was usual before
)

func forecastOf(f slo.Forecast) Forecast {
	return Forecast{Exhausted: f.Exhausted, At: f.At, Early: f.Early, Late: f.Late, Burn: f.Burn}
}

// Spenders is the greatest shares in words: "77c0e12 (71 %), background (29 %)".
// At most n are named; the rest is "others".
func (l Ledger) Spenders(n int) string {
	var parts []string
	rest := 1.0
	for i, s := range l.Shares {
		if i == n || s.Bad == 0 {
			break
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", s.Short(), percent(s.Ratio)))
		rest -= s.Ratio
	}
	if len(parts) > 0 && rest > 0.005 {
		parts = append(parts, fmt.Sprintf("others (%s)", percent(rest)))
	}
	return strings.Join(parts, ", ")
}

// Short is a share's name as a person says it: a change by its commit.
func (s Share) Short() string {
	switch {
	case s.Kind == KindBackground:
		return "background"
	case s.Kind == KindChange && s.Revision != "":
		sha, _, _ := strings.Cut(s.Revision, "-")
		return sha
	}
	return s.Kind + " " + s.Name
}

// Tell is the ledger in lines.
func (l Ledger) Tell() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s of %s bad %ss spent over %s, %s left; from %s to %s", l.Objective, l.amount(l.Adjusted.Bad), allowed(l.Adjusted.Allowed),
		l.Unit, l.Window, percent(l.Adjusted.Remaining), stamp(l.From), stamp(l.Until))
	if l.Raw.Bad != l.Adjusted.Bad {
		fmt.Fprintf(&b, " (with what is excluded: %s spent, %s left)", l.amount(l.Raw.Bad), percent(l.Raw.Remaining))
	}
	switch f := l.Forecast; {
	case f.Exhausted:
		fmt.Fprintf(&b, "\nspent since %s", stamp(f.At))
	case !f.At.IsZero():
		fmt.Fprintf(&b, "\nspent about %s (between %s and %s) if it goes on like this", stamp(f.At), orOpen(f.Early, "now"), orOpen(f.Late, "never"))
	}
	for _, s := range l.Shares {
		fmt.Fprintf(&b, "\n  %6s  %8s  %-9s  %s", percent(s.Ratio), l.amount(s.Bad), s.Method, s.Short())
		if s.Title != "" {
			b.WriteString(": " + s.Title)
		}
		if s.Evidence != "" {
			b.WriteString("\n                               " + s.Evidence)
		}
	}
	for _, i := range l.Impacts {
		fmt.Fprintf(&b, "\n  incident %s: %s bad, %s of the budget", i.Incident, l.amount(i.Bad), percent(i.Budget))
	}
	return b.String()
}

func (l Ledger) amount(n int64) string { return amount(n, l.Scale) }

// amount writes counts of a scale in units.
func amount(n, scale int64) string {
	if scale > 1 {
		return strconv.FormatFloat(float64(n)/float64(scale), 'f', 2, 64)
	}
	return number(float64(n))
}

// allowed is a number of bad events: with a decimal where that says something.
func allowed(v float64) string {
	if v >= 1000 {
		return number(v)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

func orOpen(t time.Time, otherwise string) string {
	if t.IsZero() {
		return otherwise
	}
	return stamp(t)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// percent writes a ratio in whole per cents, with a decimal below ten and two
// below one.
func percent(ratio float64) string {
	digits, p := 0, math.Abs(ratio*100)
	switch {
	case p == 0 || p >= 9.95:
	case p < 0.995:
		digits = 2
	case p != math.Round(p):
		digits = 1
	}
	return strings.Replace(strconv.FormatFloat(ratio*100, 'f', digits, 64), "-", "−", 1) + " %"
}

// ratio writes a small ratio with three digits that mean something.
func ratio(v float64) string { return strconv.FormatFloat(v*100, 'g', 3, 64) + " %" }

// number writes a count with separators of thousands, and a decimal below ten.
func number(v float64) string {
	if v < 10 && v != float64(int64(v)) {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func ofTotal(bad, total float64) string { return number(bad) + " bad of " + number(total) }
