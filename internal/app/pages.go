package app

import (
	"context"

	"github.com/flyball-dev/flyball/internal/adapter/git"
	siteadapter "github.com/flyball-dev/flyball/internal/adapter/site"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/statuspage"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/status"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/site"
)

// pages is the desk of status pages.
func (a *App) pages() *status.Pages {
	p := &status.Pages{Log: a.log, Reader: a.env.Reader, Clock: a.cfg.Clock, Sync: a.sync, Objectives: a.watcher, Render: statuspage.Render,
		Key: a.cfg.ActKey, Mail: &channel.Post{Reader: a.env.Reader, Notifier: a.ports.Notifier, Clock: a.cfg.Clock}}
	a.env.Sources[status.SourceName] = p.Source
	return p
}

// publishing is what is done for status pages: they are written to where they
// are served from, and subscribers are told.
func (a *App) publishing() []control.Type {
	host := a.ports.Sites
	if host == nil {
		host = nowhere{}
	}
	return []control.Type{status.PublishType(a.parts.pages.Files, host), a.parts.pages.TellType()}
}

// nowhere is the host of a server that cannot publish.
type nowhere struct{}

func (nowhere) Publish(context.Context, site.Target, site.Files) (site.Receipt, error) {
	return site.Receipt{}, problem.New(problem.Invalid, "site.publish", "this server cannot publish pages")
}

// sites are the hosts of pages, by kind.
func sites(c clock.Clock) site.Host {
	return site.Hosts{Directory: siteadapter.Directory{}, Repository: git.Site{Clock: c}, Address: siteadapter.NewPut(c, nil)}
}

// pageServer serves status pages to everybody.
func (a *App) pageServer(f *api.API) *statuspage.Server {
	return statuspage.New(statuspage.Options{API: f, Pages: a.parts.pages, Clock: a.cfg.Clock})
}
