package ingest_test

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/adapter/sqlite"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/ingest"
	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// A fault is logged with the request it happened in, but without the key that
// is part of the request's address.
func TestKeysAreNotLogged(t *testing.T) {
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "flyball.db"), sqlite.Options{Clock: clock.Wall()})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	face, err := api.New(api.Options{Log: store.Log(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer face.Close()
	i := ingest.New(ingest.Options{API: face, Intake: &alert.Intake{Log: store.Log(), Reader: store.States(), Clock: clock.Wall()}, Clock: clock.Wall()})
	if err := store.Close(); err != nil { // from here on every request is a fault
		t.Fatal(err)
	}
	const key = "0123456789abcdef0123456789abcdef"
	for _, path := range []string{"/alert", "/alertmanager", "/heartbeat", "/api/v2/alerts"} {
		log.Reset()
		answer := httptest.NewRecorder()
		i.ServeHTTP(answer, httptest.NewRequest("POST", "/ingest/"+key+path, strings.NewReader("{}")))
		if answer.Code < 500 || strings.Contains(log.String(), key) || strings.Contains(answer.Body.String(), key) {
			t.Errorf("POST %s answers %d %s and logs %s", path, answer.Code, answer.Body, log.String())
		}
		if answer.Code == 500 && !strings.Contains(log.String(), "/ingest/KEY"+path) {
			t.Errorf("the fault of %s is logged as %q", path, log.String())
		}
	}
}
