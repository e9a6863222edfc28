package web

import (
	"fmt"
	"strconv"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/learning/dora"
	"github.com/flyball-dev/flyball/internal/learning/paging"
)

type insightBody struct {
	Lead     string
	Known    bool
	Paging   paging.Report
	Paged    bool
	Report   dora.Report
	Numbers  []insight
	Services []string
	Service  string
	Days     int
}

// insight is one delivery number in words.
type insight struct {
	Name  string
	Means string
	dora.Number
}

// Text is the number with its unit.
func (n insight) Text() string { return n.text(n.Value) }

// Interval is the range it lies in with 95 %, empty when n is too small.
func (n insight) Interval() string {
	if n.Low == nil && n.High == nil {
		return ""
	}
	return n.text(n.Low) + " to " + n.text(n.High)
}

func (n insight) text(v *float64) string {
	switch {
	case v == nil:
		return "?"
	case n.Unit == "seconds":
		return span(seconds(*v))
	case n.Unit == "ratio":
		return percent(*v, 0)
	}
	return trim(*v, 2) + " a day"
}

func (s *site) insights(v *visit) (page, error) {
	q := v.URL.Query()
	b := insightBody{Service: q.Get("service"), Days: 90}
	if n, err := strconv.Atoi(q.Get("days")); err == nil && n > 0 && n <= 3660 {
		b.Days = n
	}
	services, err := catalog.Services(v.ctx, v.reader)
	if err != nil {
		return page{}, err
	}
	for _, c := range services {
		b.Services = append(b.Services, c.Name)
	}
	p := page{Template: "insights", Title: "Insights", Section: "insights", Live: "rollout.finished,incident."}
	if len(services) > 0 {
		b.Report, b.Known, err = call[dora.Report](s, v, "dora.show", func(in any) error {
			i := in.(*dora.ShowInput)
			i.Service, i.Days, i.Limit = b.Service, b.Days, 100
			return nil
		})
	}
	b.Numbers = insightsOf(b.Report.Numbers)
	if err != nil {
		return page{}, err
	}
	b.Paging, b.Paged, err = call[paging.Report](s, v, "paging.show", func(in any) error {
		i := in.(*paging.ShowInput)
		i.To = v.now
		i.From = v.now.AddDate(0, 0, -min(b.Days, 400))
		return nil
	})
	b.Lead = b.lead()
	p.Body = b
	return p, err
}

func insightsOf(n dora.Numbers) []insight {
	return []insight{
		{"Deployment frequency", "changes that reached everybody, per calendar day", n.DeploymentFrequency},
		{"Lead time", "median, from a change's first commit until everybody has it", n.LeadTime},
		{"Lead time from push", "median, from the push until everybody has it", n.PushLeadTime},
		{"Change fail rate", "deployments that hurt users, of those completed", n.ChangeFailRate},
		{"Caught", "taken back on evidence before everybody had it, of those begun", n.Caught},
		{"Recovery", "median time until a failed deployment no longer hurt", n.Recovery},
		{"Recovery from incidents", "median, of incidents that hurt users", n.IncidentRecovery},
		{"Rework", "unplanned deployments, of those completed", n.ReworkRate},
	}
}

func (b insightBody) lead() string {
	n := b.Report.Numbers
	if !b.Known || n.Deployments == 0 {
		return "No deployment has been completed in this time."
	}
	what := "Changes"
	if b.Service != "" {
		what = "Changes of " + b.Service
	}
	lead := fmt.Sprintf("%s reach everybody in %s %s", what, b.Report.Environment, rate(n.DeploymentFrequency))
	if n.LeadTime.Value != nil {
		lead += ", " + span(seconds(*n.LeadTime.Value)) + " after their first commit"
	}
	if n.ChangeFailRate.Value != nil {
		lead += fmt.Sprintf("; %s of them fail", share(*n.ChangeFailRate.Value))
	}
	return lead + "."
}

// rate is a frequency in words.
func rate(n dora.Number) string {
	switch {
	case n.Value == nil || *n.Value == 0:
		return "rarely"
	case *n.Value >= 1:
		return trim(*n.Value, 1) + " times a day"
	}
	return "every " + trim(1 / *n.Value, 1) + " days"
}
