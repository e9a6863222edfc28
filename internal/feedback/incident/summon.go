package incident

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
)

// page brings the incident to people when it is new to them, or worse than
// what they were told; by a team's policy it goes on until somebody answers.
// What hurts no user waits for working hours.
func (d *desk) page() {
	switch {
	case d.held():
		d.hold()
	case d.news() && d.elsewhere():
		p := Paged{Place: d.Open.Place, Severity: d.Open.Severity, Elsewhere: true, Reason: "nobody is paged from here: whoever reported it pages people itself"}
		i := d.Open.paged(p)
		d.Open = &i
		d.fact(EventPaged, p)
	case d.news() && d.Policy != "":
		d.begin()
	case d.news():
		d.call("")
	case d.Open.Escalation != nil:
		d.escalate(PageUnanswered)
	case !d.Open.SnoozedUntil.IsZero():
		d.recall()
	}
}

// elsewhere reports whether another incident tool pages people for all that
// hurts.
func (d *desk) elsewhere() bool {
	if !d.Open.Elsewhere {
		return false
	}
	for _, f := range d.Firing {
		if !f.Elsewhere {
			return false
		}
	}
	return true
}

// recall calls the team's webhooks again when a snooze is over and it still
// hurts.
func (d *desk) recall() {
	i := d.Open
	switch {
	case !i.MitigatedAt.IsZero() || i.Severity >= severityNoUser:
	case i.SnoozedUntil.After(d.now):
		d.wake(i.SnoozedUntil)
	default:
		d.call("")
	}
}

// news reports whether people must hear of the incident, or hear of it again.
func (d *desk) news() bool {
	i := d.Open
	ours := i.Elsewhere && i.Paged != 0 && !d.elsewhere() // what the other tool does not know of
	return i.Severity < severityNoUser && (i.Paged == 0 || i.Paged > i.Severity || ours) && !d.held()
}

// needs asks for who would be paged when a decision may page by a policy.
func needs(_ string, s State, now time.Time) []control.Request {
	d := desk{State: s, now: now}
	tellings, _ := d.tellings()
	var out []control.Request
	for _, t := range tellings {
		if t.person != "" {
			out = append(out, control.Request{Name: personReading(t.person), Source: oncall.SourceName, Args: oncall.Ask{Person: t.person}})
		}
	}
	if s.Policy == "" {
		return out
	}
	wanted := len(s.Pending)+len(s.Waiting) > 0
	if i := s.Open; i != nil {
		wanted = wanted || d.news() || i.Escalation != nil && i.Escalation.Live() && !now.Before(i.Escalation.Due)
	}
	if !wanted {
		return out
	}
	return append(out, control.Request{Name: oncall.SourceName, Source: oncall.SourceName, Args: oncall.Ask{Policy: s.Policy}})
}

// begin pages by the team's policy, from its first step.
func (d *desk) begin() {
	kind := PageOpened
	if d.Open.Paged != 0 {
		kind = PageWorse
	}
	i := *d.Open
	i.Escalation = &oncall.Escalation{Policy: d.Policy, Due: d.now, Turn: d.Turn}
	d.Open = &i
	d.escalate(kind)
}

// canWait is the least severity that leaves people their quiet hours.
const canWait = severityCaught

// escalate pages whoever is next, if it is time. While users are not hurt any
// more, it waits.
func (d *desk) escalate(kind string) {
	i := *d.Open
	if !i.Escalation.Live() || i.Asked == "" && (!i.MitigatedAt.IsZero() || i.Severity >= severityNoUser) {
		return
	}
	var standing oncall.Standing
	if d.standing == nil {
		d.wake(i.Escalation.Due)
		return
	}
	standing = *d.standing
	calls, ok, wake := oncall.Next(*i.Escalation, standing, i.Severity >= canWait, d.now)
	d.wake(wake)
	if !ok {
		return
	}
	if i.Escalation.Paged+len(calls.Recipients) == 0 && len(d.State.Page) > 0 {
		d.call(calls.Reason + "; the team's webhooks are called")
		return
	}
	if i.Asked != "" {
		kind = PageWanted
		calls.Reason = i.Asked + "; " + strings.TrimSuffix(calls.Reason, ": nobody has answered")
	}
	p := Paged{
		Place: i.Place, Severity: i.Severity, Webhooks: len(calls.Recipients), Reason: calls.Reason, Again: i.Again,
		Step: calls.Step, Attempt: calls.Attempt, Escalation: &calls.After,
	}
	for _, r := range calls.Recipients {
		p.People = append(p.People, r.Name)
	}
	i = i.paged(p)
	d.Open = &i
	d.fact(EventPaged, p)
	d.because("page", "escalation", i.Event, "%s: %s", i.Incident, p.Reason)
	for _, r := range calls.Recipients {
		for n, s := range r.Stages(i.Severity >= canWait) {
			m := Page{Type: kind, Contacts: s.Contacts}
			if r.Person {
				m.Person = r.Name
			}
			m.Data.Paged = &Summons{Person: r.Name, Via: r.Via, Policy: i.Escalation.Policy, Step: p.Step, Attempt: p.Attempt, Reason: p.Reason}
			id := summonID(p, r.Name)
			if n > 0 {
				id = fmt.Sprintf("%s-rule%d", id, n+1)
			}
			if s.After > 0 {
				m.Due = d.now.Add(s.After)
			}
			d.propose(id, "page "+r.Name, m)
		}
	}
}

