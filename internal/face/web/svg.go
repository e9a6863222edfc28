package web

import (
	"fmt"
	"html/template"
	"math"
	"time"
)

// budgetBar is what is left of a budget as a bar. An overspent budget fills it
// from the other side.
func budgetBar(remaining float64) template.HTML {
	t := good
	switch {
	case remaining <= 0:
		t = bad
	case remaining <= 0.5:
		t = risk
	}
	width := math.Max(0, math.Min(1, remaining)) * 100
	x := 0.0
	if remaining < 0 {
		width = math.Min(1, -remaining) * 100
		x = 100 - width
	}
	return template.HTML(fmt.Sprintf(`<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="%s of the budget is left">`+
		`<rect class="rail" width="100" height="8"/><rect class="fill %s" x="%.2f" width="%.2f" height="8"/></svg>`, percent(remaining, 0), t, x, width))
}

// spentBar is what was spent of a budget: full when all of it was.
func spentBar(spent float64) template.HTML {
	t := good
	switch {
	case spent > 1:
		t = bad
	case spent >= 0.5:
		t = risk
	}
	return template.HTML(fmt.Sprintf(`<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="%s of the budget is spent">`+
		`<rect class="rail" width="100" height="8"/><rect class="fill %s" width="%.2f" height="8"/></svg>`, percent(spent, 0), t, math.Max(0, math.Min(1, spent))*100))
}

// partBar is a part of a whole.
func partBar(ratio float64) template.HTML {
	width := math.Max(0, math.Min(1, ratio)) * 100
	return template.HTML(fmt.Sprintf(`<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">`+
		`<rect class="rail" width="100" height="8"/><rect class="fill accent" width="%.2f" height="8"/></svg>`, width))
}

// splitBar is how traffic is shared between the stable revision and a canary.
func splitBar(weight int) template.HTML {
	w := float64(weight) / 100
	return template.HTML(fmt.Sprintf(`<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="%s of the traffic">`+
		`<rect class="rail" width="100" height="8"/><rect class="fill accent" width="%.2f" height="8"/></svg>`, points(weight), w))
}

// stage is one part of a change's way: work or waiting.
type stage struct {
	Name    string
	Detail  string
	Href    string
	Waiting bool
	Tone    tone
	From    time.Time
	To      time.Time
	Open    bool // not over

	X, Width float64 // of a thousand
}

// Length is how long the stage took, or has taken so far.
func (s stage) Length() time.Duration { return max(0, s.To.Sub(s.From)) }

// drawn places stages side by side. Widths grow with the logarithm of the
// time, so that seconds stay visible beside days.
func drawn(stages []stage) []stage {
	var total float64
	weight := func(s stage) float64 { return 1 + math.Log1p(s.Length().Seconds()) }
	for _, s := range stages {
		total += weight(s)
	}
	x := 0.0
	for i := range stages {
		stages[i].X, stages[i].Width = x, weight(stages[i])/total*1000
		x += stages[i].Width
	}
	return stages
}

// gauge is a burn rate against its threshold on a logarithmic scale from 0.1
// to 100.
type gauge struct {
	Window    string
	Rate      float64
	Known     bool
	Threshold float64 // 0: none
	Over      bool
	Bad       int64
	Total     int64
	Missing   int // slots that did not report
}

func gaugeAt(rate float64) float64 {
	return math.Max(0, math.Min(1, (math.Log10(math.Max(rate, 1e-9))+1)/3)) * 100
}

// Draw is the gauge as a picture.
func (g gauge) Draw() template.HTML {
	t := good
	switch {
	case g.Over:
		t = bad
	case g.Rate > 1:
		t = risk
	}
	label := "not known"
	if g.Known {
		label = number(g.Rate) + " times the sustainable rate"
	}
	s := fmt.Sprintf(`<svg class="bar gauge" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="%s"><rect class="rail" width="100" height="8"/>`, label)
	if g.Known {
		s += fmt.Sprintf(`<rect class="fill %s" width="%.2f" height="8"/>`, t, gaugeAt(g.Rate))
	}
	s += fmt.Sprintf(`<rect class="tick one" x="%.2f" width="0.5" height="8"/>`, gaugeAt(1))
	if g.Threshold > 0 {
		s += fmt.Sprintf(`<rect class="tick" x="%.2f" width="0.9" height="8"/>`, gaugeAt(g.Threshold))
	}
	return template.HTML(s + `</svg>`)
}

// heat is the burn of each hour of the last days.
type heat struct {
	Days []heatDay
	Gaps bool // some hours did not report
}

type heatDay struct {
	Day   time.Time
	Hours [24]heatHour
}

type heatHour struct {
	At         time.Time
	Bad, Total int64
	Burn       float64
	Missing    int  // slots that did not report
	Gap        bool // none reported
	Outside    bool // not yet, or before anything was counted
}

// Level is how hot an hour was, 1 to 5; 0 is without events.
func (h heatHour) Level() int {
	switch {
	case h.Total == 0:
		return 0
	case h.Bad == 0:
		return 1
	case h.Burn <= 1:
		return 2
	case h.Burn <= 6:
		return 3
	case h.Burn <= 14.4:
		return 4
	}
	return 5
}

// Brief is the hour in a cell of a table.
func (h heatHour) Brief() string {
	switch {
	case h.Outside:
		return ""
	case h.Gap:
		return "gap"
	case h.Total == 0:
		return "–"
	}
	return number(h.Burn)
}

// Text is the hour in words.
func (h heatHour) Text() string {
	switch {
	case h.Gap:
		return "nothing reported"
	case h.Total == 0:
		return "no events"
	}
	text := fmt.Sprintf("%s of %s bad, burn %s×", count(h.Bad), count(h.Total), number(h.Burn))
	if h.Missing > 0 {
		text += fmt.Sprintf(", %s did not report", plural(h.Missing, "minute", "minutes"))
	}
	return text
}
