package web

import (
	"fmt"
	"html/template"
	"strings"
)

// tone is how a state is coloured; its word says the same.
type tone string

const (
	good   tone = "good"
	risk   tone = "risk"
	bad    tone = "bad"
	moving tone = "moving"
	idle   tone = "idle"
)

// states gives every state that a subject's words can be in its own word on
// the page and its tone.
var states = map[string]struct {
	word string
	tone tone
}{
	// rollouts
	"starting": {"starting", moving}, "shifting": {"shifting traffic", moving}, "judging": {"judging", moving},
	"promoting": {"promoting", moving}, "going back": {"going back", bad}, "finished": {"finished", idle},
	"paused": {"paused", risk}, "asked": {"waits for a person", risk},
	"promoted": {"promoted", good}, "rolled_back": {"went back", bad}, "aborted": {"taken back", risk}, "failed": {"failed", bad},
	// actions and gates
	"proposed": {"proposed", moving}, "blocked": {"blocked", risk}, "awaiting approval": {"awaits approval", risk},
	"allowed": {"allowed", good}, "running": {"running", moving}, "succeeded": {"done", good}, "rejected": {"rejected", bad},
	"superseded": {"superseded", idle},
	"pass":       {"pass", good}, "fail": {"fail", bad}, "wait": {"wait", risk}, "info": {"note", idle},
	// budgets and alerts
	"plentiful": {"plentiful", good}, "low": {"low", risk}, "exhausted": {"spent", bad},
	"page": {"pages", bad}, "ticket": {"ticket", risk}, "quiet": {"quiet", good}, "breached": {"breached", bad},
	"floored": {"too few to tell", idle}, "unknown": {"not known", idle}, "missing": {"no data", risk},
	"allow": {"goes on", good}, "slow": {"goes slower", risk}, "freeze": {"freezes", bad}, "exempt": {"passes", good},
	"kept": {"kept", good}, "missed": {"missed", bad},
	"firing": {"firing", bad}, "fired": {"fired", bad}, "silenced": {"held back", risk}, "flapping": {"comes and goes", risk}, "finding": {"incomplete", risk}, "pending": {"not yet", idle},
	// incidents
	"open": {"open", bad}, "acknowledged": {"acknowledged", risk}, "snoozed": {"snoozed", risk}, "mitigated": {"mitigated", moving}, "resolved": {"resolved", good},
	"overdue": {"overdue", bad}, "todo": {"to do", moving}, "replaced": {"replaced since", idle},
	"delivered": {"delivered", good}, "undelivered": {"not delivered", bad}, "under way": {"under way", moving},
	// postmortems and their action items
	"required": {"to be written", risk}, "draft": {"draft", moving}, "in_review": {"in review", moving}, "published": {"published", good},
	"excused": {"excused", idle}, "late": {"late", bad}, "closed": {"closed", good},
	// runs
	"waiting": {"waiting", idle}, "packing": {"packing", moving}, "success": {"passed", good}, "failure": {"failed", bad},
	"cancelled": {"cancelled", idle}, "skipped": {"skipped", idle}, "done": {"done", good}, "stopped": {"stopped", risk},
	// status pages
	"operational": {"operational", good}, "degraded_performance": {"degraded performance", risk}, "partial_outage": {"partial outage", bad},
	"major_outage": {"major outage", bad}, "under_maintenance": {"under maintenance", moving},
	"investigating": {"investigating", bad}, "identified": {"identified", risk}, "monitoring": {"monitoring", moving},
	// services
	"healthy": {"healthy", good}, "burning": {"burning budget", risk}, "frozen": {"frozen", bad}, "nothing": {"nothing runs", idle},
	"moving": {"moving", moving}, "pushed": {"pushed", moving}, "built": {"built", moving}, "hold": {"held", moving}, "on": {"went on", good}, "back": {"went back", bad},
	// delivery verdicts
	"good": {"good", good}, "caught": {"caught", risk},
	// decisions and the chain
	"same": {"same verdict", good}, "differs": {"not the same", bad}, "sound": {"sound", good}, "ok": {"done", good},
	"nobody": {"nobody", bad}, "active": {"active", risk}, "expired": {"over", idle}, "revoked": {"revoked", idle},
}

func lookup(s any) (string, tone) {
	key := fmt.Sprint(s)
	if known, ok := states[key]; ok {
		return known.word, known.tone
	}
	return key, idle
}

// word is the state's word on the page.
func word(s any) string {
	w, _ := lookup(s)
	return w
}

// state is a state as word, icon and colour.
func state(s any) template.HTML {
	w, t := lookup(s)
	if w == "" {
		return ""
	}
	return template.HTML(`<span class="state ` + string(t) + `">` + string(icon(t)) + template.HTMLEscapeString(w) + `</span>`)
}

// shapes differ in outline, so that no state depends on its colour.
var shapes = map[tone]string{
	good:   `<circle cx="8" cy="8" r="6.25"/><path class="cut" d="M5 8.3l2.1 2.1L11.2 6"/>`,
	risk:   `<path d="M8 1.6l6.7 12H1.3z"/><path class="cut" d="M8 6v3.6M8 11.4v.4"/>`,
	bad:    `<path d="M5.2 1.5h5.6l3.7 3.7v5.6l-3.7 3.7H5.2l-3.7-3.7V5.2z"/><path class="cut" d="M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8"/>`,
	moving: `<circle cx="8" cy="8" r="6.25"/><path class="cut" d="M5 8h5.4M8.2 5.6L10.6 8l-2.4 2.4"/>`,
	idle:   `<circle class="ring" cx="8" cy="8" r="5.4"/>`,
}

func icon(t tone) template.HTML {
	return template.HTML(`<svg class="icon" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">` + shapes[t] + `</svg>`)
}

// subjectLink is the page of what an event is about, empty without one.
func subjectLink(subject string) string {
	kind, name, ok := strings.Cut(subject, "/")
	if !ok || name == "" {
		return ""
	}
	paths := map[string]string{
		"rollout": "/rollouts/", "change": "/changes/", "incident": "/incidents/", "objective": "/objectives/",
		"service": "/services/", "alert": "/alerts/", "pipeline": "/pipelines/", "release": "/why/release/",
	}
	if kind == "override" {
		service, _, _ := strings.Cut(name, ".")
		return "/services/" + service
	}
	if p, ok := paths[kind]; ok && (kind == "release" || !strings.Contains(name, "/")) {
		return p + name
	}
	return ""
}
