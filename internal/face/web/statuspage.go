package web

import (
	"fmt"

	"github.com/flyball-dev/flyball/internal/feedback/status"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

type statusListBody struct {
	Lead     string
	Items    []status.Line
	Next     string
	Incident string // somebody wants to tell users about it
}

// statusList shows the pages that users read, with what waits for a person.
func (s *site) statusList(v *visit) (page, error) {
	b := statusListBody{Incident: v.URL.Query().Get("incident")}
	out, _, err := call[operation.Page[status.Line]](s, v, "statuspage.list", func(in any) error {
		in.(*status.ListInput).After = v.URL.Query().Get("after")
		return nil
	})
	b.Items, b.Next = out.Items, out.Next
	drafts := 0
	for _, l := range out.Items {
		drafts += l.Drafts
	}
	switch {
	case len(b.Items) == 0:
		b.Lead = "Users are told nothing yet: no status page is declared."
	case drafts == 0:
		b.Lead = "No draft waits for a person."
	default:
		b.Lead = plural(drafts, "draft waits", "drafts wait") + " for a person."
	}
	return page{Template: "statuspages", Title: "Status pages", Section: "incidents", Live: "status.,resource.", Body: b}, err
}

type statusBody struct {
	status.Sheet
	Lead     string
	May      bool
	Incident string
	Past     []status.Notice
	States   []status.State
	Phases   []status.Phase
}

// statusPage compares what users are told with what is measured, and lets who
// may put it in words.
func (s *site) statusPage(v *visit) (page, error) {
	name := v.PathValue("name")
	sheet, _, err := call[status.Sheet](s, v, "statuspage.show", func(in any) error {
		in.(*status.PageInput).Page = name
		return nil
	})
	if err != nil {
		return page{}, err
	}
	b := statusBody{Sheet: sheet, Incident: v.URL.Query().Get("incident"), States: status.States, Phases: status.Phases}
	b.May = s.may(v, "statuspage.post", sheet.Team, "")
	past, _, err := call[operation.Page[status.Notice]](s, v, "statuspage.history", func(in any) error {
		in.(*status.HistoryInput).Page, in.(*status.HistoryInput).Limit = name, 20
		return nil
	})
	for _, n := range past.Items {
		if !n.Open() {
			b.Past = append(b.Past, n)
		}
	}
	b.Lead = statusLead(sheet)
	return page{Template: "statuspage", Title: sheet.Title, Section: "incidents", Live: "status.,resource.,action.", Body: b}, err
}

func statusLead(s status.Sheet) string {
	differ := 0
	for _, c := range s.Components {
		if c.Measured && c.Seen != c.Told {
			differ++
		}
	}
	lead := fmt.Sprintf("Users are told: %s.", s.State.Words())
	if differ > 0 {
		lead += fmt.Sprintf(" %s seen in another state.", plural(differ, "component is", "components are"))
	}
	if n := len(s.Drafts); n > 0 {
		lead += " " + plural(n, "draft waits", "drafts wait") + " for you."
	}
	return lead
}
