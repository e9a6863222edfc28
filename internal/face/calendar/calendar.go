package calendar

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Path is where the feeds are to be mounted.
const Path = "/calendars/"

// What a feed holds, around now.
const (
	past   = 28 * 24 * time.Hour
	future = 182 * 24 * time.Hour
)

// Options are what the feeds are made from.
type Options struct {
	API       *api.API // who asks, and how problems are told
	Schedules *oncall.Desk
	Clock     clock.Clock
}

// New makes the handler.
func New(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path+"{file}", func(w http.ResponseWriter, r *http.Request) {
		body, err := o.feed(r)
		if err != nil {
			if api.Status(err) == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Basic realm="Flyball", charset="UTF-8"`)
			}
			o.API.Problem(w, r, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/calendar; charset=utf-8")
		h.Set("Cache-Control", "private, max-age=300")
		h.Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(body)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		o.API.Problem(w, r, problem.New(problem.NotFound, "calendar", "there is nothing at %s %s", r.Method, r.URL.Path).WithNext("a schedule's feed is at %sSCHEDULE.ics", Path))
	})
	return mux
}

func (o Options) feed(r *http.Request) ([]byte, error) {
	if _, password, ok := r.BasicAuth(); ok {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+password)
	}
	caller, err := o.API.Caller(r)
	if err != nil {
		return nil, err
	}
	if !caller.May(operation.Viewer, operation.Scope{}) {
		return nil, problem.New(problem.Denied, "calendar", "a schedule's feed needs the role viewer")
	}
	name, ok := strings.CutSuffix(r.PathValue("file"), ".ics")
	if !ok {
		return nil, problem.New(problem.NotFound, "calendar", "a feed's address ends in .ics").WithNext("ask for %s%s.ics", Path, name)
	}
	now := o.Clock.Now().UTC().Truncate(24 * time.Hour)
	shifts, _, err := o.Schedules.Rota(r.Context(), o.Schedules.Reader, name, now.Add(-past), now.Add(future))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = oncall.WriteCalendar(&b, name, shifts, now)
	return b.Bytes(), err
}
