package ingest

import (
	"context"
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
		in, err = i.routingKey(r, e.RoutingKey)
	}
	if err == nil {
		if e.DedupKey == "" {
			e.DedupKey = strings.ToLower(rand.Text())
			e.Report.Key = e.DedupKey
		}
		err = i.take(r.Context(), in, []alert.Report{e.Report})
	}
	i.processed(w, r, map[string]string{"status": "success", "message": "Event processed", "dedup_key": e.DedupKey}, err)
}

// pagerDutyChange takes change events: what somebody's own tools did to a
// service is a suspect of its next incident.
func (i *Ingest) pagerDutyChange(w http.ResponseWriter, r *http.Request) {
	data, err := body(w, r, maxPagerDutyBody)
	var key string
	var report alert.Report
	if err == nil {
		key, report, err = alert.DecodePagerDutyChange(data)
	}
	var in alert.Integration
	if err == nil {
		in, err = i.routingKey(r, key)
	}
	if err == nil {
		err = i.o.Intake.ReportChange(r.Context(), in, report)
	}
	i.processed(w, r, map[string]string{"status": "success", "message": "Change event processed"}, err)
}

// routingKey finds the integration of a key as PagerDuty's senders present it.
func (i *Ingest) routingKey(r *http.Request, key string) (alert.Integration, error) {
	in, err := i.o.Intake.Authenticate(r.Context(), key)
	if problem.KindOf(err) == problem.Denied {
		err = problem.New(problem.Invalid, "ingest", "'routing_key' is not the key of an integration").WithNext("make one with flyball integration create NAME")
	}
	return in, err
}

// processed answers as PagerDuty's Events API does.
func (i *Ingest) processed(w http.ResponseWriter, r *http.Request, body map[string]string, err error) {
	switch {
	case err == nil:
		answer(w, http.StatusAccepted, body)
	case problem.KindOf(err) == problem.Invalid:
		answer(w, api.Status(foreign(err)), map[string]any{"status": "invalid event", "message": "Event object is invalid", "errors": []string{err.Error()}})
	default:
		i.fail(w, r, err)
	}
}

// Incidents lets another incident tool act on incidents here.
type Incidents interface {
	// Find names the incident that the tool means by a key; empty: none of ours.
	Find(ctx context.Context, key string) (string, error)
	// Opened names the open incident that is the tool's own alert; empty: none.
	Opened(ctx context.Context, alert string) (string, error)
	// Answer acknowledges or resolves an incident, unless that was done before.
	Answer(ctx context.Context, by, does, incident, reason string) error
}

// pagerDutyHook takes webhooks of PagerDuty's, version 3. What was sent there
// from here is one of our incidents; everything else is an alert of an
// integration, about which PagerDuty pages people itself. Either way nothing is
// sent back that came from there.
func (i *Ingest) pagerDutyHook(w http.ResponseWriter, r *http.Request) {
	in, data, err := i.signed(w, r, "X-PagerDuty-Signature")
	if err == nil && in.SecretEnv == "" {
		err = i.unauthorized(problem.New(problem.Denied, "ingest", "the integration %s has no secret, so nobody knows who sends this", in.Name).
			WithNext("make it with flyball integration create NAME --secret-env VARIABLE, and give the server the subscription's secret in that variable"))
	}
	var h alert.PagerDutyHook
	if err == nil {
		h, err = alert.DecodePagerDutyHook(data)
	}
	if err == nil && !h.Ignored {
		err = i.followed(r.Context(), in, h)
	}
	i.conclude(w, r, err)
}

func (i *Ingest) followed(ctx context.Context, in alert.Integration, h alert.PagerDutyHook) error {
	does := map[alert.Act]string{alert.Acknowledge: "acknowledge", alert.Resolve: "resolve"}[h.Report.Act]
	reason := "at PagerDuty, by " + h.By
	name, err := i.o.Incidents.Find(ctx, h.Key)
	if err != nil {
		return err
	}
	if name != "" {
		if does == "" {
			return nil
		}
		return i.o.Incidents.Answer(ctx, h.By, does, name, reason)
	}
	if does != "" {
		if name, err = i.o.Incidents.Opened(ctx, in.Name+"/"+h.Report.Fingerprint()); err != nil {
			return err
		}
	}
	if err := i.take(ctx, in, []alert.Report{h.Report}); err != nil || name == "" {
		return err
	}
	return i.o.Incidents.Answer(ctx, h.By, does, name, reason)
}
