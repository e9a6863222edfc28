package alert

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/catalog/condition"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// mapping is the language of mappings: the request's JSON, its headers by their
// names in lower case, and the one item when Each makes several.
var mapping = condition.New(`body.title`, map[string]condition.Type{"body": condition.Any, "headers": condition.Words, "item": condition.Any})

const maxMapped = 64 // labels and annotations of a mapping, each

func validateMapping(c *resource.Checker, m *MappingSpec) {
	if m.Key == "" && len(m.Labels) == 0 {
		c.Errorf("key", "required", "a mapping says which alert it is, by key or by labels")
	}
	if m.Summary == "" {
		c.Errorf("summary", "required", "a mapping says what a person reads, such as body.title")
	}
	if len(m.Labels) > maxMapped || len(m.Annotations) > maxMapped {
		c.Errorf("labels", "range", "%d labels and %d annotations; at most %d each", len(m.Labels), len(m.Annotations), maxMapped)
	}
	for _, x := range m.expressions() {
		if err := mapping.CheckValue(x.text); err != nil {
			c.Errorf(x.path, "condition", "%s", err)
		}
	}
	if m.When != "" {
		if err := mapping.Check(m.When); err != nil {
			c.Errorf("when", "condition", "%s", err)
		}
	}
}

type expression struct{ path, text string }

// expressions are those that are given, in order of their path.
func (m MappingSpec) expressions() []expression {
	all := []expression{{"each", m.Each}, {"key", m.Key}, {"summary", m.Summary}, {"severity", m.Severity}, {"status", m.Status}, {"url", m.URL}, {"runbook", m.Runbook}}
	for _, set := range []struct {
		path string
		of   map[string]string
	}{{"labels", m.Labels}, {"annotations", m.Annotations}} {
		for _, name := range slices.Sorted(maps.Keys(set.of)) {
			all = append(all, expression{set.path + "." + name, set.of[name]})
		}
	}
	return slices.DeleteFunc(all, func(x expression) bool { return x.text == "" })
}

// Mapping reads the mapping of an integration; ok is false when it has none.
func (i *Intake) Mapping(ctx context.Context, in Integration) (m MappingSpec, ok bool, err error) {
	if in.Mapping == "" {
		return m, false, nil
	}
	m, _, err = catalog.Get[MappingSpec](ctx, i.Reader, KindMapping, in.Mapping)
	return m, err == nil, err
}

// mappingExists fails when there is no mapping of a name.
func mappingExists(ctx context.Context, r projection.Reader, name string) error {
	_, _, err := catalog.Get[MappingSpec](ctx, r, KindMapping, name)
	return err
}

// Decode reads a body as the mapping says. What it cannot be asked about is the
// sender's mistake or the mapping's, and is told; what When leaves out is none.
func (m MappingSpec) Decode(data []byte, headers map[string]string) ([]Report, error) {
	var body any
	if err := event.Unmarshal(data, &body); err != nil {
		return nil, malformed("JSON, which the mapping reads", err)
	}
	if headers == nil {
		headers = map[string]string{}
	}
	values := map[string]any{"body": body, "headers": headers, "item": nil}
	items := []any{body}
	if m.Each != "" {
		found, err := mapping.Value(m.Each, values)
		if err != nil {
			return nil, unmapped("each", err)
		}
		list, ok := found.([]any)
		if !ok {
			return nil, unmapped("each", fmt.Errorf("%s gives no list", m.Each))
		}
		if err := few(len(list)); err != nil {
			return nil, err
		}
		items = list
	}
	var out []Report
	for _, item := range items {
		values["item"] = item
		if m.When != "" {
			if wanted, err := mapping.Holds(m.When, values); err != nil {
				return nil, unmapped("when", err)
			} else if !wanted {
				continue
			}
		}
		r, err := m.one(values)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func unmapped(field string, err error) error {
	return problem.New(problem.Invalid, "alert.take", "the mapping's %s: %w", field, err).WithNext("correct the mapping, or what is sent")
}

// one reads one alert.
func (m MappingSpec) one(values map[string]any) (r Report, err error) {
	r.Labels, r.Annotations = map[string]string{}, map[string]string{}
	for _, x := range m.expressions() {
		if x.path == "each" {
			continue
		}
		found, err := mapping.Value(x.text, values)
		if err != nil {
			return r, unmapped(x.path, err)
		}
		text := textOf(found)
		set, name, nested := strings.Cut(x.path, ".")
		switch {
		case nested && text == "":
		case nested && set == "labels":
			r.Labels[name] = clip(text, maxValue)
		case nested:
			r.Annotations[name] = clip(text, maxValue)
		case x.path == "key":
			r.Key = clip(text, maxKey)
		case x.path == "summary":
			r.Summary = text
		case x.path == "severity" && text != "":
			r.Severity = severityOf(text)
		case x.path == "url":
			r.GeneratorURL = clip(text, maxReference)
			r.link("source", text)
		case x.path == "runbook":
			r.Runbook = clip(text, maxReference)
		case x.path == "status":
			if r.Act, err = actOf(text); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// textOf is a value as a person writes it; nothing for null.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	}
	return fmt.Sprint(v)
}

// actOf reads the words that senders use for where an alert stands.
func actOf(status string) (Act, error) {
	switch strings.ToLower(status) {
	case "", "firing", "trigger", "triggered", "open", "alerting", "active", "problem", "down":
		return Trigger, nil
	case "acknowledged", "acknowledge":
		return Acknowledge, nil
	case "resolved", "resolve", "ok", "closed", "recovered", "recovery", "up":
		return Resolve, nil
	}
	return Trigger, problem.New(problem.Invalid, "alert.take", "status is %q; it must be firing, acknowledged or resolved", clip(status, 40))
}
