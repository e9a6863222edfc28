package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/face/sheet"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// reportLimit is how many objectives a report's page and files have at most:
// what an operation gives at once.
const reportLimit = 1000

type reportBody struct {
	slo.PeriodReport
	Lead     string
	In       slo.ReportInput
	Teams    []string
	Services []string
	Zones    []string
	Lines    []slo.PeriodLine // the worst first
	Missed   int
	CSV      string // address of the file
	JSON     string
	Over     bool
}

// reportZones are offered; any other can be written into the address.
var reportZones = []string{"UTC", "America/Los_Angeles", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Shanghai", "Asia/Tokyo", "Australia/Sydney", "Europe/Berlin", "Europe/London", "Europe/Vienna"}

func reportQuery(v *visit) slo.ReportInput {
	q := v.URL.Query()
	return slo.ReportInput{Service: q.Get("service"), Team: q.Get("team"), Environment: q.Get("environment"),
		Period: strings.TrimSpace(q.Get("period")), Zone: q.Get("zone"), After: q.Get("after"), Limit: reportLimit}
}

func (s *site) report(v *visit, in slo.ReportInput) (slo.PeriodReport, error) {
	r, ok, err := call[slo.PeriodReport](s, v, "slo.report", func(to any) error { *to.(*slo.ReportInput) = in; return nil })
	if !ok {
		err = problem.New(problem.NotFound, "slo.report", "this server measures no objectives")
	}
	return r, err
}

// reports is how objectives were kept over a calendar period.
func (s *site) reports(v *visit) (page, error) {
	b := reportBody{In: reportQuery(v), Zones: reportZones}
	p := page{Template: "reports", Title: "Reports", Section: "objectives"}
	services, err := catalog.Services(v.ctx, v.reader)
	if err != nil {
		return p, err
	}
	for _, c := range services {
		b.Services = append(b.Services, c.Name)
		if !slices.Contains(b.Teams, c.Team) {
			b.Teams = append(b.Teams, c.Team)
		}
	}
	slices.Sort(b.Teams)
	switch {
	case v.past:
		b.Lead = notKept
	case b.In.Service == "" && b.In.Team == "":
		b.Lead = "How well were the objectives of a team or service kept?"
		b.In.Period = v.now.UTC().Format("2006-01")
	default:
		if b.PeriodReport, err = s.report(v, b.In); err != nil {
			return p, err
		}
		b.fill(v)
	}
	p.Body = b
	return p, nil
}

// fill makes what the page says of a report.
func (b *reportBody) fill(v *visit) {
	b.In.Period, b.In.Zone = b.Period, b.Zone
	b.Lines, b.Over = b.Worst(), !b.At.Before(b.To)
	for _, l := range b.Items {
		if !l.Met {
			b.Missed++
		}
	}
	file := func(form string) string {
		q := url.Values{"service": {b.In.Service}, "team": {b.In.Team}, "environment": {b.In.Environment}, "period": {b.Period}, "zone": {b.Zone}, "after": {b.In.After}}
		for k, values := range q {
			if values[0] == "" {
				q.Del(k)
			}
		}
		return "/reports/objectives." + form + "?" + q.Encode()
	}
	b.CSV, b.JSON = file("csv"), file("json")
	b.Lead = b.lead()
}

func (b *reportBody) lead() string {
	of := "team " + b.In.Team
	if b.In.Service != "" {
		of = b.In.Service
	}
	when := periodWords(b.PeriodReport)
	n := len(b.Items)
	kept := map[bool]string{true: "kept", false: "keeps"}[b.Over]
	if b.Missed == 0 {
		return sentence(fmt.Sprintf("%s %s %s in %s", of, kept, map[bool]string{true: "its one objective", false: "all its " + plural(n, "objective", "objectives")}[n == 1], when))
	}
	missed := map[bool]string{true: "missed", false: "misses"}[b.Over]
	return sentence(fmt.Sprintf("%s %s %d of %s in %s", of, missed, b.Missed, plural(n, "objective", "objectives"), when))
}

// periodWords is a period as people say it.
func periodWords(r slo.PeriodReport) string {
	from := r.From
	if zone, err := time.LoadLocation(r.Zone); err == nil {
		from = from.In(zone)
	}
	switch name := r.Period; {
	case strings.Contains(name, "-Q"):
		return fmt.Sprintf("the %s quarter of %d", []string{"first", "second", "third", "fourth"}[(int(from.Month())-1)/3], from.Year())
	case strings.Contains(name, "-W"):
		return "the week from " + from.Format("2 January 2006")
	case len(name) == 7:
		return from.Format("January 2006")
	}
	return r.Period
}

// reportFile is a report as a file to take away.
func (s *site) reportFile(w http.ResponseWriter, r *http.Request) {
	v, err := s.visit(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	form, ok := strings.CutPrefix(r.PathValue("file"), "objectives.")
	if !ok || form != "csv" && form != "json" {
		s.fail(w, r, problem.New(problem.NotFound, "web.report", "there is no file named %q", clip(r.PathValue("file"), 60)).WithNext("reports come as objectives.csv and objectives.json"))
		return
	}
	report, err := s.report(v, reportQuery(v))
	var b bytes.Buffer
	kind := "application/json; charset=utf-8"
	if err == nil && form == "csv" {
		kind, err = "text/csv; charset=utf-8; header=present", sheet.Write(&b, report)
	} else if err == nil {
		err = json.NewEncoder(&b).Encode(report)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="objectives-%s.%s"`, report.Period, form))
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Cookie")
	// A client that went away needs no file.
	_, _ = w.Write(b.Bytes())
}
