package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// placeRow is one service in one environment.
type placeRow struct {
	Service     catalog.Service
	Environment string
	Place       release.Place
	Moving      *rollout.Rollout
	Worst       *slo.Snapshot // objective with the least budget
	Objectives  []slo.Snapshot
	Blocked     *action.Action
	State       string
}

type serviceListBody struct {
	Lead  string
	Q     string
	Team  string
	Teams []string
	Rows  []placeRow
	Pages pages
}

// pages is a place in a list that is held in memory.
type pages struct {
	Number, Last int // from 1
	Total        int
}

// slicePage is one page of a list, by the query's page.
func slicePage[T any](v *visit, all []T) ([]T, pages) {
	n := 1
	// What is no number is the first page.
	_, _ = fmt.Sscanf(v.URL.Query().Get("page"), "%d", &n)
	p := pages{Total: len(all), Last: max(1, (len(all)+pageSize-1)/pageSize)}
	p.Number = min(max(n, 1), p.Last)
	from := (p.Number - 1) * pageSize
	return all[from:min(from+pageSize, len(all))], p
}

// Before and After are the neighbouring pages' numbers, empty without one.
func (p pages) Before() string { return pageNumber(p.Number-1, p.Last) }

// After is the number of the page after this one.
func (p pages) After() string { return pageNumber(p.Number+1, p.Last) }

func pageNumber(n, last int) string {
	if n < 1 || n > last {
		return ""
	}
	return fmt.Sprint(n)
}

func (s *site) serviceList(v *visit) (page, error) {
	b := serviceListBody{Q: strings.TrimSpace(v.URL.Query().Get("q")), Team: v.URL.Query().Get("team")}
	services, err := catalog.Services(v.ctx, v.reader)
	if err != nil {
		return page{}, err
	}
	var chosen []catalog.Service
	for _, c := range services {
		if !slices.Contains(b.Teams, c.Team) {
			b.Teams = append(b.Teams, c.Team)
		}
		if (b.Team == "" || c.Team == b.Team) && contains(b.Q, c.Name, c.Team, c.Description) {
			chosen = append(chosen, c)
		}
	}
	slices.Sort(b.Teams)
	shown, pages := slicePage(v, chosen)
	b.Pages = pages
	for _, c := range shown {
		rows, err := s.places(v, c)
		if err != nil {
			return page{}, err
		}
		b.Rows = append(b.Rows, rows...)
	}
	b.Lead = plural(len(services), "service", "services") + ", " + plural(len(b.Teams), "team", "teams") + "."
	if len(chosen) != len(services) {
		b.Lead = fmt.Sprintf("%d of %s.", len(chosen), plural(len(services), "service", "services"))
	}
	if len(services) == 0 {
		b.Lead = "No service is declared yet."
	}
	return page{Template: "services", Title: "Services", Section: "services", Body: b, Every: 30, Live: "rollout.,resource.,budget.,alert."}, nil
}

// contains reports whether any of the texts holds q, whatever the case.
func contains(q string, texts ...string) bool {
	q = strings.ToLower(q)
	return q == "" || slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), q) })
}

// places is how a service stands in each of its environments.
func (s *site) places(v *visit, c catalog.Service) ([]placeRow, error) {
	environments, err := catalog.Environments(v.ctx, v.reader)
	if err != nil {
		return nil, err
	}
	var out []placeRow
	for _, e := range environments {
		if !c.In(e.Name) {
			continue
		}
		row := placeRow{Service: c, Environment: e.Name, Objectives: s.snapshots(v, c.Name, e.Name)}
		if row.Place, err = release.GetPlace(v.ctx, v.reader, c.Name, e.Name); err != nil {
			return nil, err
		}
		if row.Place.Moving != "" {
			r, ok, err := rollout.Get(v.ctx, v.reader, row.Place.Moving)
			if err != nil {
				return nil, err
			}
			if ok {
				row.Moving = &r
			}
		}
		row.Blocked, err = v.blocked(c.Name, e.Name)
		if err != nil {
			return nil, err
		}
		row.judge()
		out = append(out, row)
	}
	return out, nil
}

