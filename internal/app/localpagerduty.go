package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/pagerduty"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// importPagerDuty reads an account of PagerDuty's and writes resources.
func importPagerDuty(ctx context.Context, address, tokenEnv, mail string) (string, error) {
	token, ok := secret(tokenEnv)
	if !ok || token == "" {
		return "", cli.Usage("set it to an API key of PagerDuty's", "the environment variable %q is not set", tokenEnv)
	}
	api := &pagerduty.API{URL: cmp.Or(address, pagerduty.DefaultAPI), Token: token, Clock: clock.Wall()}
	account, err := api.Read(ctx)
	if err != nil {
		return "", err
	}
	m := &move{mail: mail, names: map[string]string{}, taken: map[string]bool{}}
	return m.account(account)
}

// move turns what is PagerDuty's into resources of ours.
type move struct {
	mail  string            // channel for people's addresses
	names map[string]string // ours, by kind and PagerDuty's ID
	taken map[string]bool
	out   strings.Builder
}

// name is the name of something of PagerDuty's: its own in lower case, with a
// number when another has that already.
func (m *move) name(kind, id, theirs string) string {
	if n := m.names[kind+id]; n != "" {
		return n
	}
	base := cmp.Or(alert.PlainName(theirs), alert.PlainName(kind+"-"+id))
	name := base
	for i := 2; m.taken[kind+"/"+name]; i++ {
		name = fmt.Sprintf("%.55s-%d", base, i)
	}
	m.names[kind+id], m.taken[kind+"/"+name] = name, true
	return name
}

func (m *move) write(kind, id, theirs string, spec any) error {
	text, err := oncall.Write(kind, m.name(kind, id, theirs), spec)
	if err == nil {
		m.out.WriteString("---\n" + text)
	}
	return err
}

func (m *move) note(format string, args ...any) {
	fmt.Fprintf(&m.out, "# "+strings.ReplaceAll(format, "\n", " ")+"\n", args...)
}

func (m *move) account(a pagerduty.Account) (string, error) {
	m.note("From PagerDuty: %s", a)
	for _, u := range a.Users {
		p := oncall.PersonSpec{DisplayName: u.Name}
		if p.TimeZone.UnmarshalText([]byte(u.TimeZone)) != nil {
			p.TimeZone = ""
		}
		if m.mail != "" && u.Email != "" {
			p.Contacts = []channel.Contact{{Channel: m.mail, To: u.Email}}
		}
		if err := m.write(oncall.KindPerson, u.ID, u.Name, p); err != nil {
			return "", err
		}
	}
	for _, s := range a.Schedules {
		spec, err := m.schedule(s)
		if err == nil {
			err = m.write(oncall.KindSchedule, s.ID, s.Name, spec)
		}
		if err != nil {
			return "", err
		}
	}
	for _, p := range a.Policies {
		if err := m.write(oncall.KindEscalation, p.ID, p.Name, m.policy(p)); err != nil {
			return "", err
		}
	}
	err := m.teams(a.Services)
	return m.out.String(), err
}

