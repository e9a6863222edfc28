package oncall

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The naive twin walks the wall clock of a layer minute by minute, and finds the
// instants of a local time by looking at every minute around it. It shares no
// arithmetic with what it checks.

// clockFace is what clocks in a zone show, minute by minute.
type clockFace struct {
	shown []int64 // in minutes, from the instant on
	from  int64
}

func look(loc *time.Location, from, to int64) clockFace {
	f := clockFace{from: from}
	for m := from; m < to; m++ {
		t := time.Unix(m*60, 0).In(loc)
		_, east := t.Zone()
		f.shown = append(f.shown, m+int64(east)/60)
	}
	return f
}

func (f clockFace) instants(w int64) (first, last int64) {
	if i := slices.Index(f.shown, w); i >= 0 {
		j := len(f.shown) - 1
		for f.shown[j] != w {
			j--
		}
		return f.from + int64(i), f.from + int64(j)
	}
	for i := 1; i < len(f.shown); i++ {
		if f.shown[i-1] < w && w < f.shown[i] {
			jump := f.shown[i] - f.shown[i-1] - 1 // minutes left out
			after := f.from + int64(i) - (f.shown[i] - w)
			return after, after + jump
		}
	}
	return -1 << 40, 1 << 40
}

// walk gives who has the layer at each minute of the wall clock in [from, to).
func walk(l Layer, from, to int64) []string {
	out := make([]string, to-from)
	in := func(i int, m int64) bool {
		from, until := l.Members[i].From, l.Members[i].Until
		return (from.IsZero() || from.t.Unix()/60 <= m) && (until.IsZero() || m/(24*60) <= until.t.Unix()/(24*60*60))
	}
	after := func(i int, m int64) int {
		for range l.Members {
			if i = (i + 1) % len(l.Members); in(i, m) {
				return i
			}
		}
		return -1
	}
	start := l.Start.t.Unix() / 60
	end := int64(1 << 40)
	if !l.End.IsZero() {
		end = l.End.t.Unix() / 60
	}
	turn, handover := 0, start
	whose, holder, begun := -1, -1, false
	for m := start; m < min(to, end); m++ {
		if m == handover {
			holder, begun = after(whose, m), false
			turn++
			handover = naiveHandover(l, turn)
		} else if holder >= 0 && !in(holder, m) {
			holder = after(holder, m)
		} else if holder < 0 {
			holder = after(whose, m)
		}
		if holder >= 0 && !begun {
			whose, begun = holder, true
		}
		if m >= from && holder >= 0 && allowed(l, m) {
			out[m-from] = l.Members[holder].Person
		}
	}
	return out
}

func naiveHandover(l Layer, n int) int64 {
	t := l.Start.t
	switch l.Every.Unit {
	case Hour:
		t = t.Add(time.Duration(n*l.Every.N) * time.Hour)
	case Day:
		t = t.AddDate(0, 0, n*l.Every.N)
	case Week:
		t = t.AddDate(0, 0, 7*n*l.Every.N)
	case Month:
		for d := t.Day(); ; d-- {
			u := time.Date(t.Year(), t.Month()+time.Month(n*l.Every.N), d, t.Hour(), t.Minute(), 0, 0, time.UTC)
			if u.Day() == d {
				return u.Unix() / 60
			}
		}
	}
	return t.Unix() / 60
}

func allowed(l Layer, m int64) bool {
	if len(l.Restrictions) == 0 {
		return true
	}
	const perDay = 24 * 60
	minute, today := TimeOfDay(m%perDay), time.Weekday((m/perDay+4)%7) // 1970-01-01 was a Thursday
	yesterday := (today + 6) % 7
	on := func(r Restriction, d time.Weekday) bool {
		var all Days
		for _, x := range r.Days {
			all |= x
		}
		return len(r.Days) == 0 || all&(1<<d) != 0
	}
	for _, r := range l.Restrictions {
		switch {
		case r.From < r.To && on(r, today) && r.From <= minute && minute < r.To,
			r.From >= r.To && on(r, today) && minute >= r.From,
			r.From >= r.To && on(r, yesterday) && minute < r.To:
			return true
		}
	}
	return false
}

// twin gives who is on call in each minute of [from, to), as sorted names.
func twin(t *testing.T, s ScheduleSpec, from, to int64) []string {
	const pad = 30 * 60
	out := make([][]string, to-from)
	for _, l := range s.Layers {
		zone := s.TimeZone
		if l.TimeZone != "" {
			zone = l.TimeZone
		}
		loc, err := time.LoadLocation(string(zone))
		if err != nil {
			t.Fatal(err)
		}
		face := look(loc, from-2*pad, to+2*pad)
		low, high := from-pad, to+pad
		who := walk(l, low, high)
		mine := make([][]string, to-from)
		for i := 0; i < len(who); {
			j := i
			for j < len(who) && who[j] == who[i] {
				j++
			}
			if who[i] != "" {
				first, _ := face.instants(low + int64(i))
				_, last := face.instants(low + int64(j))
				for m := max(first, from); m < min(last, to); m++ {
					if name := who[i] + "/" + l.Name; !slices.Contains(mine[m-from], name) {
						mine[m-from] = append(mine[m-from], name)
					}
				}
			}
			i = j
		}
		for i, names := range mine {
			if len(names) > 0 {
				out[i] = names // a later layer goes over the earlier ones
			}
		}
	}
	return flat(out)
}

func flat(sets [][]string) []string {
	out := make([]string, len(sets))
	for i, s := range sets {
		slices.Sort(s)
		out[i] = strings.Join(s, " ")
	}
	return out
}