// blocked is the release that waits at the gate of a place, if any.
func (v *visit) blocked(service, environment string) (*action.Action, error) {
	list, err := v.actions("slot", "deploy/"+release.PlaceKey(service, environment))
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

func (r *placeRow) judge() {
	for i := range r.Objectives {
		if r.Worst == nil || r.Objectives[i].Budget.RemainingRatio < r.Worst.Budget.RemainingRatio {
			r.Worst = &r.Objectives[i]
		}
	}
	r.State = "healthy"
	switch {
	case r.Blocked != nil && r.Blocked.Phase != action.Proposed:
		r.State = string(r.Blocked.Phase)
	case r.Moving != nil:
		r.State = rolloutState(*r.Moving)
	case slices.ContainsFunc(r.Objectives, hurts):
		r.State = "burning"
	case r.Place.Stable == nil:
		r.State = "nothing"
	}
}

type serviceBody struct {
	catalog.Service
	Lead      string
	Places    []placeRow
	Main      string // environment whose indicator is drawn
	Indicator chart
	Traffic   chart
	DependsOn []dependency
	Incidents []incident.Incident
	Changes   []changeRow
}

type dependency struct {
	Name   string
	Known  bool
	Places []placeRow
}

func (s *site) service(v *visit) (page, error) {
	name := v.PathValue("name")
	c, err := catalog.GetService(v.ctx, v.reader, name)
	if err != nil {
		return page{}, err
	}
	b := serviceBody{Service: c}
	if b.Places, err = s.places(v, c); err != nil {
		return page{}, err
	}
	for _, d := range c.DependsOn {
		dep := dependency{Name: d}
		if other, err := catalog.GetService(v.ctx, v.reader, d); err == nil {
			dep.Known = true
			if dep.Places, err = s.places(v, other); err != nil {
				return page{}, err
			}
		}
		b.DependsOn = append(b.DependsOn, dep)
	}
	if b.Incidents, _, err = projection.List[incident.Incident](v.ctx, v.reader, incident.ProjectionName,
		projection.Filter{Index: "service", Value: name, Newest: true, Limit: 5}); err != nil {
		return page{}, err
	}
	changes, _, err := projection.List[change.Change](v.ctx, v.reader, change.ProjectionName, projection.Filter{Index: "service", Value: name, Newest: true, Limit: 10})
	if err != nil {
		return page{}, err
	}
	if b.Changes, err = v.changeRows(changes); err != nil {
		return page{}, err
	}
	if err := s.indicator(v, &b); err != nil {
		return page{}, err
	}
	b.Lead = b.lead()
	return page{Template: "service", Title: name, Section: "services", Body: b, Charts: true, Every: 30,
		Live: "rollout.,change.,incident.,budget.,alert.,action.gated,resource.,pipeline.ended"}, nil
}

// lead says how the service stands where its users are.
func (b serviceBody) lead() string {
	if len(b.Places) == 0 {
		return b.Name + " goes to no environment yet."
	}
	p := b.Places[len(b.Places)-1]
	var parts []string
	if p.Place.Stable == nil {
		parts = append(parts, "nothing of "+b.Name+" runs in "+p.Environment+" yet")
	} else {
		parts = append(parts, fmt.Sprintf("%s runs %s in %s", b.Name, short(p.Place.Stable.Revision), p.Environment))
	}
	if p.Moving != nil && p.Moving.Weight > 0 {
		parts = append(parts, fmt.Sprintf("%s has %s of the traffic", short(p.Moving.Revision), points(p.Moving.Weight)))
	}
	if p.Worst != nil {
		parts = append(parts, fmt.Sprintf("%s of the %s budget is left", share(p.Worst.Budget.RemainingRatio), p.Worst.Objective.Name))
	}
	lead := strings.Join(parts, ", ")
	if !strings.HasPrefix(lead, b.Name) {
		return sentence(lead)
	}
	return lead + "."
}

// tally is what a service received in a span of time.
type tally struct{ Bad, Total int64 }

// shown is how far back a service's indicator is drawn.
const shown = 24 * time.Hour

// indicator draws the service's traffic and failures where its users are, with
// what was rolled out as marks.
func (s *site) indicator(v *visit, b *serviceBody) error {
	if len(b.Places) == 0 || s.o.Signals == nil || v.past {
		return nil
	}
	b.Main = b.Places[len(b.Places)-1].Environment
	minutes, err := s.o.Signals.Minutes(v.ctx, b.Name, b.Main, v.now.Add(-shown), v.now)
	if err != nil || len(minutes) == 0 {
		return err
	}
	// Some 240 points, whatever there is of the day.
	width := max(time.Minute, v.now.Sub(minutes[0].Time)/240).Truncate(time.Minute)
	sums := map[int64]tally{}
	for _, m := range minutes {
		k := m.Time.Truncate(width).Unix()
		t := sums[k]
		t.Total += m.Requests
		t.Bad += m.Bad
		sums[k] = t
	}
	zero := 0.0
	b.Indicator = chart{ID: "indicator", Title: "Failed requests in " + b.Main, Unit: "%", Min: &zero,
		Caption: "share of requests that failed, over the last day, with rollouts as marks", Series: []series{{Name: "failed", Kind: "area", Tone: "accent"}}}
	b.Traffic = chart{ID: "traffic", Title: "Requests per second", Min: &zero, Caption: "requests per second over the last day", Series: []series{{Name: "requests", Kind: "area", Tone: "idle"}}}
	end := v.now.Truncate(width)
	for at := minutes[0].Time.Truncate(width); at.Before(end); at = at.Add(width) {
		t := sums[at.Unix()]
		b.Indicator.Times, b.Traffic.Times = append(b.Indicator.Times, at), append(b.Traffic.Times, at)
		var failed *float64
		if t.Total > 0 {
			failed = value(100 * float64(t.Bad) / float64(t.Total))
		}
		b.Indicator.Series[0].Values = append(b.Indicator.Series[0].Values, failed)
		b.Traffic.Series[0].Values = append(b.Traffic.Series[0].Values, value(float64(t.Total)/width.Seconds()))
	}
	// The axis goes on to now, for what has just begun.
	for _, c := range []*chart{&b.Indicator, &b.Traffic} {
		c.Times, c.Series[0].Values = append(c.Times, v.now), append(c.Series[0].Values, nil)
	}
	if a := b.Objectives.Availability; a != 0 {
		b.Indicator.Lines = []line{{Name: "objective " + percent(a.Ratio(), 2), At: 100 - float64(a), Tone: "bad"}}
	}
	if b.Indicator.Marks, err = v.marks(b.Name, b.Main, v.now.Add(-shown)); err != nil {
		return err
	}
	b.Traffic.Marks = b.Indicator.Marks
	return nil
}

// marks are the rollouts of a place since a moment, for a chart.
func (v *visit) marks(service, environment string, since time.Time) ([]mark, error) {
	list, _, err := projection.List[rollout.Rollout](v.ctx, v.reader, rollout.ProjectionName, projection.Filter{Index: "place", Value: service + "." + environment, Newest: true, Limit: 50})
	var out []mark
	for _, r := range list {
		if r.StartedAt.Before(since) {
			break
		}
		state := rolloutState(r)
		w, t := lookup(state)
		out = append(out, mark{Name: short(r.Revision) + " " + w, Time: r.StartedAt, Tone: t, Href: "/rollouts/" + r.Rollout})
	}
	return out, err
}
