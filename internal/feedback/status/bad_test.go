package status_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/status"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

var update = flag.Bool("update", false, "write what came out into testdata")

// TestBad reads files that must be refused, with every message they must get.
func TestBad(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.txtar")
	if len(files) == 0 {
		t.Fatal("no bad files")
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		set, findings := resource.Load(resource.NewRegistry(slices.Concat(catalog.Kinds(), status.Kinds(), channel.Kinds())...), map[string][]byte{a.Files[0].Name: a.Files[0].Data})
		if set != nil {
			t.Errorf("%s was accepted", file)
		}
		var b strings.Builder
		for _, f := range findings {
			fmt.Fprintln(&b, f)
		}
		want := &a.Files[1].Data
		if b.String() == string(*want) {
			continue
		}
		if !*update {
			t.Errorf("%s: got\n%s\nwant\n%s", file, b.String(), *want)
			continue
		}
		*want = []byte(b.String())
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
