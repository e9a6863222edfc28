package statuspage

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/status"
)

// The JSON of Statuspage's public API, version 2. What Flyball does not know of
// is null or empty, as it is there.
type jsonPage struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	URL       string    `json:"url"`
	TimeZone  string    `json:"time_zone"`
	UpdatedAt time.Time `json:"updated_at"`
}

type jsonStatus struct {
	Indicator   string `json:"indicator"` // none, minor, major, critical or maintenance
	Description string `json:"description"`
}

type jsonComponent struct {
	ID                 string       `json:"id"`
	Name               string       `json:"name"`
	Status             status.State `json:"status"`
	Position           int          `json:"position"`
	Description        *string      `json:"description"`
	Showcase           bool         `json:"showcase"`
	GroupID            *string      `json:"group_id"`
	PageID             string       `json:"page_id"`
	Group              bool         `json:"group"`
	OnlyShowIfDegraded bool         `json:"only_show_if_degraded"`
	Components         []string     `json:"components,omitempty"` // of a group
	UpdatedAt          time.Time    `json:"updated_at"`
}

type jsonUpdate struct {
	ID         string       `json:"id"`
	Status     string       `json:"status"`
	Body       string       `json:"body"`
	IncidentID string       `json:"incident_id"`
	CreatedAt  time.Time    `json:"created_at"`
	UpdatedAt  time.Time    `json:"updated_at"`
	DisplayAt  time.Time    `json:"display_at"`
	Affected   []jsonChange `json:"affected_components"`
}

type jsonChange struct {
	Code      string       `json:"code"`
	Name      string       `json:"name"`
	NewStatus status.State `json:"new_status"`
}

type jsonIncident struct {
	ID             string          `json:"id"`
	Name           string          `json:"name"`
	Status         string          `json:"status"`
	CreatedAt      time.Time       `json:"created_at"`
	UpdatedAt      time.Time       `json:"updated_at"`
	ResolvedAt     *time.Time      `json:"resolved_at"`
	Impact         string          `json:"impact"`
	Shortlink      string          `json:"shortlink"`
	StartedAt      time.Time       `json:"started_at"`
	PageID         string          `json:"page_id"`
	Updates        []jsonUpdate    `json:"incident_updates"`
	Components     []jsonComponent `json:"components"`
	ScheduledFor   *time.Time      `json:"scheduled_for,omitempty"`
	ScheduledUntil *time.Time      `json:"scheduled_until,omitempty"`
}

// indicators are the words of Statuspage for how bad it is.
var indicators = map[status.State]string{status.Operational: "none", status.Degraded: "minor", status.Partial: "major", status.Major: "critical", status.Maintained: "maintenance"}

// recentIncidents is how many Statuspage lists.
const recentIncidents = 50

// json writes what clients of Statuspage read, and the days of the bars.
func (r *renderer) json() {
	changed := r.PostedAt
	if changed.IsZero() {
		changed = r.Through
	}
	page := jsonPage{ID: r.Name, Name: r.Title, URL: r.URL, TimeZone: r.Zone.String(), UpdatedAt: changed.UTC()}
	overall := jsonStatus{indicators[r.Overall], overall(r.View)}
	components := r.components(changed)
	open, all := []jsonIncident{}, []jsonIncident{}
	for _, n := range r.all() {
		if i := r.incident(n, components); n.Open() {
			open, all = append(open, i), append(all, i)
		} else {
			all = append(all, i)
		}
	}
	all = all[:min(len(all), recentIncidents)]
	upcoming := []jsonIncident{}
	for _, w := range r.Maintenance {
		upcoming = append(upcoming, r.scheduled(w, components))
	}
	summary := map[string]any{"page": page, "status": overall, "components": components, "incidents": open, "scheduled_maintenances": upcoming}
	r.write("status.json", summary)
	r.write("api/v2/summary.json", summary)
	r.write("api/v2/status.json", map[string]any{"page": page, "status": overall})
	r.write("api/v2/components.json", map[string]any{"page": page, "components": components})
	r.write("api/v2/incidents.json", map[string]any{"page": page, "incidents": all})
	r.write("api/v2/incidents/unresolved.json", map[string]any{"page": page, "incidents": open})
	r.write("api/v2/scheduled-maintenances.json", map[string]any{"page": page, "scheduled_maintenances": upcoming})
	r.write("uptime.json", r.uptime())
}

