package main

import "github.com/flyball-dev/flyball/internal/feedback/budget"

// scenario plants causes in a world.
type scenario struct {
	name  string
	plant func(w *world)
}

// scenarios are the rows of the table. Each service has a harmless change about
// every day, too.
var scenarios = []scenario{
	{"noise, bursts, harmless changes and a harmless flag", func(w *world) { w.harmless() }},
	{"the same, errors in clusters of 3", func(w *world) { w.burst = 3; w.harmless() }},
	{"a bad canary", func(w *world) { w.badCanary(w.reserve(120, 200)) }},
	{"a bad canary while a dependency is down", func(w *world) { w.badCanaryInOutage() }},
	{"a bad change at 100 %, an incident, rolled back", func(w *world) { w.badChange(w.reserve(120, 200)) }},
	{"a bad change at 100 % while a dependency is down", func(w *world) {
		m := w.reserve(160, 250)
		w.badChange(m)
		w.outage("stock", m+w.minutesIn(-40, 40), m+w.minutesIn(50, 150), w.between(0.02, 0.2))
	}},
	{"a flag step of some days", func(w *world) { w.flag() }},
	{"a slow leak until the next change", func(w *world) { w.leak() }},
	{"trouble that nobody explains, with an incident", func(w *world) { w.unexplained() }},
	{"all of these on one service, with bursts", func(w *world) { w.everything(); w.bursts(0.3) }},
	{"all of these, errors in clusters of 3", func(w *world) { w.burst = 3; w.everything(); w.bursts(0.3) }},
	{"all of these on a quiet service, 30 a minute", func(w *world) { w.perMin = 30; w.everything() }},
	{"all of these, no counts per revision", func(w *world) { w.blind = true; w.everything(); w.bursts(0.3) }},
}

func (w *world) harmless() {
	w.bursts(0.5)
	from := w.reserve(0, 1440)
	w.link(budget.KindFlag, "harmless", from, from+1440)
}

// badCanary goes back after it has failed for a while.
func (w *world) badCanary(m int) {
	back := w.minutesIn(40, 75)
	w.plans = append(w.plans, plan{n: 100, from: m, step: 20, back: back})
	w.harm(change(100), revision(100), m, m+back, steady(w.between(0.05, 0.3)))
}

func (w *world) badCanaryInOutage() {
	m := w.reserve(120, 200)
	w.badCanary(m)
	w.outage("stock", m+w.minutesIn(-20, 40), m+w.minutesIn(60, 120), w.between(0.02, 0.2))
}

// badChange goes to everybody at once, and is replaced after a while.
func (w *world) badChange(m int) {
	lasts := w.minutesIn(20, 100)
	w.plans = append(w.plans, plan{n: 110, from: m}, plan{n: 111, from: m + lasts})
	w.harm(change(110), revision(110), m, m+lasts, steady(w.between(0.02, 0.2)))
	w.incident("of-the-change", m, m+lasts)
}

// flag is a step that makes things a little worse for days.
func (w *world) flag() {
	m := w.history + w.minutesIn(1440, w.minutes-w.history-4*1440)
	lasts := w.minutesIn(1440, 3*1440)
	w.harm(w.link(budget.KindFlag, "new-search", m, m+lasts), "", m, m+lasts, steady(w.between(0.002, 0.005)))
}

// leak gets worse for a day or two, until the next change.
func (w *world) leak() {
	lasts := w.minutesIn(1440, 2880)
	m := w.reserve(120, lasts+200)
	w.plans = append(w.plans, plan{n: 120, from: m, step: 15}, plan{n: 121, from: m + lasts, step: 15})
	top := w.between(0.004, 0.02)
	w.harm(change(120), revision(120), m, m+lasts+60, func(k int) float64 { return top * float64(k-m) / float64(lasts) })
}

// unexplained trouble becomes an incident, and stays one.
func (w *world) unexplained() {
	m := w.reserve(120, 200)
	lasts := w.minutesIn(15, 120)
	w.harm(w.incident("unexplained", m, m+lasts), "", m, m+lasts, steady(w.between(0.02, 0.2)))
}

func (w *world) everything() {
	w.leak()
	w.badCanaryInOutage()
	w.badChange(w.reserve(120, 200))
	w.flag()
	w.unexplained()
}
