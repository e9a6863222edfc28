package slo

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// Suggestion is an objective that the metrics of an engine allow for.
type Suggestion struct {
	Objective string  `json:"objective"`
	Why       string  `json:"why"`
	Metric    string  `json:"metric"`
	Target    Decimal `json:"target"`
	// Over the days looked at:
	Days   int     `json:"days"`
	Events float64 `json:"events"`
	Ratio  float64 `json:"ratio"` // good ÷ all
	// Document is the objective in OpenSLO, ready to apply.
	Document string `json:"document"`
}

// Metrics is what Suggest asks.
type Metrics interface {
	metric.Engine
	metric.Discovery
}

// SuggestOptions bound what is looked at.
type SuggestOptions struct {
	Now   time.Time
	Days  int // back; default 7
	Limit int // suggestions; default 20
	// Source is the DataSource that the documents name; empty: none.
	Source string
}

// Suggestions are proposed objectives, those with most events first.
type Suggestions struct {
	Items []Suggestion `json:"items"`
}

// Tell is the documents, one after the other, with the reason above each: a
// file that can be applied.
func (s Suggestions) Tell() string {
	var b strings.Builder
	for i, v := range s.Items {
		if i > 0 {
			b.WriteString("---\n")
		}
		fmt.Fprintf(&b, "# %s: %s\n%s", v.Objective, strings.ReplaceAll(v.Why, "\n", " "), v.Document)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// NothingToSuggest is the answer when no metric of a source lends itself.
func NothingToSuggest(source string) error {
	return problem.New(problem.NotFound, "slo.suggest", "no metric of %s is one that an objective is usually made of", source).
		WithNext("write the queries yourself: docs/slo.md; or look further back with --days")
}

// maxSuggestedPer bounds the suggestions of one metric: its busiest services.
const maxSuggestedPer = 5

// Suggest proposes objectives for the metrics that an engine holds: those with
// most events first. It asks a few queries for each metric that it knows how to
// read, and none for others.
func Suggest(ctx context.Context, e Metrics, o SuggestOptions) ([]Suggestion, error) {
	o.Days, o.Limit = cmp.Or(o.Days, 7), cmp.Or(o.Limit, 20)
	if o.Days < 1 || o.Days > 90 || o.Limit < 1 || o.Limit > 500 {
		return nil, problem.New(problem.Invalid, "slo.suggest", "days must be 1 to 90 and limit 1 to 500")
	}
	names, _, err := e.LabelValues(ctx, metric.NameLabel, metric.Scope{From: o.Now.Add(-time.Duration(o.Days) * 24 * time.Hour), Until: o.Now, Limit: metric.MaxSeries})
	if err != nil {
		return nil, err
	}
	s := suggester{Metrics: e, o: o, taken: map[string]bool{}}
	for _, name := range names {
		if err := s.metric(ctx, name, names); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(s.out, func(a, b Suggestion) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.Objective, b.Objective))
	})
	return s.out[:min(len(s.out), o.Limit)], nil
}

// known metrics, by what they are called, and how each is read.
type knownMetric struct {
	name    *regexp.Regexp
	status  []string // labels that may hold the outcome
	bad     string   // what of it is bad
	service []string // labels that may name the service
	match   string   // besides
	what    string
}

const serverFault = "5..|5xx"

var knownMetrics = []knownMetric{
	{regexp.MustCompile(`^grpc_server_handled_total$`), []string{"grpc_code"}, "Unknown|DeadlineExceeded|Unimplemented|Internal|Unavailable|DataLoss", []string{"grpc_service", "job"}, "", "gRPC calls that did not fail by the server's fault"},
	{regexp.MustCompile(`^istio_requests_total$`), []string{"response_code"}, serverFault, []string{"destination_service_name", "destination_workload"}, `reporter="destination"`, "requests in Istio's mesh that were not answered 5xx"},
	{regexp.MustCompile(`^envoy_cluster_upstream_rq_xx$`), []string{"envoy_response_code_class"}, "5", []string{"envoy_cluster_name"}, "", "requests of Envoy to a cluster that were not answered 5xx"},
	{regexp.MustCompile(`^nginx_ingress_controller_requests$`), []string{"status"}, serverFault, []string{"ingress", "exported_service", "service"}, "", "requests through the NGINX ingress that were not answered 5xx"},
	{regexp.MustCompile(`^traefik_(service|entrypoint)_requests_total$`), []string{"code"}, serverFault, []string{"exported_service", "service", "entrypoint"}, "", "requests through Traefik that were not answered 5xx"},
	{regexp.MustCompile(`^apiserver_request_total$`), []string{"code"}, serverFault, []string{"job"}, "", "requests to the Kubernetes API that were not answered 5xx"},
	{regexp.MustCompile(`requests?(_duration_seconds|_seconds)?_(total|count)$`), []string{"code", "status", "status_code", "http_status", "http_status_code", "response_code", "http_response_status_code", "statuscode"},
		serverFault, []string{"service", "app", "job"}, "", "requests that were not answered 5xx"},
}

