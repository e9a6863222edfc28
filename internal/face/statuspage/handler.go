package statuspage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/feedback/status"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/site"
)

// Path is where the pages are to be mounted.
const Path = "/status/"

// Options are what the pages are served from.
type Options struct {
	API   *api.API // how problems are told
	Pages *status.Pages
	Clock clock.Clock
}

// keep is how long a page that is served is not made anew: as long as whoever
// has it may keep it.
const keep = 10 * time.Second

// Server serves pages to everybody, without a token.
type Server struct {
	o     Options
	wants limiter // of subscriptions
	mu    sync.Mutex
	of    map[string]*made
}

// made is the files of one page, made at most once at a time.
type made struct {
	mu    sync.Mutex
	at    time.Time
	files site.Files
}

// New makes the handler.
func New(o Options) *Server { return &Server{o: o, of: map[string]*made{}} }

// ServeHTTP answers /status/ and what is below it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if page, do, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, Path), "/"); ok && (do == "subscribe" || do == status.DoConfirm || do == status.DoUnsubscribe) {
		s.subscription(w, r, page, do)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		s.o.API.Problem(w, r, api.WithStatus(http.StatusMethodNotAllowed, problem.New(problem.Invalid, "status", "status pages are read by GET")))
		return
	}
	page, file, below := strings.Cut(strings.TrimPrefix(r.URL.Path, Path), "/")
	if page == "" {
		s.only(w, r)
		return
	}
	if !below {
		http.Redirect(w, r, Path+page+"/", http.StatusMovedPermanently)
		return
	}
	files, err := s.cached(r.Context(), page)
	if err != nil {
		s.o.API.Problem(w, r, err)
		return
	}
	if file == "" || strings.HasSuffix(file, "/") {
		file += site.Entrance
	}
	data, ok := files[file]
	if !ok {
		s.o.API.Problem(w, r, problem.New(problem.NotFound, "status", "there is no such page").WithNext("begin at %s%s/", Path, page))
		return
	}
	serve(w, r, file, data)
}

// only leads to the page when there is one.
func (s *Server) only(w http.ResponseWriter, r *http.Request) {
	names, err := s.o.Pages.Names(r.Context())
	if err == nil && len(names) != 1 {
		err = problem.New(problem.NotFound, "status", "this server has %d status pages", len(names)).WithNext("ask for one by name: %sNAME/", Path)
	}
	if err != nil {
		s.o.API.Problem(w, r, err)
		return
	}
	http.Redirect(w, r, Path+names[0]+"/", http.StatusFound)
}

// maxKept bounds the pages whose files are kept; more are not declared in
// practice, and a name that is not declared is not kept.
const maxKept = 100

// cached is Files, at most as old as keep.
func (s *Server) cached(ctx context.Context, page string) (site.Files, error) {
	s.mu.Lock()
	m := s.of[page]
	if m == nil {
		m = &made{}
		if len(s.of) < maxKept {
			s.of[page] = m
		}
	}
	s.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	now := s.o.Clock.Now()
	if m.files != nil && now.Sub(m.at) < keep && !now.Before(m.at) {
		return m.files, nil
	}
	files, err := s.o.Pages.Files(ctx, page)
	if err != nil {
		if problem.KindOf(err) == problem.NotFound {
			s.mu.Lock()
			delete(s.of, page)
			s.mu.Unlock()
		}
		return nil, err
	}
	m.at, m.files = now, files
	return files, nil
}

// serve answers with one file, which everybody may keep for a minute.
func serve(w http.ResponseWriter, r *http.Request, name string, data []byte) {
	sum := sha256.Sum256(data)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	if strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".atom") || strings.HasSuffix(name, ".ics") {
		h.Set("Access-Control-Allow-Origin", "*") // it is public
	}
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", contentType(name))
	if r.Method != http.MethodHead {
		_, _ = w.Write(data)
	}
}

func contentType(name string) string {
	switch path.Ext(name) {
	case ".atom":
		return "application/atom+xml; charset=utf-8"
	case ".ics":
		return "text/calendar; charset=utf-8"
	case ".json":
		return "application/json"
	}
	return mime.TypeByExtension(path.Ext(name))
}
