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
	e, err := a.metricsOf(to)
	if err != nil {
		return nil, err
	}
	return query.NewCounter(e), nil
}

// metricsOf is the server's own metrics store, or one somewhere else.
func (a *App) metricsOf(to feed.Connection) (slo.Metrics, error) {
	switch {
	case to.Name == feed.BuiltIn && to.URL == "" && a.ports.Metrics != nil:
		return a.ports.Metrics, nil
	case a.ports.Engine == nil || to.URL == "":
		return nil, problem.New(problem.Unavailable, "slo.source", "this server asks no metrics engines")
	}
	return a.ports.Engine(to)
}

// remoteEngine asks metrics servers somewhere else, with secrets from the
// server's environment.
func remoteEngine(c clock.Clock, version string) func(feed.Connection) (slo.Metrics, error) {
	return func(to feed.Connection) (slo.Metrics, error) {
		client, err := remote.New(remote.Config{
			URL: to.URL, BearerSecret: to.BearerSecret, User: to.User, PasswordSecret: to.PasswordSecret, Tenant: to.Tenant,
			Secret: stepSecret, Clock: c, UserAgent: "flyball/" + version,
		})
		if err != nil {
			return nil, err
		}
		return client, nil
	}
}

// checkQueries says what is wrong with the PromQL of an objective, and what of
// it can only be approximated.
func checkQueries(o *slo.Objective) []problem.Finding { return feed.Check(query.NewCounter(nil), o) }
