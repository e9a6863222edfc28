package incident

import (
	"fmt"
	"time"
)

// The severities. 1 is declared by people alone.
const (
	severityBurn   = 2 // users are hurt: a page-level burn, or a budget that is spent
	severityCaught = 3 // a change was taken back; few users met it, if any
	severityNoUser = 4 // an environment without users
)

// maxLinks bounds what one incident keeps; the timeline has the rest.
const maxLinks = 200

// severityOf is the severity that a signal gives an incident. users says that
// the environment is the one that users meet.
func severityOf(s Signal, users bool) int {
	switch {
	case !users:
		return severityNoUser
	case s.Kind == KindAlert && s.Page, s.Kind == KindBudget:
		return severityBurn
	}
	return severityCaught
}

// mitigated says why users are no longer hurt, or nothing while they may be:
// no page-level alert fires, and for each rollback and each spent budget that
// belongs to the incident something has come after it: a revision that serves
// everybody, or the budget itself.
func (d Desk) mitigated() string {
	i := d.Open
	if len(d.Firing) > 0 || !i.ResolvedAt.IsZero() && i.Into == nil {
		return ""
	}
	var alerts, owed int
	var fixed time.Time
	var fix Link
	for _, l := range i.Links {
		if l.Role == RoleFix && l.At.After(fixed) {
			fixed, fix = l.At, l
		}
	}
	back := map[string]time.Time{}
	for _, l := range i.Links {
		if l.Role == RoleRecovery && l.Alert == "" {
			back[l.Objective] = l.At
		}
	}
	for _, l := range i.Links {
		switch {
		case l.Role != RoleTrigger:
		case l.Kind == KindAlert || l.Kind == KindIncident:
			alerts++
		case fixed.After(l.At), l.Kind == KindBudget && back[l.Objective].After(l.At):
			owed++
		default:
			return ""
		}
	}
	switch {
	case alerts+owed == 0:
		return "" // declared by hand: only people know
	case fix.Text != "" && alerts > 0:
		return fmt.Sprintf("no alert fires any more, and %s", fix.Text)
	case fix.Text != "":
		return fix.Text
	}
	return "no alert fires any more"
}
