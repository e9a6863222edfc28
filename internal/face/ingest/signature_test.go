package ingest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/adapter/sqlite"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/ingest"
	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/feedback/maintenance"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// What a sender with a secret does not sign is refused; without a secret on the
// server it is to come again.
func TestSignature(t *testing.T) {
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "flyball.db"), sqlite.Options{Clock: clock.Wall()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	states := projection.NewRunner(store.Log(), store.States(), append(alert.Projections(), catalog.Projection(), maintenance.Projection())...)
	intake := &alert.Intake{Log: store.Log(), Reader: store.States(), Clock: clock.Wall(), Sync: states.CatchUp}
	if err := intake.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	face, err := api.New(api.Options{Log: store.Log(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer face.Close()
	secrets := map[string]string{}
	i := ingest.New(ingest.Options{API: face, Intake: intake, Clock: clock.Wall(), Secret: func(name string) (string, bool) { v, ok := secrets[name]; return v, ok }})
	var key string
	for _, o := range intake.Operations() {
		if o.Name() == "integration.create" {
			in := o.NewInput()
			if err := json.Unmarshal([]byte(`{"integration":"sentry","secret_env":"SENTRY_SECRET"}`), in); err != nil {
				t.Fatal(err)
			}
			out, err := o.Call(t.Context(), operation.Caller{Name: "user:ana", Grants: []operation.Grant{{Role: operation.Admin}}}, in)
			if err != nil {
				t.Fatal(err)
			}
			key = out.(alert.CreatedIntegration).Key
		}
	}
	const body = `{"action":"critical","data":{"metric_alert":{"id":"4","alert_rule":{"name":"errors"}},"description_title":"too many"}}`
	post := func(signature string) int {
		r := httptest.NewRequest("POST", "/ingest/"+key+"/sentry", strings.NewReader(body))
		r.Header.Set("Sentry-Hook-Resource", "metric_alert")
		r.Header.Set("Sentry-Hook-Signature", signature)
		answer := httptest.NewRecorder()
		i.ServeHTTP(answer, r)
		return answer.Code
	}
	mac := hmac.New(sha256.New, []byte("hush"))
	mac.Write([]byte(body))
	right := hex.EncodeToString(mac.Sum(nil))
	if code := post(right); code != 503 {
		t.Errorf("without a secret on the server: %d", code)
	}
	secrets["SENTRY_SECRET"] = "hush"
	for signature, want := range map[string]int{"": 401, "v1=": 401, strings.Repeat("0", 64): 401, right: 200, strings.Repeat("0", 64) + ", v1=" + right: 200} {
		if code := post(signature); code != want {
			t.Errorf("signed %q: %d, want %d", signature, code, want)
		}
	}
	if firing := intake.Firing(); len(firing) != 1 || firing[0].Explanation != "too many" {
		t.Errorf("firing: %+v", firing)
	}
}