func byMinute(shifts []Shift, from, to int64) []string {
	out := make([][]string, to-from)
	for _, s := range shifts {
		for m := s.Start.Unix() / 60; m < s.End.Unix()/60; m++ {
			out[m-from] = append(out[m-from], s.Person+"/"+s.Layer)
		}
	}
	return flat(out)
}

func compare(t *testing.T, s ScheduleSpec, from, to int64) {
	t.Helper()
	shifts, err := s.Shifts(time.Unix(from*60, 0), time.Unix(to*60, 0))
	if err != nil {
		t.Fatal(err)
	}
	got, want := byMinute(shifts, from, to), twin(t, s, from, to)
	for i := range got {
		if got[i] != want[i] {
			loc, _ := s.TimeZone.Location()
			text, _ := json.MarshalIndent(s, "", " ")
			t.Fatalf("at %s: %q, the twin says %q\n%s", time.Unix((from+int64(i))*60, 0).In(loc), got[i], want[i], text)
		}
	}
}

// random draws a schedule whose rotations are under way, around a moment.
func random(r *rand.Rand, zone Zone, around time.Time) ScheduleSpec {
	s := ScheduleSpec{TimeZone: zone}
	lengths := []Length{{1, Hour}, {7, Hour}, {12, Hour}, {1, Day}, {3, Day}, {1, Week}, {2, Week}, {1, Month}}
	for i := range 1 + r.IntN(3) {
		begin := around.AddDate(0, -r.IntN(2), -r.IntN(40)).UTC().Truncate(24 * time.Hour)
		l := Layer{
			Name: fmt.Sprint("layer", i), Every: lengths[r.IntN(len(lengths))],
			Start: Wall{begin.Add(time.Duration(r.IntN(48)) * 30 * time.Minute)},
		}
		for p := range 1 + r.IntN(4) {
			m := Member{Person: fmt.Sprint("p", p)}
			if r.IntN(3) == 0 {
				m.From = Date{around.AddDate(0, 0, r.IntN(30)-25).UTC().Truncate(24 * time.Hour)}
			}
			if r.IntN(3) == 0 {
				m.Until = Date{around.AddDate(0, 0, r.IntN(30)-20).UTC().Truncate(24 * time.Hour)}
			}
			l.Members = append(l.Members, m)
		}
		for range r.IntN(3) {
			from, to := TimeOfDay(30*r.IntN(48)), TimeOfDay(30*(1+r.IntN(48)))
			d := r.IntN(7)
			l.Restrictions = append(l.Restrictions, Restriction{Days: []Days{span(d, (d+r.IntN(7))%7)}, From: from, To: to})
		}
		if r.IntN(6) == 0 {
			l.End = Wall{around.UTC().Truncate(24 * time.Hour).Add(time.Duration(r.IntN(96)-24) * time.Hour)}
			if !l.End.t.After(l.Start.t) {
				l.End = Wall{}
			}
		}
		s.Layers = append(s.Layers, l)
	}
	return s
}

// hard are moments at which clocks or calendars do something unusual.
var hard = []struct{ zone, day string }{
	{"America/New_York", "2026-03-08"}, {"America/New_York", "2026-11-01"}, {"Europe/Berlin", "2027-03-28"}, {"Europe/Berlin", "2026-10-25"},
	{"Australia/Lord_Howe", "2026-04-05"}, {"Australia/Lord_Howe", "2026-10-04"}, {"Pacific/Apia", "2011-12-30"}, {"Pacific/Kwajalein", "1993-08-21"},
	{"Africa/Casablanca", "2026-02-15"}, {"America/Havana", "2026-03-08"}, {"America/Sao_Paulo", "2018-11-04"}, {"Asia/Pyongyang", "2018-05-05"},
	{"Antarctica/Troll", "2026-03-29"}, {"Asia/Kathmandu", "1986-01-01"}, {"UTC", "2028-02-29"}, {"Europe/London", "2026-01-31"}, {"America/Caracas", "2016-05-01"},
}

func TestHardDatesAgainstTwin(t *testing.T) {
	for _, h := range hard {
		t.Run(h.zone+" "+h.day, func(t *testing.T) {
			d, err := time.Parse(time.DateOnly, h.day)
			if err != nil {
				t.Fatal(err)
			}
			for seed := range uint64(6) {
				s := random(rand.New(rand.NewPCG(seed, 1)), Zone(h.zone), d)
				from := d.AddDate(0, 0, -2).Unix() / 60
				compare(t, s, from, from+5*24*60)
			}
		})
	}
}

// zoneNames lists every zone of the IANA database, links included.
func zoneNames(t *testing.T) []string {
	names, err := os.ReadFile("testdata/zones.txt")
	if err != nil || strings.Count(string(names), "\n") < 590 {
		t.Fatal("no list of zones", err)
	}
	return strings.Fields(string(names))
}

// In every zone of the database, around a change of its clocks if it has one,
// the shifts are those of the twin.
func TestEveryZoneAgainstTwin(t *testing.T) {
	for i, name := range zoneNames(t) {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(uint64(i), 2))
		at := time.Date(1975+r.IntN(60), time.Month(1+r.IntN(12)), 1+r.IntN(28), 0, 0, 0, 0, loc)
		if start, _ := at.ZoneBounds(); start.Year() > 1975 {
			at = start
		}
		from := at.Add(-30*time.Hour).Unix() / 60
		compare(t, random(r, Zone(name), at), from, from+2*24*60)
	}
}
