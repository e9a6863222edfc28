package app

import (
	"github.com/flyball-dev/flyball/internal/adapter/prometheus/query"
	"github.com/flyball-dev/flyball/internal/adapter/prometheus/remote"
	"github.com/flyball-dev/flyball/internal/feedback/feed"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// counter counts on the server's own metrics store, or on one somewhere else.
func (a *App) counter(to feed.Connection) (metric.Counter, error) {
	switch {
	case to.Name == feed.BuiltIn && to.URL == "" && a.ports.Metrics != nil:
		return query.NewCounter(a.ports.Metrics), nil
	case a.ports.Counter == nil || to.Name == feed.BuiltIn:
		return nil, problem.New(problem.Unavailable, "slo.source", "this server asks no metrics engines")
	}
	return a.ports.Counter(to)
}

// remoteCounter counts on metrics servers somewhere else, with secrets from the
// server's environment.
func remoteCounter(c clock.Clock, version string) func(feed.Connection) (metric.Counter, error) {
	return func(to feed.Connection) (metric.Counter, error) {
		client, err := remote.New(remote.Config{
			URL: to.URL, BearerSecret: to.BearerSecret, User: to.User, PasswordSecret: to.PasswordSecret, Tenant: to.Tenant,
			Secret: stepSecret, Clock: c, UserAgent: "flyball/" + version,
		})
		if err != nil {
			return nil, err
		}
		return query.NewCounter(client), nil
	}
}

// checkQueries says what is wrong with the PromQL of an objective, and what of
// it can only be approximated.
func checkQueries(o *slo.Objective) []problem.Finding { return feed.Check(query.NewCounter(nil), o) }
