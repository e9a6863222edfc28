package query

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/flyball-dev/flyball/internal/port/metric"
)

// selector is an instant selector: its matchers in a canonical order.
type selector struct {
	matchers []*labels.Matcher
	written  []string // each matcher as text
	text     string
}

// newSelector sorts matchers and drops those written twice.
func newSelector(matchers []*labels.Matcher) selector {
	sorted := make([]*labels.Matcher, 0, len(matchers))
	for _, m := range matchers {
		sorted = append(sorted, bound(m))
	}
	slices.SortFunc(sorted, func(a, b *labels.Matcher) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Value, b.Value))
	})
	sorted = slices.CompactFunc(sorted, func(a, b *labels.Matcher) bool { return a.String() == b.String() })
	return spelled(sorted)
}

// spelled is the selector of matchers that are in order.
func spelled(matchers []*labels.Matcher) selector {
	s := selector{matchers: matchers, written: make([]string, len(matchers))}
	for i, m := range matchers {
		s.written[i] = m.String()
	}
	s.text = s.write()
	return s
}

// bound lets le="1" also find le="1.0", which is how Prometheus 3 writes it,
// and the other way round.
func bound(m *labels.Matcher) *labels.Matcher {
	if m.Name != labels.BucketLabel || m.Type != labels.MatchEqual {
		return m
	}
	v, err := strconv.ParseFloat(m.Value, 64)
	whole := strings.TrimSuffix(m.Value, ".0")
	if err != nil || strconv.FormatFloat(v, 'f', 0, 64) != whole {
		return m
	}
	return labels.MustNewMatcher(labels.MatchRegexp, m.Name, whole+`|`+whole+`\.0`)
}

var plainName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

func (s selector) write() string {
	name, parts := "", []string{}
	for i, m := range s.matchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual && name == "" && plainName.MatchString(m.Value) {
			name = m.Value
			continue
		}
		parts = append(parts, s.written[i])
	}
	if len(parts) == 0 && name != "" {
		return name
	}
	return name + "{" + strings.Join(parts, ",") + "}"
}

// metricName is the name it asks for, empty when it asks for several.
func (s selector) metricName() string {
	for _, m := range s.matchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

// matches reports whether a series is selected.
func (s selector) matches(l metric.Labels) bool {
	for _, m := range s.matchers {
		if !m.Matches(l[m.Name]) {
			return false
		}
	}
	return true
}

// covers reports whether all that other selects is selected by s: other only
// has more matchers.
func (s selector) covers(other selector) bool {
	if len(s.matchers) > len(other.matchers) {
		return false
	}
	i := 0
	for _, m := range other.written {
		if i < len(s.written) && s.written[i] == m {
			i++
		}
	}
	return i == len(s.written)
}

// request is one selector to ask the engine for, and the selectors whose series
// are among the answer's.
type request struct {
	selector selector
	serves   []selector
}

// maxTogether bounds how many selectors are asked for in one.
const maxTogether = 40

// requests are the fewest questions found for a set of selectors: one that
// selects more serves those that select less, and those that differ in the
// value of one label are asked for together.
func requests(all []selector) []request {
	slices.SortFunc(all, func(a, b selector) int {
		return cmp.Or(cmp.Compare(len(a.matchers), len(b.matchers)), cmp.Compare(a.text, b.text))
	})
	all = slices.CompactFunc(all, func(a, b selector) bool { return a.text == b.text })
	byName := map[string][]int{} // metric name → indices of requests
	var wide []request
	for _, s := range all {
		name := s.metricName()
		at := slices.IndexFunc(byName[name], func(i int) bool { return wide[i].selector.covers(s) })
		if at >= 0 {
			r := &wide[byName[name][at]]
			r.serves = append(r.serves, s)
			continue
		}
		byName[name] = append(byName[name], len(wide))
		wide = append(wide, request{s, []selector{s}})
	}
	return together(wide)
}

// together joins requests that differ only in what one label equals.
func together(all []request) []request {
	type family struct{ label, rest string }
	members := map[family][]int{}
	for i, r := range all {
		for j, m := range r.selector.matchers {
			if m.Type == labels.MatchEqual && m.Name != model.MetricNameLabel && m.Value != "" {
				f := family{m.Name, r.selector.without(j).text}
				members[f] = append(members[f], i)
			}
		}
	}
	families := make([]family, 0, len(members))
	for f, list := range members {
		if len(list) > 1 {
			families = append(families, f)
		}
	}
	slices.SortFunc(families, func(a, b family) int {
		return cmp.Or(cmp.Compare(len(members[b]), len(members[a])), cmp.Compare(a.rest, b.rest), cmp.Compare(a.label, b.label))
	})
	var out []request
	done := make([]bool, len(all))
	for _, f := range families {
		free := slices.DeleteFunc(slices.Clone(members[f]), func(i int) bool { return done[i] })
		if len(free) < 2 {
			continue
		}
		for part := range slices.Chunk(free, maxTogether) {
			out = append(out, join(all, part, f.label))
			for _, i := range part {
				done[i] = true
			}
		}
	}
	for i, r := range all {
		if !done[i] {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b request) int { return cmp.Compare(a.selector.text, b.selector.text) })
	return out
}

// without is the selector without its matcher i.
func (s selector) without(i int) selector {
	return spelled(slices.Delete(slices.Clone(s.matchers), i, i+1))
}

// join makes one request of several that differ in one label.
func join(all []request, part []int, label string) request {
	if len(part) == 1 {
		return all[part[0]]
	}
	var values []string
	var out request
	var rest []*labels.Matcher
	for _, i := range part {
		r := all[i]
		out.serves = append(out.serves, r.serves...)
		rest = rest[:0]
		for _, m := range r.selector.matchers {
			if m.Name == label && m.Type == labels.MatchEqual {
				values = append(values, regexp.QuoteMeta(m.Value))
				continue
			}
			rest = append(rest, m)
		}
	}
	either := labels.MustNewMatcher(labels.MatchRegexp, label, strings.Join(values, "|"))
	out.selector = newSelector(append(rest, either))
	return out
}
