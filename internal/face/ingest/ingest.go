package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	answers "github.com/flyball-dev/flyball/internal/face/answer"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Options are what the face is made from.
type Options struct {
	API     *api.API // whose guard and problems it shares
	Intake  *alert.Intake
	Clock   clock.Clock
	Version string

	// For what people answer to a page; without Answers nobody is heard.
	Answers  *answers.Desk
	Reader   projection.Reader
	Secret   notify.Secrets // the value of a secret by the name of its environment variable
	Notifier notify.Notifier
	Web      string // address people and services reach this server at

	Incidents Incidents // for what is done at another incident tool
}

// Ingest is the face of foreign senders.
type Ingest struct {
	o   Options
	mux *http.ServeMux
}

// Bounds on bodies.
const (
	maxBody          = 8 << 20 // of an array of alerts
	maxPagerDutyBody = 512_000 // PagerDuty's own limit
)

// Paths are where the face is to be mounted.
var Paths = []string{"/api/v2/", "/-/", "/v2/", "/ingest/", "/telephone/"}

// New makes the face.
func New(o Options) *Ingest {
	i := &Ingest{o: o, mux: http.NewServeMux()}
	i.alertmanager()
	i.mux.HandleFunc("POST /v2/enqueue", i.pagerDuty)
	i.mux.HandleFunc("POST /v2/change/enqueue", i.pagerDutyChange)
	i.opsgenie()
	i.mux.HandleFunc("POST /ingest/{key}/alertmanager", i.webhook)
	i.mux.HandleFunc("POST /ingest/{key}/grafana", i.webhook)
	i.mux.HandleFunc("POST /ingest/{key}/datadog", i.datadog)
	i.mux.HandleFunc("POST /ingest/{key}/sentry", i.sentry)
	i.mux.HandleFunc("POST /ingest/{key}/pagerduty", i.pagerDutyHook)
	i.mux.HandleFunc("POST /ingest/{key}/alert", i.mapped)
	i.mux.HandleFunc("/ingest/{key}/heartbeat", i.heartbeat)
	if o.Answers != nil {
		i.mux.HandleFunc("POST /ingest/slack", i.slack)
		i.mux.HandleFunc("POST /telephone/{channel}", i.calls)
		i.mux.HandleFunc("POST /telephone/{channel}/answer", i.answered)
	}
	i.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		i.fail(w, r, problem.New(problem.NotFound, "ingest", "there is nothing at %s %s", r.Method, r.URL.Path).WithNext("docs/alert.md lists the addresses of senders"))
	})
	return i
}

// ServeHTTP answers foreign senders.
func (i *Ingest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	i.mux.ServeHTTP(w, r)
}

// fail answers with a problem. A fault is logged with the request's path, which
// is not to show a key.
func (i *Ingest) fail(w http.ResponseWriter, r *http.Request, err error) {
	if key := r.PathValue("key"); key != "" {
		r = r.Clone(r.Context())
		r.URL.Path = strings.Replace(r.URL.Path, key, "KEY", 1)
	}
	i.o.API.Problem(w, r, foreign(err))
}

// foreign gives what cannot be read the status that senders expect for it.
func foreign(err error) error {
	if api.Status(err) == http.StatusUnprocessableEntity {
		return api.WithStatus(http.StatusBadRequest, err)
	}
	return err
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// body reads a request's body within a bound.
func body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, api.WithStatus(http.StatusRequestEntityTooLarge, problem.New(problem.Invalid, "ingest", "the body has more than %d bytes", limit).
			WithNext("send fewer alerts in one request"))
	case err != nil:
		return nil, problem.New(problem.Invalid, "ingest", "the body did not arrive whole: %w", err)
	}
	return data, nil
}

// sender finds the integration of a request by its key. Programs on this
// machine need none; a page in a browser is not one of them.
func (i *Ingest) sender(r *http.Request, key string) (alert.Integration, error) {
	if key == "" {
		key = presented(r)
	}
	if key != "" {
		in, err := i.o.Intake.Authenticate(r.Context(), key)
		return in, i.unauthorized(err)
	}
	if !api.Local(r) || r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return alert.Integration{}, i.unauthorized(problem.New(problem.Denied, "ingest", "a sender that is not on this machine needs the key of an integration").
			WithNext("make one with flyball integration create NAME"))
	}
	return alert.Integration{Name: alert.Local}, nil
}

func (i *Ingest) unauthorized(err error) error {
	if problem.KindOf(err) == problem.Denied {
		return api.WithStatus(http.StatusUnauthorized, err)
	}
	return err
}

// presented is the key in a request's headers: a bearer token, Opsgenie's
// GenieKey, or the password of basic authentication.
func presented(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "GenieKey") {
		return strings.TrimSpace(value)
	}
	return ""
}

// take records reports; what single ones did wrong is the sender's to mend.
func (i *Ingest) take(ctx context.Context, in alert.Integration, reports []alert.Report) error {
	taken, err := i.o.Intake.Take(ctx, in, reports)
	if err == nil && len(taken.Refused) > 0 {
		err = problem.New(problem.Invalid, "ingest", "%d of %d alerts were refused, the others were taken: %s", len(taken.Refused), len(reports),
			strings.Join(taken.Refused[:min(len(taken.Refused), 5)], "; "))
	}
	return err
}

func (i *Ingest) webhook(w http.ResponseWriter, r *http.Request) {
	i.receive(w, r, r.PathValue("key"), maxBody, http.StatusOK, func(data []byte) ([]alert.Report, error) { return alert.DecodeWebhook(data) })
}

// receive decodes a body, records what it says, and answers.
func (i *Ingest) receive(w http.ResponseWriter, r *http.Request, key string, limit int64, status int, decode func([]byte) ([]alert.Report, error)) {
	in, err := i.sender(r, key)
	var data []byte
	if err == nil {
		data, err = body(w, r, limit)
	}
	var reports []alert.Report
	if err == nil {
		reports, err = decode(data)
	}
	if err == nil {
		err = i.take(r.Context(), in, reports)
	}
	if err != nil {
		i.fail(w, r, err)
		return
	}
	answer(w, status, map[string]string{"status": "success"})
}

func (i *Ingest) heartbeat(w http.ResponseWriter, r *http.Request) {
	in, err := i.o.Intake.Authenticate(r.Context(), r.PathValue("key"))
	if err = i.unauthorized(err); err == nil && in.Heartbeat == 0 {
		err = problem.New(problem.Invalid, "ingest", "%s is not a heartbeat", in.Name).WithNext("create it with flyball integration create NAME --heartbeat 15m")
	}
	if err == nil {
		err = i.o.Intake.Beat(r.Context(), in)
	}
	if err != nil {
		i.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "success"})
}
