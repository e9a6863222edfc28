package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// What slo validate calls an error is refused when it is applied, whole, with
// the same findings at the same lines.
func TestBadObjectivesAreNotApplied(t *testing.T) {
	files, err := filepath.Glob("../feedback/slo/testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	queries, err := filepath.Glob("testdata/badslo/*.yaml")
	if err != nil || len(queries) == 0 {
		t.Fatalf("no files: %v", err)
	}
	c := clock.NewVirtual(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	a, err := New(Config{Clock: c, Logger: slog.New(slog.DiscardHandler)}, Ports{Store: memory.New(memory.Options{Clock: c})})
	if err != nil {
		t.Fatal(err)
	}
	a.stepped = true
	for _, path := range append(files, queries...) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := slo.Validate(checkQueries, slo.File{Name: path, Data: text})
		out := summary{found}.Tell()
		if found.Errors() == 0 {
			t.Errorf("slo validate takes %s:\n%s", path, out)
		}
		if want, ok := strings.CutPrefix(strings.SplitN(string(text), "\n", 2)[0], "# says "); ok && !strings.Contains(out, ":"+want) {
			t.Errorf("%s: validate says\n%swant %s", path, out, want)
		}
		// A good objective beside it is not applied either.
		_, err = a.Apply(t.Context(), "user:ana", "flyball", "c0ffee", map[string][]byte{"flyball/a.yaml": []byte(good), "flyball/b.yaml": text})
		if err == nil {
			t.Errorf("%s was applied", path)
		}
	}
	if err := a.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	head, err := a.log.Head(t.Context())
	if err != nil || head.Position != 0 {
		t.Errorf("%d events are in the log: %v", head.Position, err)
	}
}