// teams are those that own services. A Service of ours says how it runs, which
// PagerDuty does not know: those are named only.
func (m *move) teams(services []pagerduty.Service) error {
	seen := map[string]bool{}
	for _, s := range services {
		policy := m.name(oncall.KindEscalation, s.Policy.ID, s.Policy.Summary)
		m.note("service %s: escalation policy %s", alert.PlainName(s.Name), policy)
		for _, t := range s.Teams {
			if seen[t.ID] {
				continue
			}
			seen[t.ID] = true
			if err := m.write(catalog.KindTeam, t.ID, t.Summary, catalog.TeamSpec{Escalation: policy}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *move) policy(p pagerduty.Policy) oncall.EscalationSpec {
	out := oncall.EscalationSpec{Description: plainLine(p.Description), Repeat: min(p.Loops, 10)}
	for _, r := range p.Rules {
		step := oncall.Step{Wait: time.Duration(max(r.Minutes, 1)) * time.Minute}
		for _, t := range r.Targets {
			if strings.HasPrefix(t.Type, "schedule") {
				step.Notify = append(step.Notify, oncall.Target{Schedule: m.name(oncall.KindSchedule, t.ID, t.Summary)})
			} else {
				step.Notify = append(step.Notify, oncall.Target{Person: m.name(oncall.KindPerson, t.ID, t.Summary)})
			}
		}
		out.Steps = append(out.Steps, step)
	}
	return out
}

func (m *move) schedule(s pagerduty.Schedule) (out oncall.ScheduleSpec, err error) {
	if err := out.TimeZone.UnmarshalText([]byte(s.TimeZone)); err != nil {
		return out, err
	}
	out.Description = plainLine(s.Description)
	names := map[string]bool{}
	for _, l := range slices.Backward(s.Layers) { // ours go over the earlier ones
		layer, why, err := m.layer(l, out.TimeZone)
		if err != nil {
			return out, err
		}
		if layer.Name = cmp.Or(plainLine(l.Name), "layer"); names[layer.Name] {
			layer.Name = fmt.Sprintf("%s (%d)", layer.Name, len(names)+1)
		}
		names[layer.Name] = true
		if why != "" {
			m.note("schedule %s, layer %s: %s", s.Name, l.Name, why)
			continue
		}
		out.Layers = append(out.Layers, layer)
	}
	for _, o := range s.Overrides {
		out.Overrides = append(out.Overrides, oncall.Override{
			From: oncall.Point{Instant: o.Start.UTC()}, To: oncall.Point{Instant: o.End.UTC()}, Person: m.name(oncall.KindPerson, o.User.ID, o.User.Summary),
		})
	}
	return out, nil
}

// layer turns a rotation. why says why it is left out.
func (m *move) layer(l pagerduty.Layer, zone oncall.Zone) (out oncall.Layer, why string, err error) {
	loc, err := zone.Location()
	if err != nil {
		return out, "", err
	}
	for _, u := range l.Users {
		out.Members = append(out.Members, oncall.Member{Person: m.name(oncall.KindPerson, u.User.ID, u.User.Summary)})
	}
	hours := l.TurnSeconds / 3600
	switch {
	case len(out.Members) == 0:
		return out, "it has no members", nil
	case l.TurnSeconds <= 0 || l.TurnSeconds%3600 != 0:
		return out, fmt.Sprintf("a turn of %d seconds is no whole number of hours", l.TurnSeconds), nil
	case hours%168 == 0:
		out.Every = oncall.Length{N: int(hours / 168), Unit: oncall.Week}
	case hours%24 == 0:
		out.Every = oncall.Length{N: int(hours / 24), Unit: oncall.Day}
	default:
		out.Every = oncall.Length{N: int(hours), Unit: oncall.Hour}
	}
	// The rotation is counted from its virtual start, and holds from its start.
	first := l.VirtualStart
	if n := int64(l.Start.Sub(first) / (time.Duration(l.TurnSeconds) * time.Second)); n > 0 {
		first = first.Add(time.Duration(n*l.TurnSeconds) * time.Second)
		turned := int(n % int64(len(out.Members)))
		out.Members = slices.Concat(out.Members[turned:], out.Members[:turned])
	}
	if err := out.Start.UnmarshalText([]byte(first.In(loc).Format("2006-01-02T15:04:05"))); err != nil {
		return out, "", err
	}
	if l.End != nil {
		if err := out.End.UnmarshalText([]byte(l.End.In(loc).Format("2006-01-02T15:04:05"))); err != nil {
			return out, "", err
		}
	}
	for _, r := range l.Restrictions {
		hours, err := restriction(r)
		if err != nil {
			return out, "", err
		}
		out.Restrictions = append(out.Restrictions, hours...)
	}
	return out, "", nil
}

// restriction is hours of the week. What lasts longer than a day is one for
// each day.
func restriction(r pagerduty.Restriction) ([]oncall.Restriction, error) {
	at, err := time.Parse(time.TimeOnly, r.From)
	if err != nil {
		return nil, fmt.Errorf("a restriction begins at %q, which is no time of day", r.From)
	}
	const day = 24 * 60
	from, left := at.Hour()*60+at.Minute(), r.Seconds/60
	if r.Type != "weekly_restriction" {
		if left >= day {
			return nil, nil // all day
		}
		return []oncall.Restriction{{From: oncall.TimeOfDay(from), To: oncall.TimeOfDay((from + left) % day)}}, nil
	}
	var out []oncall.Restriction
	for weekday := r.StartDay % 7; left > 0; weekday = (weekday + 1) % 7 {
		part := min(left, day-from)
		out = append(out, oncall.Restriction{Days: []oncall.Days{1 << weekday}, From: oncall.TimeOfDay(from), To: oncall.TimeOfDay(from + part)})
		left, from = left-part, 0
	}
	return out, nil
}

func plainLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.ToValidUTF8(s[:min(len(s), 100)], "")
}