var (
	durationBucket = regexp.MustCompile(`^(.*_(?:duration|latency|response_time)(?:_(seconds|milliseconds|ms))?|.*_(?:request|requests|handling|response)_(seconds))_bucket$`)
	statusValue    = regexp.MustCompile(`^[1-5](\d\d|xx)?$`)
)

type suggester struct {
	Metrics
	o     SuggestOptions
	taken map[string]bool // names
	out   []Suggestion
}

// metric suggests what one metric allows for.
func (s *suggester) metric(ctx context.Context, name string, all []string) error {
	if name == "probe_success" {
		return s.probes(ctx)
	}
	if durationBucket.MatchString(name) && slices.Contains(all, strings.TrimSuffix(name, "_bucket")+"_count") {
		return s.latency(ctx, name)
	}
	for _, k := range knownMetrics {
		if k.name.MatchString(name) {
			return s.availability(ctx, name, k)
		}
	}
	return nil
}

// labelsOf tells which labels a metric's series have.
func (s *suggester) labelsOf(ctx context.Context, selector string) ([]string, error) {
	names, _, err := s.LabelNames(ctx, s.scope(selector))
	return names, err
}

func (s *suggester) scope(selector string) metric.Scope {
	return metric.Scope{Selectors: []string{selector}, From: s.o.Now.Add(-time.Duration(s.o.Days) * 24 * time.Hour), Until: s.o.Now, Limit: 1000}
}

func firstOf(wanted, have []string) string {
	for _, w := range wanted {
		if slices.Contains(have, w) {
			return w
		}
	}
	return ""
}

