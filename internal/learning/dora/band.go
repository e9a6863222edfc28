package dora

import (
	"bytes"
	"embed"
	"fmt"
	"math"
	"path"
	"sort"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Band says where a value lies in a published table.
type Band struct {
	Name string `json:"name"`           // elite, high, medium or low
	Set  string `json:"set"`            // which table
	Note string `json:"note,omitempty"` // when the table is not clear about the value
}

// BandSet is one published table of bands. The tables contradict each other
// and have gaps and overlaps; they are data, not code.
type BandSet struct {
	Name    string                `yaml:"name" json:"name"`
	Title   string                `yaml:"title" json:"title"`
	Source  string                `yaml:"source" json:"source"`
	Note    string                `yaml:"note" json:"note,omitempty"`
	Minimum Minimum               `yaml:"minimum" json:"minimum"`
	Metrics map[string]MetricBand `yaml:"metrics" json:"metrics"`
}

// Minimum is how many observations a band takes.
type Minimum struct {
	Deployments int `yaml:"deployments" json:"deployments"`
	Recoveries  int `yaml:"recoveries" json:"recoveries"`
}

// MetricBand is one row of a table.
type MetricBand struct {
	Better string  `yaml:"better" json:"better"` // higher or lower
	Bands  []Range `yaml:"bands" json:"bands"`   // best first
}

// Range is one cell of a table. Its ends are as written there: from and to
// include their value, above and below do not.
type Range struct {
	Name  string `yaml:"name" json:"name"`
	From  Bound  `yaml:"from" json:"from,omitzero"`
	Above Bound  `yaml:"above" json:"above,omitzero"`
	To    Bound  `yaml:"to" json:"to,omitzero"`
	Below Bound  `yaml:"below" json:"below,omitzero"`
	Text  string `yaml:"text" json:"text"` // as published
}

// Bound is a value with its unit: 5%, 1h, 1d, 1w, 1mo (30 days), or a
// frequency such as 2/d, 1/w, 1/mo.
type Bound struct {
	Set   bool
	Value float64
	Text  string
}

// MarshalText writes the bound as it was read.
func (b Bound) MarshalText() ([]byte, error) { return []byte(b.Text), nil }

// UnmarshalText reads a value with its unit.
func (b *Bound) UnmarshalText(text []byte) error {
	s := string(text)
	number, unit := strings.TrimRight(s, "%hdwmos/"), ""
	unit = s[len(number):]
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return fmt.Errorf("%q is not a bound; write 5%%, 1h, 1d, 1w, 1mo, 2/d, 1/w or 1/mo", s)
	}
	const day = 86400.0
	switch unit {
	case "%":
		v /= 100
	case "h":
		v *= 3600
	case "d":
		v *= day
	case "w":
		v *= 7 * day
	case "mo":
		v *= 30 * day
	case "/d":
	case "/w":
		v /= 7
	case "/mo":
		v /= 30
	default:
		return fmt.Errorf("%q has no unit; write 5%%, 1h, 1d, 1w, 1mo, 2/d, 1/w or 1/mo", s)
	}
	*b = Bound{Set: true, Value: v, Text: s}
	return nil
}

//go:embed bands/*.yaml
var bandFiles embed.FS

