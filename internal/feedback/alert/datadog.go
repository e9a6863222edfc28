package alert

import (
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// DatadogTemplate is the payload to give Datadog's webhook integration; its
// variables are Datadog's.
const DatadogTemplate = `{
  "key": "$ALERT_CYCLE_KEY",
  "monitor": "$ALERT_ID",
  "transition": "$ALERT_TRANSITION",
  "type": "$ALERT_TYPE",
  "priority": "$ALERT_PRIORITY",
  "title": "$EVENT_TITLE",
  "message": "$TEXT_ONLY_MSG",
  "tags": "$TAGS",
  "scope": "$ALERT_SCOPE",
  "hostname": "$HOSTNAME",
  "metric": "$ALERT_METRIC",
  "link": "$LINK",
  "snapshot": "$SNAPSHOT",
  "date": "$DATE"
}`

// DecodeDatadog reads what Datadog's webhook integration posts with
// DatadogTemplate. Tags become labels: name:value, else the tag's name alone.
func DecodeDatadog(data []byte) (Report, error) {
	var body struct {
		Key, Monitor, Transition, Type, Priority, Title, Message string
		Tags, Scope, Hostname, Metric, Link, Snapshot, Date      string
	}
	if err := event.Unmarshal(data, &body); err != nil {
		return Report{}, malformed("the payload in docs/alert.md, as Datadog's webhook fills it in", err)
	}
	// A variable without a value stays as it was written, or is the word null.
	value := func(s string) string {
		if s = strings.TrimSpace(s); s == "null" || strings.HasPrefix(s, "$") {
			return ""
		}
		return s
	}
	r := Report{Key: value(body.Key), Summary: value(body.Title), Severity: Ticket}
	if r.Key == "" {
		r.Key = strings.Trim(value(body.Monitor)+" "+value(body.Scope), " ")
	}
	if r.Key == "" {
		return r, problem.New(problem.Invalid, "alert.take", "neither key nor monitor is given").WithNext("give Datadog the payload in docs/alert.md")
	}
	transition := strings.ToLower(value(body.Transition))
	switch {
	case strings.HasSuffix(transition, "recovered") || transition == "" && strings.EqualFold(value(body.Type), "success"):
		r.Act = Resolve
	case strings.Contains(transition, "warn") || strings.EqualFold(value(body.Type), "warning"):
	default: // triggered, no data, renotified: what Datadog calls an error
		r.Severity = Page
	}
	if p := value(body.Priority); p != "" && r.Severity == Page {
		r.Severity = severityOf(p)
	}
	r.Labels = labels("alertname", r.Summary, "monitor", value(body.Monitor), "scope", value(body.Scope), "host", value(body.Hostname), "metric", value(body.Metric))
	for tag := range strings.SplitSeq(value(body.Tags), ",") {
		name, v, _ := strings.Cut(strings.TrimSpace(tag), ":")
		if name != "" && len(name) <= maxName && len(r.Labels) < maxLabels && r.Labels[name] == "" {
			r.Labels[name] = clip(first(v, "yes"), maxValue)
		}
	}
	if m := value(body.Message); m != "" {
		r.Annotations = map[string]string{"description": clip(m, maxValue)}
	}
	if ms, err := strconv.ParseInt(value(body.Date), 10, 64); err == nil && ms > 0 {
		r.StartsAt = time.UnixMilli(ms)
	}
	r.GeneratorURL = value(body.Link)
	r.link("Datadog", r.GeneratorURL)
	r.link("graph", value(body.Snapshot))
	return r, nil
}
