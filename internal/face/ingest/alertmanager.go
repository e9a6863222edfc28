package ingest

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// alertmanager mounts Alertmanager's API v2 (api/v2/openapi.yaml of
// prometheus/alertmanager), also below a key: /ingest/KEY/api/v2/… serves a
// Prometheus server that can set nothing but path_prefix.
func (i *Ingest) alertmanager() {
	for _, prefix := range []string{"", "/ingest/{key}"} {
		i.mux.HandleFunc("POST "+prefix+"/api/v2/alerts", func(w http.ResponseWriter, r *http.Request) {
			i.receive(w, r, r.PathValue("key"), maxBody, http.StatusOK, func(data []byte) ([]alert.Report, error) {
				return alert.DecodeAlertmanager(data, i.o.Clock.Now())
			})
		})
	}
	i.read("/api/v2/alerts", i.listAlerts)
	i.read("/api/v2/alerts/groups", i.listGroups)
	i.read("/api/v2/silences", i.listSilences)
	i.read("/api/v2/silence/{id}", i.showSilence)
	i.read("/api/v2/receivers", func(r *http.Request) (any, error) {
		names := []receiver{}
		for _, f := range i.o.Intake.Firing() {
			if to := (receiver{Name: receiverOf(f)}); !slices.Contains(names, to) {
				names = append(names, to)
			}
		}
		return names, nil
	})
	i.read("/api/v2/status", func(*http.Request) (any, error) { return i.status(), nil })
	i.mux.HandleFunc("POST /api/v2/silences", i.postSilence)
	i.mux.HandleFunc("DELETE /api/v2/silence/{id}", i.deleteSilence)
	for _, path := range []string{"GET /-/ready", "GET /-/healthy"} {
		i.mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("OK")) })
	}
}

// read answers a GET for whoever may read.
func (i *Ingest) read(path string, handle func(*http.Request) (any, error)) {
	i.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		caller, err := i.o.API.Caller(r)
		if err == nil && !caller.May(operation.Viewer, operation.Scope{}) {
			err = problem.New(problem.Denied, "ingest", "reading alerts needs the role viewer everywhere")
		}
		var out any
		if err == nil {
			out, err = handle(r)
		}
		if err != nil {
			i.fail(w, r, err)
			return
		}
		answer(w, http.StatusOK, out)
	})
}

type receiver struct {
	Name string `json:"name"`
}

// receiverOf is who is told: the team.
func receiverOf(f alert.Firing) string {
	if f.Team == "" {
		return "nobody"
	}
	return f.Team
}

