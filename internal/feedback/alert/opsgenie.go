package alert

import (
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// DecodeOpsgenie reads a body posted to Opsgenie's /v2/alerts. Without an alias
// the alert has no key: its sender cannot name it again, and neither does the
// message, so each is an alert of its own by what it says.
func DecodeOpsgenie(data []byte) (Report, error) {
	var body struct {
		Message     string         `json:"message"`
		Alias       string         `json:"alias"`
		Description string         `json:"description"`
		Tags        []string       `json:"tags"`
		Details     map[string]any `json:"details"`
		Entity      string         `json:"entity"`
		Source      string         `json:"source"`
		Priority    string         `json:"priority"`
	}
	if err := event.Unmarshal(data, &body); err != nil {
		return Report{}, malformed("an alert of Opsgenie's API v2", err)
	}
	bad := func(format string, args ...any) (Report, error) {
		return Report{}, problem.New(problem.Invalid, "alert.take", format, args...)
	}
	switch {
	case body.Message == "":
		return bad("message is missing")
	case len([]rune(body.Message)) > 130:
		return bad("message has %d characters; at most 130", len([]rune(body.Message)))
	case len(body.Alias) > maxKey:
		return bad("alias has %d bytes; at most %d", len(body.Alias), maxKey)
	}
	switch body.Priority {
	case "", "P1", "P2", "P3", "P4", "P5":
	default:
		return bad("priority is %q; it must be P1 to P5", clip(body.Priority, 20))
	}
	r := Report{Key: body.Alias, Summary: body.Message, Severity: severityOf(first(body.Priority, "P3"))}
	r.Labels = labels("message", body.Message, "entity", body.Entity, "source", body.Source, "priority", body.Priority)
	if len(body.Tags) > 0 {
		r.Labels["tags"] = clip(strings.Join(body.Tags, ","), maxValue)
	}
	r.Annotations = details(body.Details)
	if body.Description != "" {
		r.Annotations["description"] = clip(body.Description, maxValue)
	}
	for _, name := range []string{"service", "environment", "team"} {
		if v := r.Annotations[name]; v != "" {
			r.Labels[name] = v
		}
	}
	return r, nil
}

// OpsgenieAct is a report about an alert by its alias: acknowledged or closed.
func OpsgenieAct(alias string, act Act) Report { return Report{Key: alias, Act: act} }