// begins reports whether a page is the first by its policy.
func (p Paged) begins() bool { return p.Escalation.Paged == p.Webhooks }

// summonID is the same for the same page: one for each incident, severity,
// step, attempt and person.
func summonID(p Paged, name string) string {
	step := fmt.Sprintf("step%d", p.Step)
	if p.Step == 0 {
		step = "last"
	}
	return plainID(fmt.Sprintf("page-%s-sev%d%s-%s-try%d-", p.Incident, p.Severity, again(p.Again), step, p.Attempt), name)
}

// again is the part of a page's identifier that tells it from the one before
// somebody changed the course of things.
func again(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("-again%d", n)
}

// plainID is an identifier that ends with a name. It has no dots: they separate
// what is signed.
func plainID(prefix, name string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, name)
	if plain != name { // names that look alike are not one
		plain = fmt.Sprintf("%s-%x", plain[:min(len(plain), 40)], sha256.Sum256([]byte(name)))[:min(len(plain), 40)+9]
	}
	return strings.ReplaceAll(prefix, ".", "_") + plain
}

// call calls the team's webhooks, once. despite says why no policy did better.
func (d *desk) call(despite string) {
	i := *d.Open
	p := Paged{Place: i.Place, Severity: i.Severity, Webhooks: len(d.State.Page), Again: i.Again}
	kind := PageOpened
	p.Reason = fmt.Sprintf("severity %d", i.Severity)
	switch {
	case i.Elsewhere && i.Paged != 0:
		p.Reason = fmt.Sprintf("severity %d, and the other tool does not know of all that hurts", i.Severity)
	case i.Paged == i.Severity:
		kind = PageUnanswered
		p.Reason = fmt.Sprintf("severity %d: it was snoozed, and still hurts", i.Severity)
	case i.Paged != 0:
		kind = PageWorse
		p.Reason = fmt.Sprintf("severity %d, after %d", i.Severity, i.Paged)
	}
	if p.Webhooks == 0 {
		p.Reason = fmt.Sprintf("nobody is paged: team %q names no webhook", i.Team)
	}
	if despite != "" {
		p.Reason = despite
		e := *i.Escalation
		e.Done = true
		p.Escalation = &e
	}
	i = i.paged(p)
	d.Open = &i
	d.fact(EventPaged, p)
	d.because("page", "severity", i.Event, "%s: %s", i.Incident, p.Reason)
	for n, w := range d.State.Page {
		d.propose(pageID(p, n), "page team "+i.Team, Page{Type: kind, URL: w.URL, SecretEnv: w.SecretEnv, Channel: w.Channel, To: w.To})
	}
}

// propose proposes one page, with what whoever gets it must know.
func (d *desk) propose(id, reason string, p Page) {
	i := *d.Open
	p.At = d.now
	p.Data.Place, p.Data.Severity, p.Data.Title = i.Place, i.Severity, i.Title
	p.Data.BeganAt, p.Data.OpenedAt, p.Data.Runbook, p.Data.Links = i.BeganAt, i.OpenedAt, d.Runbook, bounded(i.Links)
	typ := ActionPage
	if !p.Due.IsZero() {
		typ = ActionRemind
	}
	d.plan.Actions = append(d.plan.Actions, action.Proposal{
		ID: id, Type: typ, Subject: "incident/" + i.Incident, Reason: reason + ": " + i.Title, Params: action.Params(p),
	})
}

// bounded is the beginning of the links, short enough for a message.
func bounded(links []Link) []Link {
	const most = 20
	return links[:min(len(links), most)]
}