type gettableAlert struct {
	Annotations  map[string]string `json:"annotations"`
	EndsAt       time.Time         `json:"endsAt"`
	Fingerprint  string            `json:"fingerprint"`
	Receivers    []receiver        `json:"receivers"`
	StartsAt     time.Time         `json:"startsAt"`
	Status       alertStatus       `json:"status"`
	UpdatedAt    time.Time         `json:"updatedAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
	Labels       map[string]string `json:"labels"`
}

type alertStatus struct {
	InhibitedBy []string `json:"inhibitedBy"`
	SilencedBy  []string `json:"silencedBy"`
	MutedBy     []string `json:"mutedBy"`
	State       string   `json:"state"`
}

// gettable lists what fires, as filtered by a request.
func (i *Ingest) gettable(r *http.Request) ([]alert.Firing, error) {
	q := r.URL.Query()
	var matchers []alert.Matcher
	for _, text := range q["filter"] {
		for _, one := range splitFilter(text) {
			m, err := alert.ParseMatcher(one)
			if err != nil {
				return nil, err
			}
			matchers = append(matchers, m)
		}
	}
	wanted, err := alert.Filter(matchers)
	if err != nil {
		return nil, err
	}
	list := i.o.Intake.Firing()
	return slices.DeleteFunc(list, func(f alert.Firing) bool {
		silenced := len(f.Suppressed) > 0
		return silenced && q.Get("silenced") == "false" || !silenced && q.Get("active") == "false" || !wanted(f.Labels)
	}), nil
}

// splitFilter takes the matchers out of {a="1", b=~"2,3"}.
func splitFilter(text string) []string {
	text = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "{"), "}")
	var out []string
	quoted, from := false, 0
	for n := 0; n < len(text); n++ {
		switch {
		case text[n] == '\\' && quoted:
			n++
		case text[n] == '"':
			quoted = !quoted
		case text[n] == ',' && !quoted:
			out, from = append(out, text[from:n]), n+1
		}
	}
	return append(out, text[from:])
}

func gettableOf(f alert.Firing) gettableAlert {
	out := gettableAlert{Annotations: f.Annotations, EndsAt: f.EndsAt, Fingerprint: f.Fingerprint, Receivers: []receiver{{receiverOf(f)}}, StartsAt: f.StartsAt,
		UpdatedAt: f.UpdatedAt.UTC(), GeneratorURL: f.URL, Labels: f.Labels,
		Status: alertStatus{InhibitedBy: []string{}, SilencedBy: []string{}, MutedBy: []string{}, State: "active"}}
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	if len(f.Suppressed) > 0 {
		out.Status.State = "suppressed"
		for _, by := range f.Suppressed {
			if window, ok := strings.CutPrefix(by, "maintenance/"); ok {
				out.Status.MutedBy = append(out.Status.MutedBy, window)
			} else {
				out.Status.SilencedBy = append(out.Status.SilencedBy, by)
			}
		}
	}
	return out
}

func (i *Ingest) listAlerts(r *http.Request) (any, error) {
	list, err := i.gettable(r)
	out := make([]gettableAlert, 0, len(list))
	for _, f := range list {
		out = append(out, gettableOf(f))
	}
	return out, err
}

type group struct {
	Alerts   []gettableAlert   `json:"alerts"`
	Labels   map[string]string `json:"labels"`
	Receiver receiver          `json:"receiver"`
}

// listGroups groups by where it hurts: one service in one environment is what
// people are paged for. A route may group them otherwise.
func (i *Ingest) listGroups(r *http.Request) (any, error) {
	list, err := i.gettable(r)
	out, index := []*group{}, map[[4]string]*group{}
	for _, f := range list {
		k := [4]string{f.Service, f.Environment, receiverOf(f), f.GroupKey()}
		if index[k] == nil {
			index[k] = &group{Labels: map[string]string{"service": f.Service, "environment": f.Environment}, Receiver: receiver{receiverOf(f)}}
			if k[3] != "" {
				index[k].Labels = f.Route.Group
			}
			out = append(out, index[k])
		}
		index[k].Alerts = append(index[k].Alerts, gettableOf(f))
	}
	return out, err
}

type silenceStatus struct {
	State string `json:"state"`
}

type gettableSilence struct {
	ID        string          `json:"id"`
	Status    silenceStatus   `json:"status"`
	UpdatedAt time.Time       `json:"updatedAt"`
	Comment   string          `json:"comment"`
	CreatedBy string          `json:"createdBy"`
	StartsAt  time.Time       `json:"startsAt"`
	EndsAt    time.Time       `json:"endsAt"`
	Matchers  []alert.Matcher `json:"matchers"`
}

func (i *Ingest) silence(s alert.Silence) gettableSilence {
	return gettableSilence{ID: s.ID, Status: silenceStatus{s.State(i.o.Clock.Now())}, UpdatedAt: s.UpdatedAt, Comment: s.Comment, CreatedBy: s.CreatedBy,
		StartsAt: s.StartsAt, EndsAt: s.EndsAt, Matchers: s.Matchers}
}

func (i *Ingest) listSilences(r *http.Request) (any, error) {
	list, err := i.o.Intake.Silences(r.Context())
	out := make([]gettableSilence, 0, len(list))
	for _, s := range list {
		out = append(out, i.silence(s))
	}
	return out, err
}

func (i *Ingest) showSilence(r *http.Request) (any, error) {
	list, err := i.o.Intake.Silences(r.Context())
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		if s.ID == r.PathValue("id") {
			return i.silence(s), nil
		}
	}
	return nil, problem.New(problem.NotFound, "ingest", "there is no such silence")
}

// operator is who may silence: a token with that role, whatever it is sent from.
func (i *Ingest) operator(r *http.Request) (operation.Caller, error) {
	caller, err := i.o.API.Caller(r)
	if err == nil && !caller.May(operation.Operator, operation.Scope{}) {
		err = problem.New(problem.Denied, "ingest", "a silence needs the role operator everywhere; the caller is %s", caller.Name).
			WithNext("give amtool a token: amtool --http.config.file with authorization: {credentials: TOKEN}")
	}
	return caller, err
}

func (i *Ingest) postSilence(w http.ResponseWriter, r *http.Request) {
	caller, err := i.operator(r)
	var data []byte
	if err == nil {
		data, err = body(w, r, 1<<20)
	}
	var in struct {
		ID        string    `json:"id"`
		Comment   string    `json:"comment"`
		CreatedBy string    `json:"createdBy"`
		StartsAt  time.Time `json:"startsAt"`
		EndsAt    time.Time `json:"endsAt"`
		Matchers  []struct {
			Name    string `json:"name"`
			Value   string `json:"value"`
			IsRegex bool   `json:"isRegex"`
			IsEqual *bool  `json:"isEqual"`
		} `json:"matchers"`
	}
	if err == nil {
		if err = event.Unmarshal(data, &in); err != nil {
			err = problem.New(problem.Invalid, "ingest", "the body cannot be read: %w", err).WithNext("send a silence of Alertmanager's API v2")
		}
	}
	var s alert.Silence
	if err == nil {
		s = alert.Silence{ID: in.ID, Comment: in.Comment, CreatedBy: in.CreatedBy, StartsAt: in.StartsAt, EndsAt: in.EndsAt}
		for _, m := range in.Matchers {
			s.Matchers = append(s.Matchers, alert.Matcher{Name: m.Name, Value: m.Value, IsRegex: m.IsRegex, IsEqual: m.IsEqual == nil || *m.IsEqual})
		}
		s, err = i.o.Intake.Silence(r.Context(), caller.Name, s)
	}
	if err != nil {
		i.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, map[string]string{"silenceID": s.ID})
}

func (i *Ingest) deleteSilence(w http.ResponseWriter, r *http.Request) {
	caller, err := i.operator(r)
	if err == nil {
		_, err = i.o.Intake.Expire(r.Context(), caller.Name, r.PathValue("id"))
	}
	if err != nil {
		i.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// status is what clients read a version from. There is no cluster: several
// servers share their database.
func (i *Ingest) status() any {
	return map[string]any{
		"cluster":     map[string]any{"name": "flyball", "status": "ready", "peers": []any{}},
		"config":      map[string]string{"original": "route:\n  receiver: team\n  group_by: [service, environment]\nreceivers:\n- name: team\n"},
		"uptime":      i.o.Intake.Started().UTC(),
		"versionInfo": map[string]string{"version": "0.25.0", "branch": "flyball", "revision": i.o.Version, "buildDate": "", "buildUser": "", "goVersion": ""},
	}
}