func (r *renderer) write(path string, v any) {
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil && r.err == nil {
		r.err = err
	}
	r.files[path] = append(out, '\n')
}

// components lists groups and components, as Statuspage does: a group is one
// that has others.
func (r *renderer) components(changed time.Time) []jsonComponent {
	out := []jsonComponent{}
	for i, g := range r.Groups {
		var group *string
		at := -1
		if g.Name != "" {
			id := "group-" + strconv.Itoa(i)
			group, at = &id, len(out)
			out = append(out, jsonComponent{ID: id, Name: g.Name, Status: status.Operational, Position: len(out) + 1, PageID: r.Name, Group: true, UpdatedAt: changed.UTC()})
		}
		for _, c := range g.Components {
			x := jsonComponent{ID: c.Name, Name: c.Title, Status: c.State, Position: len(out) + 1, GroupID: group, PageID: r.Name, UpdatedAt: changed.UTC()}
			if c.Description != "" {
				x.Description = &c.Description
			}
			if at >= 0 {
				out[at].Components = append(out[at].Components, c.Name)
				out[at].Status = worse(out[at].Status, c.State)
			}
			out = append(out, x)
		}
	}
	return out
}

func worse(a, b status.State) status.State {
	order := []status.State{status.Operational, status.Maintained, status.Degraded, status.Partial, status.Major}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

func (r *renderer) incident(n status.Notice, all []jsonComponent) jsonIncident {
	last := n.Updates[len(n.Updates)-1].At.UTC()
	out := jsonIncident{ID: n.Name, Name: n.Title, Status: string(n.Phase), CreatedAt: n.StartedAt.UTC(), UpdatedAt: last, Impact: indicators[n.Impact],
		Shortlink: r.link("notices/" + n.Name + ".html"), StartedAt: n.StartedAt.UTC(), PageID: r.Name, Components: touched(n.Touched, all)}
	if !n.Open() {
		at := n.ResolvedAt.UTC()
		out.ResolvedAt = &at
	}
	for i := len(n.Updates) - 1; i >= 0; i-- {
		u := n.Updates[i]
		x := jsonUpdate{ID: n.Name + "-" + u.At.UTC().Format("20060102t150405.000000"), Status: string(u.Phase), Body: u.Text, IncidentID: n.Name,
			CreatedAt: u.At.UTC(), UpdatedAt: u.At.UTC(), DisplayAt: u.At.UTC(), Affected: []jsonChange{}}
		for _, name := range n.Touched {
			if s, ok := u.Components[name]; ok {
				c, _ := r.Component(name)
				x.Affected = append(x.Affected, jsonChange{name, c.Title, s})
			}
		}
		out.Updates = append(out.Updates, x)
	}
	return out
}

func (r *renderer) scheduled(w status.Work, all []jsonComponent) jsonIncident {
	from, to := w.From.UTC(), w.To.UTC()
	return jsonIncident{ID: w.Name, Name: w.Title, Status: w.Phase, CreatedAt: from, UpdatedAt: from, Impact: "maintenance", Shortlink: r.link("index.html"),
		StartedAt: from, PageID: r.Name, Components: touched(w.Components, all), ScheduledFor: &from, ScheduledUntil: &to,
		Updates: []jsonUpdate{{ID: w.Name + "-1", Status: w.Phase, Body: w.Text, IncidentID: w.Name, CreatedAt: from, UpdatedAt: from, DisplayAt: from, Affected: []jsonChange{}}}}
}

func touched(names []string, all []jsonComponent) []jsonComponent {
	out := []jsonComponent{}
	for _, c := range all {
		if !c.Group && slices.Contains(names, c.ID) {
			out = append(out, c)
		}
	}
	return out
}

// uptime is the days behind the bars.
func (r *renderer) uptime() any {
	type component struct {
		ID     string       `json:"id"`
		Good   int64        `json:"good"`
		Total  int64        `json:"total"`
		Target float64      `json:"target"`
		Days   []status.Day `json:"days"`
	}
	out := struct {
		Through    time.Time   `json:"through"`
		TimeZone   string      `json:"time_zone"`
		Components []component `json:"components"`
	}{r.Through.UTC(), r.Zone.String(), []component{}}
	for _, g := range r.Groups {
		for _, c := range g.Components {
			if u := c.Uptime; u != nil {
				out.Components = append(out.Components, component{c.Name, u.Good, u.Total, u.Target, u.Days})
			}
		}
	}
	return out
}
