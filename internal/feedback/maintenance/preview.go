package maintenance

import (
	"context"
	"fmt"
	"strings"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

// Alert is one that fires, in short.
type Alert struct {
	Alert       string `json:"alert"`
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Urgency     string `json:"urgency"`
	What        string `json:"what"`
}

// Preview is what a window holds back, or would.
type Preview struct {
	Services   []string `json:"services" doc:"of the catalog"`
	Objectives []string `json:"objectives" doc:"whose alerts would page nobody; what happens counts against them all the same"`
	Alerts     []Alert  `json:"alerts" doc:"that fire now, at most 1000"`
	More       int      `json:"more,omitempty" doc:"alerts beyond those"`
	Warnings   []string `json:"warnings,omitempty"`
}

// Tell is the preview for people.
func (p Preview) Tell() string {
	var b strings.Builder
	section := func(what string, lines []string) {
		fmt.Fprintf(&b, "%s: %d\n", what, len(lines))
		for _, l := range lines {
			fmt.Fprintf(&b, "  %s\n", l)
		}
	}
	section("services", p.Services)
	section("objectives whose alerts would page nobody", p.Objectives)
	var alerts []string
	for _, a := range p.Alerts {
		alerts = append(alerts, fmt.Sprintf("%s in %s: %s (%s)", a.Service, a.Environment, a.What, a.Urgency))
	}
	section("alerts that fire now", alerts)
	if p.More > 0 {
		fmt.Fprintf(&b, "  and %d more\n", p.More)
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

const maxPreviewed = 1000

func (d *Desk) preview(ctx context.Context, _ operation.Caller, in PreviewInput) (Preview, error) {
	w := Window{Name: in.Window}
	if in.Window != "" {
		var err error
		if w, err = d.find(ctx, d.Reader, in.Window); err != nil {
			return Preview{}, err
		}
	} else {
		w.Spec = in.spec("preview", d.Clock.Now())
		if err := d.check(ctx, in.WhatInput, w.Spec); err != nil {
			return Preview{}, err
		}
	}
	out := Preview{Services: []string{}, Objectives: []string{}}
	services, err := catalog.Services(ctx, d.Reader)
	if err != nil {
		return out, err
	}
	for _, s := range services {
		if !w.Spec.touches(s) {
			continue
		}
		out.Services = append(out.Services, s.Name)
		out.Objectives = append(out.Objectives, d.objectives(s.Name, w.Spec)...)
	}
	if out.Alerts, err = d.Alerts(ctx, w); err != nil {
		return out, err
	}
	if n := len(out.Alerts) - maxPreviewed; n > 0 {
		out.Alerts, out.More = out.Alerts[:maxPreviewed], n
	}
	if len(services) > 1 && len(out.Services) == len(services) {
		out.Warnings = append(out.Warnings, "it covers every service there is")
	}
	return out, nil
}

// touches reports whether the window names the service or its team, and it is
// in one of the window's environments.
func (s WindowSpec) touches(svc catalog.Service) bool {
	if len(s.Services)+len(s.Teams) == 0 {
		return false
	}
	if len(s.Environments) == 0 {
		return s.Covers(svc.Name, svc.Team, "")
	}
	for _, e := range s.Environments {
		if svc.In(e) && s.Covers(svc.Name, svc.Team, e) {
			return true
		}
	}
	return false
}

// objectives are those of a service that a window holds back. One with matchers
// may hold back some of their alerts.
func (d *Desk) objectives(service string, s WindowSpec) []string {
	if len(s.Environments) == 0 {
		return d.Objectives(service, "")
	}
	var out []string
	for _, e := range s.Environments {
		out = append(out, d.Objectives(service, e)...)
	}
	return out
}
