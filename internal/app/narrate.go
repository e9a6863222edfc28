package app

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// untold are the facts that say how something was done rather than that it was.
var untold = []string{
	"decision.", "operation.", "resource.", "access.", "rollout.judged", "run.step_started", "run.job_started", "run.job_finished",
	"action.proposed", "action.started", "action.superseded", "action.succeeded",
}

// narrate writes a line for each fact that is recorded after a position, until
// ctx is done.
func narrate(ctx context.Context, log event.Log, after int64, w io.Writer) {
	for {
		events, err := log.Read(ctx, event.Query{After: after, Limit: 1000})
		if err != nil {
			return // ctx is done, or the store is closed: the server ends too
		}
		for _, e := range events {
			after = e.Position
			if text := narrated(e); text != "" {
				fmt.Fprintln(w, text)
			}
		}
		if len(events) == 0 && log.Wait(ctx, after) != nil {
			return
		}
	}
}

// narration is the part of any fact that reads well.
type narration struct {
	Title       string `json:"title"`
	Explanation string `json:"explanation"`
	Reason      string `json:"reason"`
	Error       string `json:"error"`
	Phase       string `json:"phase"`
	Outcome     string `json:"outcome"`
	Job         string `json:"job"`
	Name        string `json:"name"`
	Level       string `json:"level"`
	Revision    string `json:"revision"`
	Weight      int    `json:"weight"`
	Commits     []struct {
		Subject string `json:"subject"`
		Author  string `json:"author"`
	} `json:"commits"`
}

// narrated is one fact in a line, empty for one that is not worth it.
func narrated(e event.Event) string {
	if event.Matches(untold, e.Type) {
		return ""
	}
	d, _ := event.Decode[narration](e) // what has other fields is told by its type
	var parts []string
	switch {
	case e.Type == "action.gated" && d.Reason == "", strings.HasPrefix(d.Reason, "nothing gates "):
		return ""
	case e.Type == "rollout.stepped":
		parts = append(parts, fmt.Sprintf("%s gets %g %%", d.Revision, float64(d.Weight)/100))
	case len(d.Commits) > 0:
		parts = append(parts, fmt.Sprintf("%q by %s", d.Commits[0].Subject, d.Commits[0].Author))
	default:
		parts = append(parts, strings.TrimSpace(d.Job+" "+d.Name), cmp.Or(d.Outcome, d.Phase, d.Level), cmp.Or(d.Title, d.Explanation, d.Error, d.Reason))
	}
	line := fmt.Sprintf("%s  %-22s %s", e.Recorded.Local().Format("15:04:05"), e.Type, e.Subject)
	for _, p := range parts {
		if p != "" {
			line += "  " + oneLine(p)
		}
	}
	return line
}

// oneLine keeps what programs and people wrote from moving the cursor.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 300 {
		return string(r[:300]) + "…"
	}
	return s
}
