package oncall

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// Plan is the schedules and people of plain files.
type Plan struct {
	Schedules map[string]ScheduleSpec
	People    map[string]PersonSpec
}

// Load reads schedules and people from YAML files, without a server. Documents
// of the other kinds given may stand beside them and are not looked at. The
// findings hold warnings too.
func Load(files map[string][]byte, others ...*resource.Kind) (Plan, []problem.Finding, error) {
	kinds := fileKinds()
	mine := map[string]bool{}
	for _, k := range kinds {
		mine[k.Name] = true
	}
	for _, k := range others {
		if k.APIVersion != resource.APIVersion || !mine[k.Name] {
			kinds = append(kinds, resource.Foreign(k.APIVersion, k.Name, k.Name, k.Summary, func(*resource.Checker) {}))
		}
	}
	set, findings := resource.Load(resource.NewRegistry(kinds...), files)
	if err := resource.Refuse("oncall.load", findings); err != nil {
		return Plan{}, findings, err
	}
	p := Plan{Schedules: map[string]ScheduleSpec{}, People: map[string]PersonSpec{}}
	schedules, meta := resource.Specs[ScheduleSpec](set, KindSchedule)
	for i, s := range schedules {
		p.Schedules[meta[i].Name] = s
	}
	people, meta := resource.Specs[PersonSpec](set, KindPerson)
	for i, s := range people {
		p.People[meta[i].Name] = s
	}
	return p, findings, nil
}

// fileKinds are the kinds as plain files are checked by them: teams and
// channels, which may stand in another file, are not asked for.
func fileKinds() []*resource.Kind {
	kinds := Kinds()
	for i, k := range kinds {
		switch k.Name {
		case KindSchedule:
			kinds[i] = resource.Define(k.Name, resource.Options[ScheduleSpec]{Summary: k.Summary, Validate: checkSchedule})
		case KindPerson:
			kinds[i] = resource.Define(k.Name, resource.Options[PersonSpec]{Summary: k.Summary, Validate: checkPerson})
		case KindEscalation:
			kinds[i] = resource.Define(k.Name, resource.Options[EscalationSpec]{
				Summary: k.Summary, Defaults: escalationDefaults, Validate: func(c *resource.Checker, e *EscalationSpec) { checkEscalation(c, e, false) },
			})
		}
	}
	return kinds
}

// Names lists the schedules in order.
func (p Plan) Names() []string { return slices.Sorted(maps.Keys(p.Schedules)) }

// Find is the schedule of a name; the only one when none is named.
func (p Plan) Find(name string) (ScheduleSpec, string, error) {
	if s, ok := p.Schedules[name]; ok {
		return s, name, nil
	}
	names := p.Names()
	switch {
	case len(names) == 0:
		return ScheduleSpec{}, "", problem.New(problem.NotFound, "oncall", "there is no Schedule in the file").WithNext("flyball oncall --help shows one")
	case name != "":
		return ScheduleSpec{}, "", problem.New(problem.NotFound, "oncall", "there is no Schedule named %q in the file", name).WithNext("name one of: %s", list(names))
	case len(names) > 1:
		return ScheduleSpec{}, "", problem.New(problem.Invalid, "oncall", "the file has %d schedules", len(names)).WithNext("name one with --schedule: %s", list(names))
	}
	return p.Schedules[names[0]], names[0], nil
}

func list(names []string) string {
	out := ""
	for i, n := range names {
		if i == 10 {
			return out + ", …"
		}
		if i > 0 {
			out += ", "
		}
		out += n
	}
	return out
}

// Reachable reports whether a person can be paged: once a plan declares people,
// those who have a contact; before that, everybody.
func (p Plan) Reachable(person string) bool {
	if len(p.People) == 0 {
		return true
	}
	return len(p.People[person].Contacts) > 0
}

// Declared lists the keys of what a file declares, as resource.Key makes them,
// up to the first document that is no YAML. What else is wrong with it is found
// when it is loaded.
func Declared(text string) (keys []string) {
	documents := yaml.NewDecoder(strings.NewReader(text))
	for {
		var d struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := documents.Decode(&d); err != nil {
			return keys
		}
		keys = append(keys, resource.Key(d.Kind, d.Metadata.Name))
	}
}
