package ingest

import (
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// pagerDuty answers as PagerDuty's Events API v2 does: 202 with the dedup_key,
// 400 for what it would refuse, 429 when there is too much of it.
func (i *Ingest) pagerDuty(w http.ResponseWriter, r *http.Request) {
	data, err := body(w, r, maxPagerDutyBody)
	var e alert.PagerDutyEvent
	if err == nil {
		e, err = alert.DecodePagerDuty(data)
	}
	var in alert.Integration
	if err == nil {
		if in, err = i.o.Intake.Authenticate(r.Context(), e.RoutingKey); problem.KindOf(err) == problem.Denied {
			err = problem.New(problem.Invalid, "ingest", "'routing_key' is not the key of an integration").WithNext("make one with flyball integration create NAME")
		}
	}
	if err == nil {
		if e.DedupKey == "" {
			e.DedupKey = strings.ToLower(rand.Text())
			e.Report.Key = e.DedupKey
		}
		err = i.take(r.Context(), in, []alert.Report{e.Report})
	}
	switch {
	case err == nil:
		answer(w, http.StatusAccepted, map[string]string{"status": "success", "message": "Event processed", "dedup_key": e.DedupKey})
	case problem.KindOf(err) == problem.Invalid:
		answer(w, api.Status(foreign(err)), map[string]any{"status": "invalid event", "message": "Event object is invalid", "errors": []string{err.Error()}})
	default:
		i.fail(w, r, err)
	}
}
