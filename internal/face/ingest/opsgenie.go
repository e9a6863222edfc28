package ingest

import (
	"crypto/rand"
	"net/http"

	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// opsgenie mounts the part of Opsgenie's alert API that senders use. Alerts are
// named by their alias.
func (i *Ingest) opsgenie() {
	i.mux.HandleFunc("POST /v2/alerts", func(w http.ResponseWriter, r *http.Request) {
		i.genie(w, r, func(data []byte) (alert.Report, error) {
			report, err := alert.DecodeOpsgenie(data)
			if err == nil && report.Key == "" {
				report.Key = rand.Text() // as with Opsgenie, an alert without alias is always a new one
			}
			return report, err
		})
	})
	for path, act := range map[string]alert.Act{"close": alert.Resolve, "acknowledge": alert.Acknowledge} {
		i.mux.HandleFunc("POST /v2/alerts/{alias}/"+path, func(w http.ResponseWriter, r *http.Request) {
			i.genie(w, r, func([]byte) (alert.Report, error) {
				if by := r.URL.Query().Get("identifierType"); by != "alias" {
					return alert.Report{}, problem.New(problem.Invalid, "ingest", "identifierType is %q; alerts are named by alias here", by).
						WithNext("add ?identifierType=alias")
				}
				return alert.OpsgenieAct(r.PathValue("alias"), act), nil
			})
		})
	}
}

func (i *Ingest) genie(w http.ResponseWriter, r *http.Request, decode func([]byte) (alert.Report, error)) {
	in, err := i.sender(r, "")
	var data []byte
	if err == nil {
		data, err = body(w, r, maxPagerDutyBody)
	}
	var report alert.Report
	if err == nil {
		report, err = decode(data)
	}
	if err == nil {
		err = i.take(r.Context(), in, []alert.Report{report})
	}
	if err != nil {
		i.o.API.Problem(w, r, err) // 422 for what it cannot use, as Opsgenie
		return
	}
	answer(w, http.StatusAccepted, map[string]any{"result": "Request will be processed", "took": 0.001, "requestId": rand.Text()})
}