func (s *suggester) availability(ctx context.Context, name string, k knownMetric) error {
	labels, err := s.labelsOf(ctx, name)
	if err != nil {
		return err
	}
	status := firstOf(k.status, labels)
	if status == "" {
		return nil
	}
	if k.bad == serverFault {
		values, _, err := s.LabelValues(ctx, status, s.scope(name))
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(values, statusValue.MatchString) {
			return nil // a label of that name which holds no status
		}
	}
	service := firstOf(k.service, labels)
	groups, err := s.busiest(ctx, name, k.match, service)
	if err != nil {
		return err
	}
	for _, g := range groups {
		own := matchers(k.match, g.matcher)
		total := selector(name, own)
		bad := selector(name, matchers(own, status+`=~"`+k.bad+`"`))
		err := s.propose(ctx, proposal{
			service: g.name, name: "availability", metric: name, good: k.what, bad: bad, total: total, events: g.events,
			reason: fmt.Sprintf("%s counts requests, and its label %s says how each ended", name, status),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// latency takes the bucket next above the 95th percentile as the limit.
func (s *suggester) latency(ctx context.Context, bucket string) error {
	base := strings.TrimSuffix(bucket, "_bucket")
	labels, err := s.labelsOf(ctx, bucket)
	if err != nil {
		return err
	}
	groups, err := s.busiest(ctx, base+"_count", "", firstOf([]string{"service", "app", "job"}, labels))
	if err != nil {
		return err
	}
	for _, g := range groups {
		by := fmt.Sprintf("sum by (le) (increase(%s[%dd]))", selector(bucket, g.matcher), s.o.Days)
		p95, ok, err := s.value(ctx, "histogram_quantile(0.95, "+by+")")
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		bounds, err := s.bounds(ctx, by)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(bounds, func(b bound) bool { return b.value >= p95*(1-1e-9) })
		if at < 0 || math.IsInf(bounds[at].value, 1) {
			continue // slower than the last bucket: no limit to promise
		}
		unit := "s"
		if strings.Contains(base, "milliseconds") || strings.HasSuffix(base, "_ms") {
			unit = "ms"
		}
		// Alerts need a budget small enough to burn fast: a slower limit that nearly
		// all keep says more than one that every tenth misses.
		why := "the 95th percentile"
		if all := bounds[len(bounds)-1].count; all > 0 {
			for next := at; next < len(bounds) && !math.IsInf(bounds[next].value, 1); next++ {
				if target, _ := defensible(bounds[next].count/all, math.Inf(1)); target >= leastLatency {
					if next > at {
						why += " that leaves a target of at least " + leastLatency.Percent()
					}
					at = next
					break
				}
			}
		}
		limit := bounds[at].text
		err = s.propose(ctx, proposal{
			service: g.name, name: "latency", metric: bucket, good: "requests answered within " + limit + " " + unit,
			within: selector(bucket, matchers(g.matcher, `le="`+limit+`"`)), total: selector(base+"_count", g.matcher), events: g.events,
			reason: fmt.Sprintf("%s is a histogram of durations; %s %s is its first bound at or above %s; the percentile is %.3g %s", base, limit, unit, why, p95, unit),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

type bound struct {
	text  string
	value float64
	count float64 // observations up to it
}

// bounds are a histogram's upper bounds, in order.
func (s *suggester) bounds(ctx context.Context, by string) ([]bound, error) {
	r, err := s.Query(ctx, by, s.o.Now)
	if err != nil {
		return nil, err
	}
	var out []bound
	for _, series := range r.Series {
		text := series.Labels["le"]
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			b := bound{text: text, value: v}
			if len(series.Points) > 0 {
				b.count = series.Points[0].Value
			}
			out = append(out, b)
		}
	}
	slices.SortFunc(out, func(a, b bound) int { return cmp.Compare(a.value, b.value) })
	return out, nil
}

// probes suggests an objective for each job that the blackbox exporter probes.
func (s *suggester) probes(ctx context.Context) error {
	days := fmt.Sprintf("[%dd]", s.o.Days)
	r, err := s.Query(ctx, "sum by (job) (count_over_time(probe_success"+days+"))", s.o.Now)
	if err != nil {
		return err
	}
	for _, series := range r.Series[:min(len(r.Series), maxSuggestedPer)] {
		matcher := equals("job", series.Labels["job"])
		query := selector("probe_success", matcher)
		good, ok, err := s.value(ctx, "sum(sum_over_time("+query+days+"))")
		if err != nil {
			return err
		}
		if !ok || len(series.Points) == 0 || series.Points[0].Value <= 0 {
			continue
		}
		events := series.Points[0].Value
		o := &Objective{Indicator: Indicator{Kind: Threshold, Op: GreaterOrEqual, Threshold: One, Value: &Source{Type: "Prometheus", Query: query}}}
		s.add(o, proposal{service: series.Labels["job"], name: "probes", metric: "probe_success", good: "probes that succeed", events: events,
			reason: "probe_success is 1 when the blackbox exporter reached its target"}, good/events)
	}
	return nil
}

// group is one service of a metric, with its events.
type group struct {
	name, matcher string
	events        float64
}

// busiest are the services of a metric with most events.
func (s *suggester) busiest(ctx context.Context, name, match, label string) ([]group, error) {
	increase := fmt.Sprintf("increase(%s[%dd])", selector(name, match), s.o.Days)
	query := "sum(" + increase + ")"
	if label != "" {
		query = fmt.Sprintf("topk(%d, sum by (%s) (%s))", maxSuggestedPer, label, increase)
	}
	r, err := s.Query(ctx, query, s.o.Now)
	if err != nil {
		return nil, err
	}
	var out []group
	for _, series := range r.Series {
		if len(series.Points) == 0 || !(series.Points[0].Value > 0) {
			continue
		}
		g := group{events: series.Points[0].Value}
		if v := series.Labels[label]; label != "" && v != "" {
			g.name, g.matcher = v, equals(label, v)
		} else {
			g.name = strings.TrimSuffix(strings.TrimSuffix(name, "_total"), "_count")
		}
		out = append(out, g)
	}
	return out, nil
}

// proposal is a ratio on its way to a suggestion: bad of total, or what is
// within a limit.
type proposal struct {
	service, name, metric, good, reason string
	bad, within, total                  string
	events                              float64
}

func (s *suggester) propose(ctx context.Context, p proposal) error {
	part := cmp.Or(p.bad, p.within)
	n, ok, err := s.value(ctx, fmt.Sprintf("sum(increase(%s[%dd]))", part, s.o.Days))
	if err != nil {
		return err
	}
	if !ok {
		n = 0 // a counter of failures that is not there yet
	}
	source := func(selector string) *Source {
		return &Source{Type: "Prometheus", Ref: s.o.Source, Query: "sum(" + selector + ")"}
	}
	o := &Objective{Indicator: Indicator{Kind: Ratio, Counter: true, Total: source(p.total)}}
	ratio := n / p.events
	if p.bad != "" {
		o.Indicator.Bad, ratio = source(p.bad), 1-ratio
	} else {
		o.Indicator.Good = source(p.within)
	}
	s.add(o, p, min(max(ratio, 0), 1))
	return nil
}

// add completes an objective and keeps it as a suggestion.
func (s *suggester) add(o *Objective, p proposal, ratio float64) {
	o.Service, o.Method, o.Window, o.Weight = cmp.Or(slug(p.service), "service"), Occurrences, Days(30), One
	o.Name = o.Service + "-" + p.name // documents have names of their own, whatever their service
	for i := 2; s.taken[o.Name]; i++ {
		o.Name = fmt.Sprintf("%s-%s-%d", o.Service, p.name, i)
	}
	s.taken[o.Name] = true
	monthly := p.events / float64(s.o.Days) * 30
	var because string
	o.Target, because = defensible(ratio, monthly)
	o.Description = p.good
	o.AlertPolicies = DefaultPolicies(o.Method)
	text, err := ExportOpenSLO([]*Objective{o})
	if err != nil {
		return // cannot be: the objective is one of three plain shapes
	}
	s.out = append(s.out, Suggestion{
		Objective: o.ID(), Metric: p.metric, Target: o.Target, Days: s.o.Days, Events: p.events, Ratio: ratio, Document: string(text),
		Why: fmt.Sprintf("%s. %s: %.6g %% of %s in %d d. %s", p.reason, strings.ToUpper(p.good[:1])+p.good[1:], 100*ratio, Scaled(p.events), s.o.Days, because),
	})
}

// ladder are the targets that are proposed, the strictest first.
var ladder = []Decimal{999_900_000, 999_500_000, 999_000_000, 995_000_000, 990_000_000, 980_000_000, 950_000_000, 900_000_000}

// leastLatency is the target below which another limit is looked for.
const leastLatency = Decimal(950_000_000)

// minBudget is the fewest bad events that a proposed budget allows in a month:
// of fewer, each is an emergency.
const minBudget = 10

// defensible is the strictest target that the past would have kept with half of
// the budget to spare, and whose budget is more than a handful of events.
func defensible(ratio, monthly float64) (Decimal, string) {
	few := false
	for _, t := range ladder {
		budget := 1 - t.Float64()
		if 1-ratio > budget/2*(1+1e-9) {
			continue
		}
		if budget*monthly < minBudget*(1-1e-9) {
			few = true
			continue
		}
		because := fmt.Sprintf("%s is the strictest usual target that this keeps with half of its budget to spare: %s bad of %s in 30 d are allowed", t.Percent(), Scaled(math.Round(budget*monthly)), Scaled(math.Round(monthly)))
		if few {
			because += "; a stricter one would allow fewer than ten"
		}
		return t, because
	}
	last := ladder[len(ladder)-1]
	if few {
		return last, fmt.Sprintf("%s because of little traffic: stricter targets would allow fewer than ten bad events in 30 d", last.Percent())
	}
	return last, fmt.Sprintf("%s is more than was kept: begin here, and mend it, or promise less", last.Percent())
}

// value is a query's single value; it is not there (false) without one.
func (s *suggester) value(ctx context.Context, query string) (float64, bool, error) {
	r, err := s.Query(ctx, query, s.o.Now)
	if err != nil || len(r.Series) == 0 || len(r.Series[0].Points) == 0 {
		return 0, false, err
	}
	v := r.Series[0].Points[0].Value
	return v, !math.IsNaN(v) && !math.IsInf(v, 0), nil
}

func selector(name, matchers string) string {
	if matchers == "" {
		return name
	}
	return name + "{" + matchers + "}"
}

func matchers(list ...string) string {
	return strings.Join(slices.DeleteFunc(list, func(m string) bool { return m == "" }), ",")
}

func equals(label, value string) string { return label + "=" + strconv.Quote(value) }
