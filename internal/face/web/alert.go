package web

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// alertPath is the address of an alert's page. Its identifier may hold anything.
func alertPath(id string) string {
	parts := strings.Split(id, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return "/alerts/" + strings.Join(parts, "/")
}

type alertListBody struct {
	Lead     string
	State    string
	Service  string
	Findings bool
	Items    []alertRow
	Next     string
	Silences []silenceRow
	May      bool // silence
}

type alertRow struct {
	alert.Alert
	Shown    string // state, as people say it
	Flapping bool
}

type silenceRow struct {
	alert.Silence
	Shown string
}

// silencesShown bounds the silences beside the list.
const silencesShown = 20

func (s *site) alertList(v *visit) (page, error) {
	q := v.URL.Query()
	b := alertListBody{State: q.Get("state"), Service: q.Get("service"), Findings: q.Get("findings") != "", May: s.may(v, "silence.create", "", "")}
	wanted := b.State
	if !q.Has("state") {
		b.State, wanted = "open", "open"
	}
	if b.State == "all" {
		wanted = ""
	}
	out, _, err := call[alert.Alerts](s, v, "alert.list", func(in any) error {
		*in.(*alert.ListInput) = alert.ListInput{State: wanted, Service: b.Service, Findings: b.Findings, After: q.Get("after"), Limit: rows}
		return nil
	})
	if err != nil {
		return page{}, err
	}
	b.Next = out.Next
	silenced := 0
	for _, a := range out.Items {
		row := alertRow{Alert: a, Shown: alertState(a), Flapping: a.Flapping(v.now)}
		if row.Shown == "silenced" {
			silenced++
		}
		b.Items = append(b.Items, row)
	}
	b.Lead = alertLead(b, silenced)
	if b.Silences, err = s.silences(v); err != nil {
		return page{}, err
	}
	return page{Template: "alerts", Title: "Alerts", Section: "incidents", Body: b, Live: "alert.,silence."}, nil
}

const rows = 50

func alertLead(b alertListBody, silenced int) string {
	if b.State != "open" || b.Findings {
		what := plural(len(b.Items), "alert", "alerts")
		if b.Findings {
			return sentence(what + " without a runbook or an owner")
		}
		return sentence(what + " on this page")
	}
	if len(b.Items) == 0 {
		return "No alert fires."
	}
	lead := plural(len(b.Items), "alert fires", "alerts fire")
	if b.Next != "" {
		lead = "More than " + lead
	}
	if silenced > 0 {
		lead += ", " + plural(silenced, "of them held back", "of them held back")
	}
	return lead + "."
}

// alertState is firing, acknowledged, silenced or resolved.
func alertState(a alert.Alert) string {
	if a.State != alert.StateResolved && len(a.Suppressed) > 0 {
		return "silenced"
	}
	return a.State
}

// silences are those that hold, or will.
func (s *site) silences(v *visit) (out []silenceRow, err error) {
	list, _, err := call[operation.Page[alert.Silence]](s, v, "silence.list", func(in any) error {
		in.(*alert.PageInput).Limit = silencesShown
		return nil
	})
	for _, x := range list.Items {
		if state := x.State(v.now); state != "expired" {
			out = append(out, silenceRow{x, state})
		}
	}
	return out, err
}

type alertBody struct {
	alert.Alert
	Lead     string
	Shown    string
	Flapping bool
	History  []happened
	Incident string // it is attached to
	Matchers []string
	MayAck   bool
	MaySnooze,
	MaySilence bool
}

// happened is one line of an alert's history.
type happened struct {
	At   time.Time
	What string // state
	By   string
	Text string
}

func (s *site) alert(v *visit) (page, error) {
	id := v.PathValue("name")
	a, _, err := call[alert.Alert](s, v, "alert.show", func(in any) error {
		in.(*alert.ShowInput).Alert = id
		return nil
	})
	if err != nil {
		return page{}, err
	}
	b := alertBody{Alert: a, Shown: alertState(a), Flapping: a.Flapping(v.now)}
	over := a.State == alert.StateResolved
	b.MayAck = !over && a.State != alert.StateAcknowledged && s.may(v, "alert.acknowledge", a.Team, a.Environment)
	b.MaySnooze = !over && s.may(v, "alert.snooze", a.Team, a.Environment)
	b.MaySilence = !over && s.may(v, "silence.create", "", "")
	for _, label := range []string{"alertname", "service", "environment", "instance"} {
		// A comma would be taken for the next matcher.
		if value := a.Labels[label]; value != "" && !strings.ContainsAny(value, ",\"\\\n") {
			b.Matchers = append(b.Matchers, label+`="`+value+`"`)
		}
	}
	b.Lead = a.Name() + ": " + alertSince(v, a)
	if b.History, err = s.alertHistory(v, a); err != nil {
		return page{}, err
	}
	b.Incident, err = v.attached(a)
	return page{Template: "alert", Title: a.Name(), Section: "incidents", Body: b, Live: "alert.,silence.,incident."}, err
}

func alertSince(v *visit, a alert.Alert) string {
	switch alertState(a) {
	case alert.StateResolved:
		return "resolved " + ago(v.now, a.ResolvedAt) + " ago, after " + span(a.ResolvedAt.Sub(a.FiredAt)) + "."
	case alert.StateAcknowledged:
		return "fires for " + ago(v.now, a.FiredAt) + ", and somebody has seen it."
	case "silenced":
		return "fires for " + ago(v.now, a.FiredAt) + ", and pages nobody meanwhile."
	}
	return "fires for " + ago(v.now, a.FiredAt) + "."
}

// historyShown bounds the lines of an alert's history.
const historyShown = 100

// alertHistory is what the log says of an alert, newest first. An objective's
// own are about the objective.
func (s *site) alertHistory(v *visit, a alert.Alert) (out []happened, err error) {
	q := event.Query{Subject: "alert/" + a.Alert, Types: []string{"alert."}, Limit: 1000}
	if a.Objective != "" {
		q.Subject = "objective/" + a.Objective
	}
	if at, ok := operation.At(v.ctx); ok {
		q.RecordedBy = at
	}
	events, err := s.o.Log.Read(v.ctx, q)
	if err != nil {
		return nil, err
	}
	for _, e := range slices.Backward(events) {
		f, err := event.Decode[alert.Fired](e)
		if err != nil || f.Alert != a.Alert {
			continue
		}
		what := strings.TrimPrefix(e.Type, "alert.")
		out = append(out, happened{At: e.Time, What: what, By: e.Actor, Text: sentence(cmp.Or(f.Reason, f.Explanation))})
		if len(out) == historyShown {
			break
		}
	}
	return out, nil
}

// attached is the newest incident that an alert is linked to.
func (v *visit) attached(a alert.Alert) (string, error) {
	list, _, err := projection.List[incident.Incident](v.ctx, v.reader, incident.ProjectionName,
		projection.Filter{Index: "service", Value: a.Service, Newest: true, Limit: 20})
	for _, i := range list {
		if slices.ContainsFunc(i.Links, func(l incident.Link) bool { return l.Alert == a.Alert }) {
			return i.Place.Incident, err
		}
	}
	return "", err
}
