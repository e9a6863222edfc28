package app

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/learning/paging"
)

// pagingDesk answers what pages teach, with what other rooms know.
func (a *App) pagingDesk() *paging.Desk {
	return &paging.Desk{Reader: a.env.Reader, Clock: a.cfg.Clock, Look: lookAtPages}
}

// lookAtPages remembers what was looked up: a report asks for the same people,
// alerts and rollouts again and again.
func lookAtPages(ctx context.Context, r projection.Reader) paging.Lookup {
	members := map[string]map[string]bool{}
	zone := zones(ctx, r)
	return paging.Lookup{
		Zone: func(person string) *time.Location { return zone(person) },
		Rule: func(c paging.Case) (rule, owner string) {
			if c.Objective != "" || c.Alert == "" {
				return c.Objective, c.Team
			}
			fired, ok, err := projection.Get[alert.Alert](ctx, r, alert.ProjectionName, c.Alert)
			if err != nil || !ok || fired.Labels["alertname"] == "" {
				return "", ""
			}
			return fired.Labels["alertname"], fired.Team
		},
		Author: func(name string) string {
			moved, ok, err := rollout.Get(ctx, r, name)
			if err != nil || !ok {
				return ""
			}
			service, err := catalog.GetService(ctx, r, moved.Service)
			if err != nil {
				return ""
			}
			return service.Team
		},
		Member: func(person, team string) bool {
			if members[team] == nil {
				members[team] = map[string]bool{}
				if t, err := catalog.GetTeam(ctx, r, team); err == nil {
					for _, m := range t.Members {
						members[team][catalog.ParseMember(m).Name] = true
					}
				}
			}
			return members[team][person]
		},
	}
}
