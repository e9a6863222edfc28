package app

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// narrowed are the questions that a caller may ask whose grants cover some
// teams or environments only. Of lists they get the rows of those, of single
// things those that are theirs. What says nothing of its place is nobody's.
var narrowed = []string{
	"change.list", "change.show", "pipeline.list", "pipeline.show", "artifact.list", "artifact.show",
	"release.list", "release.show", "rollout.list", "rollout.show", "action.list",
	"service.list", "status.show", "top.list", "logs.show",
	"slo.list", "slo.show", "budget.list", "budget.show", "alert.list", "alert.show", "override.list",
	"incident.list", "incident.show", "runbook.list", "runbook.runs", "support.list",
	"postmortem.list", "postmortem.show", "action-item.list",
}

// narrow puts the filter around the operations that need it.
func (a *App) narrow(ops []operation.Operation) {
	for i, o := range ops {
		if slices.Contains(narrowed, o.Name()) {
			ops[i] = o.Narrowed(func(ctx context.Context, c operation.Caller, out any) (any, error) {
				return (&sight{app: a, caller: c, role: o.Role, teams: map[string]string{}}).of(ctx, o, out)
			})
		}
	}
}

// sight is what one caller may see, during one call.
type sight struct {
	app    *App
	caller operation.Caller
	role   operation.Role
	teams  map[string]string // by service
}

// of is an output without what the caller may not see.
func (s *sight) of(ctx context.Context, o operation.Operation, out any) (any, error) {
	v := reflect.ValueOf(out)
	if o.Noun != "status" && !v.FieldByName("Items").IsValid() {
		if s.sees(ctx, spotOf(v)) {
			return out, nil
		}
		return nil, problem.New(problem.Denied, o.Name(), "that is not of a team or environment that %s may read", s.caller.Name).
			WithNext("use a token that covers it: flyball token create --role %s", o.Role)
	}
	// Totals and the like would tell of rows that are left out: only rows stay,
	// and the place in the list.
	seen := reflect.New(v.Type()).Elem()
	for i := range v.NumField() {
		switch f := v.Type().Field(i); {
		case !f.IsExported():
		case f.Name == "Next" && f.Type.Kind() == reflect.String:
			seen.Field(i).Set(v.Field(i))
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			rows := reflect.MakeSlice(f.Type, 0, v.Field(i).Len())
			for n := range v.Field(i).Len() {
				if row := v.Field(i).Index(n); s.sees(ctx, spotOf(row)) {
					rows = reflect.Append(rows, row)
				}
			}
			seen.Field(i).Set(rows)
		}
	}
	return seen.Interface(), nil
}

// spot is where something belongs, as far as it says so.
type spot struct {
	Service     string `json:"service"`
	Team        string `json:"team"`
	Environment string `json:"environment"`
	objective   string // key of what it is about, if it says no more
}

// sees reports whether the caller's grants cover a place. The service's owner of
// today counts, not the one of then.
func (s *sight) sees(ctx context.Context, p spot) bool {
	if p.Service == "" && p.objective != "" {
		if of, err := s.app.watcher.Snapshot(p.objective); err == nil {
			p.Service, p.Environment = of.Objective.Service, of.Objective.Environment
		}
	}
	if p.Service != "" {
		team, known := s.teams[p.Service]
		if !known {
			if svc, err := catalog.GetService(ctx, s.app.env.Reader, p.Service); err == nil {
				team = svc.Team
			}
			s.teams[p.Service] = team
		}
		if team != "" {
			p.Team = team
		}
	}
	return p.Team != "" && s.caller.May(s.role, operation.Scope{Team: p.Team, Environment: p.Environment})
}

// spotOf reads the place off a row: from its own fields, those of what it is
// about, or an action's parameters.
func spotOf(v reflect.Value) spot {
	v = reflect.Indirect(v)
	if v.Kind() != reflect.Struct {
		return spot{}
	}
	p := spot{Service: textOf(v, "Service"), Team: textOf(v, "Team"), Environment: textOf(v, "Environment")}
	p.objective = textOf(v, "Objective")
	if p.Service != "" || p.Team != "" {
		return p
	}
	for _, about := range []string{"Incident", "Change", "Release", "Objective"} {
		if f := v.FieldByName(about); f.IsValid() && reflect.Indirect(f).Kind() == reflect.Struct {
			return spotOf(f)
		}
	}
	if f := v.FieldByName("Params"); f.IsValid() && f.Type() == reflect.TypeFor[json.RawMessage]() {
		// What has other parameters is nobody's.
		_ = json.Unmarshal(f.Bytes(), &p)
	}
	return p
}

func textOf(v reflect.Value, name string) string {
	if f := v.FieldByName(name); f.IsValid() && f.Kind() == reflect.String {
		return f.String()
	}
	return ""
}
