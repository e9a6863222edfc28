package web

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

type oncallBody struct {
	Lead      string
	Schedules []weekOf
	Previous  string // first days, as in the address
	Next      string
	Override  bool // the visitor may let somebody stand in, somewhere
	More      int  // schedules that are not shown
}

// weekOf is one schedule's week.
type weekOf struct {
	Name string
	Zone string
	Now  []oncall.OnCall
	Say  string // who has it now
	Days []dayOf
}

// dayOf is one day of a schedule's week, in its zone.
type dayOf struct {
	Name  string
	Today bool
	Bar   template.HTML
	Parts []partOf
}

// partOf is what somebody has of a day.
type partOf struct{ When, Person, Layer string }

// schedulesShown bounds the schedules of one page.
const schedulesShown = 25

// oncall shows who is on call now, and a week of each schedule.
func (s *site) oncall(v *visit) (page, error) {
	b := oncallBody{Override: s.canEver(v, "oncall.override")}
	p := page{Template: "oncall", Title: "On-call", Section: "oncall", Live: "oncall.,resource.", Every: 60}
	out, _, err := call[oncall.Answer](s, v, "oncall.who", nil)
	if err != nil {
		return p, err
	}
	first := v.now.UTC().Truncate(24 * time.Hour)
	if from := v.URL.Query().Get("from"); from != "" {
		if first, err = time.Parse(time.DateOnly, from); err != nil || first.Year() < 1900 || first.Year() > 2900 {
			return p, problem.New(problem.Invalid, "web", "%q is no day", from).WithNext("write it as 2026-11-16")
		}
	}
	for first.Weekday() != time.Monday {
		first = first.AddDate(0, 0, -1)
	}
	b.Previous, b.Next = first.AddDate(0, 0, -7).Format(time.DateOnly), first.AddDate(0, 0, 7).Format(time.DateOnly)
	for _, o := range out.OnCall {
		if n := len(b.Schedules); n > 0 && b.Schedules[n-1].Name == o.Schedule {
			b.Schedules[n-1].Now = append(b.Schedules[n-1].Now, o)
		} else if n < schedulesShown {
			b.Schedules = append(b.Schedules, weekOf{Name: o.Schedule, Zone: o.TimeZone, Now: []oncall.OnCall{o}})
		} else {
			b.More++
		}
	}
	nobody := 0
	for i := range b.Schedules {
		w := &b.Schedules[i]
		if err := s.week(v, w, first); err != nil {
			return p, err
		}
		if w.Now[0].Person == "" {
			nobody++
		}
	}
	b.Lead = oncallLead(b.Schedules, nobody)
	p.Body = b
	return p, nil
}

func oncallLead(all []weekOf, nobody int) string {
	switch {
	case len(all) == 0:
		return "No schedule is declared"
	case len(all) == 1:
		return sentence(all[0].Say)
	case nobody == 0:
		return fmt.Sprintf("Somebody is on call for each of %d schedules.", len(all))
	}
	return sentence(fmt.Sprintf("Nobody is on call for %d of %s", nobody, plural(len(all), "schedule", "schedules")))
}

// week fills in a schedule's days, in its own zone.
func (s *site) week(v *visit, w *weekOf, first time.Time) error {
	loc, err := oncall.Zone(w.Zone).Location()
	if err != nil {
		return err
	}
	var say []string
	for _, o := range w.Now {
		switch {
		case o.Person == "" && o.Until.IsZero():
			say = append(say, "nobody is on call for "+w.Name)
		case o.Person == "":
			say = append(say, fmt.Sprintf("nobody is on call for %s until %s", w.Name, o.Until.In(loc).Format("Mon 15:04")))
		default:
			say = append(say, fmt.Sprintf("%s is on call for %s until %s", o.Person, w.Name, o.Until.In(loc).Format("Mon 2 Jan 15:04")))
		}
	}
	w.Say = strings.Join(say, ", ")
	start := func(day int) time.Time {
		return time.Date(first.Year(), first.Month(), first.Day()+day, 0, 0, 0, 0, loc)
	}
	out, _, err := call[operation.Page[oncall.Shift]](s, v, "oncall.rota", func(in any) error {
		*in.(*oncall.RotaInput) = oncall.RotaInput{Schedule: w.Name, From: start(0), To: start(7), Limit: 500}
		return nil
	})
	if err != nil {
		return err
	}
	today := v.now.In(loc).Format(time.DateOnly)
	for d := range 7 {
		w.Days = append(w.Days, dayBetween(start(d), start(d+1), out.Items, loc))
		w.Days[d].Today = start(d).Format(time.DateOnly) == today
	}
	return nil
}

// dayBetween is what each has of a day, and a bar of it: whole where somebody is
// on call, a rail where nobody is.
func dayBetween(from, to time.Time, shifts []oncall.Shift, loc *time.Location) dayOf {
	d := dayOf{Name: from.Format("Mon 2 Jan")}
	var bar strings.Builder
	bar.WriteString(`<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="rail" width="100" height="8"/>`)
	x := func(t time.Time) float64 { return 100 * float64(t.Sub(from)) / float64(to.Sub(from)) }
	for _, s := range shifts {
		if !s.Start.Before(to) || !s.End.After(from) {
			continue
		}
		begin, end, when := s.Start.In(loc), s.End.In(loc), "all day"
		if begin.Before(from) {
			begin = from
		}
		until := end.Format("15:04")
		if !end.Before(to) {
			end, until = to, "24:00"
		}
		if begin.After(from) || end.Before(to) {
			when = begin.Format("15:04") + "–" + until
		}
		d.Parts = append(d.Parts, partOf{when, s.Person, s.Layer})
		fmt.Fprintf(&bar, `<rect class="fill accent" x="%.2f" width="%.2f" height="8"/>`, x(begin), max(0.5, x(end)-x(begin)-0.5))
	}
	bar.WriteString(`</svg>`)
	d.Bar = template.HTML(bar.String())
	return d
}