var bandSets = sync.OnceValues(func() (map[string]BandSet, error) {
	files, err := bandFiles.ReadDir("bands")
	if err != nil {
		return nil, err
	}
	out := map[string]BandSet{}
	for _, f := range files {
		text, err := bandFiles.ReadFile(path.Join("bands", f.Name()))
		if err != nil {
			return nil, err
		}
		s, err := parseBands(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		out[s.Name] = s
	}
	return out, nil
})

// metrics are those a table may have bands for.
var metrics = []string{"change_fail_rate", "deployment_frequency", "lead_time", "recovery"}

func parseBands(text []byte) (BandSet, error) {
	var s BandSet
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil {
		return s, err
	}
	if s.Name == "" || s.Minimum.Deployments < 1 || s.Minimum.Recoveries < 1 {
		return s, fmt.Errorf("a set of bands has a name and minimum numbers of deployments and recoveries")
	}
	for name, m := range s.Metrics {
		if i := sort.SearchStrings(metrics, name); i == len(metrics) || metrics[i] != name {
			return s, fmt.Errorf("%q is not one of %s", name, strings.Join(metrics, ", "))
		}
		if m.Better != "higher" && m.Better != "lower" || len(m.Bands) == 0 {
			return s, fmt.Errorf("%s: better is higher or lower, and there are bands", name)
		}
	}
	return s, nil
}

// Bands reads one of the tables.
func Bands(name string) (BandSet, error) {
	sets, err := bandSets()
	if err != nil {
		return BandSet{}, err
	}
	s, ok := sets[name]
	if !ok {
		var names []string
		for n := range sets {
			names = append(names, n)
		}
		sort.Strings(names)
		return s, problem.New(problem.Invalid, "dora.bands", "there is no set of bands named %q", name).WithNext("use one of %s", strings.Join(names, ", "))
	}
	return s, nil
}

func (r Range) holds(v float64) bool {
	return (!r.From.Set || v >= r.From.Value) && (!r.Above.Set || v > r.Above.Value) &&
		(!r.To.Set || v <= r.To.Value) && (!r.Below.Set || v < r.Below.Value)
}

// beyond reports whether a range lies wholly on the worse side of a value.
func (m MetricBand) beyond(r Range, v float64) bool {
	if m.Better == "higher" {
		return r.To.Set && r.To.Value < v || r.Below.Set && r.Below.Value <= v
	}
	return r.From.Set && r.From.Value > v || r.Above.Set && r.Above.Value >= v
}

// reaches is how far a range goes to the worse side.
func (m MetricBand) reaches(r Range) float64 {
	sign, ends := 1.0, []Bound{r.To, r.Below}
	if m.Better == "higher" {
		sign, ends = -1, []Bound{r.From, r.Above}
	}
	for _, e := range ends {
		if e.Set {
			return sign * e.Value
		}
	}
	return math.Inf(1)
}

// Classify finds the band of a value. Where bands overlap the best counts, in
// a gap between two the worse; the note says so.
func (s BandSet) Classify(metric string, v float64) *Band {
	m, ok := s.Metrics[metric]
	if !ok {
		return nil
	}
	var in []Range
	for _, r := range m.Bands {
		if r.holds(v) {
			in = append(in, r)
		}
	}
	b := &Band{Set: s.Name}
	if len(in) > 0 {
		b.Name = in[0].Name
		for _, also := range in[1:] {
			if m.reaches(also) > m.reaches(in[0]) {
				continue // "less than a day" merely includes "less than an hour"
			}
			b.Note = fmt.Sprintf("this table also calls it %s (%s)", also.Name, also.Text)
		}
		return b
	}
	for _, r := range m.Bands {
		if m.beyond(r, v) {
			b.Name = r.Name
			b.Note = fmt.Sprintf("it lies in a gap of this table; the worse neighbour is %s (%s)", r.Name, r.Text)
			return b
		}
	}
	last := m.Bands[len(m.Bands)-1]
	b.Name, b.Note = last.Name, fmt.Sprintf("it lies beyond this table, whose last band is %s (%s)", last.Name, last.Text)
	return b
}

// apply puts bands on the numbers that rest on enough.
func (s BandSet) apply(n *Numbers) {
	put := func(metric string, number *Number, observed, minimum int, of string) {
		switch {
		case number.Value == nil:
		case observed < minimum:
			number.Note = fmt.Sprintf("no band: n of %s is %d, and a band takes %d", of, observed, minimum)
		default:
			number.Band = s.Classify(metric, *number.Value)
		}
	}
	put("deployment_frequency", &n.DeploymentFrequency, n.DeploymentFrequency.N, s.Minimum.Deployments, "deployments")
	put("lead_time", &n.LeadTime, len(n.LeadTime.Of), s.Minimum.Deployments, "deployments")
	put("change_fail_rate", &n.ChangeFailRate, n.ChangeFailRate.N, s.Minimum.Deployments, "deployments")
	put("recovery", &n.Recovery, n.Recovery.N, s.Minimum.Recoveries, "recoveries")
}
