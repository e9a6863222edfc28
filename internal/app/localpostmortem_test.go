package app

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog/access"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/budget"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
)

// TestPostmortemCommands: a text is read from standard input, and the Markdown
// written where it is asked for.
func TestPostmortemCommands(t *testing.T) {
	store := memory.New(memory.Options{})
	defer store.Close()
	states := projection.NewRunner(store.Log(), store.States(), Projections()...)
	accesses := &access.Desk{Log: store.Log(), Reader: store.States(), Sync: states.CatchUp, Now: clock.Wall().Now}
	desk := &postmortem.Desk{Log: store.Log(), Reader: store.States(), Clock: clock.Wall(), Sync: states.CatchUp,
		Tell: Story(store.Log(), store.States(), func(context.Context, string, string, string) ([]budget.Cost, error) { return nil, nil })}
	operations := desk.Operations()
	for _, f := range [][2]string{
		{"incident.opened", `{"incident":"inc-shop-1","service":"shop","team":"web","environment":"prod","severity":3,"title":"carts | fail"}`},
		{"incident.resolved", `{"incident":"inc-shop-1","service":"shop","team":"web","environment":"prod","reason":"ok"}`},
	} {
		if _, err := store.Log().Append(t.Context(), event.Batch{Stream: "incident/shop.prod", Expect: event.AnyVersion, Drafts: []event.Draft{{Type: f[0], Subject: "incident/inc-shop-1", Actor: "user:dana", Data: json.RawMessage(f[1])}}}); err != nil {
			t.Fatal(err)
		}
	}
	_, token, err := accesses.Create(t.Context(), "system", "user:ana", []operation.Grant{{Role: operation.Developer}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	face, err := api.New(api.Options{Operations: operations, Log: store.Log(), Authenticator: accesses})
	if err != nil {
		t.Fatal(err)
	}
	defer face.Close()
	server := httptest.NewServer(face.Guard(face))
	defer server.Close()
	dir := filepath.Join(t.TempDir(), "docs", "postmortems")
	run := func(stdin string, args ...string) (int, string) {
		var out, talk bytes.Buffer
		root := cli.New(operations, postmortemCommands(operations))
		code := cli.Main(context.Background(), root, append(args, "--server", server.URL, "--token", token), strings.NewReader(stdin), &out, &talk)
		return code, out.String() + talk.String()
	}
	for _, c := range []struct {
		stdin string
		args  []string
		code  int
		says  string
	}{
		{"", []string{"postmortem", "draft", "inc-shop-1"}, 0, "pm-shop-1 (a draft): carts | fail"},
		{"Limits.\n\n- one\n", []string{"postmortem", "edit", "pm-shop-1", "--section", "lessons", "--text", "-"}, 0, "lessons of pm-shop-1 is at version 2"},
		{"", []string{"postmortem", "edit", "pm-shop-1", "--section", "lessons", "--text", "other", "--base", "1"}, 1, "put both texts together"},
		{"", []string{"action-item", "add", "pm-shop-1", "--title", "a|b", "--kind", "detect", "--owner", "web", "--due", "2027-01-01"}, 0, "pm-shop-1-1"},
		{"", []string{"action-item", "close", "pm-shop-1-1", "--change", "shop-0"}, 3, "there is no change named shop-0"},
		{"", []string{"postmortem", "export", "pm-shop-1"}, 0, "## Lessons\n\nLimits.\n\n- one\n"},
		{"", []string{"postmortem", "export", "pm-shop-1", "--dir", dir}, 0, "pm-shop-1.md"},
	} {
		if code, said := run(c.stdin, c.args...); code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("%q: exit %d, want %d with %q in\n%s", c.args, code, c.code, c.says, said)
		}
	}
	file, err := os.ReadFile(filepath.Join(dir, "pm-shop-1.md"))
	if err != nil || !strings.Contains(string(file), `| a\|b | detect | web | 2027-01-01 | open |`) {
		t.Errorf("%v\n%s", err, file)
	}
	for _, name := range []string{"", "..", "../x.md", "a/b.md"} {
		if path, err := writeExport(dir, postmortem.Export{File: name}); err == nil {
			t.Errorf("a file named %q was written to %s", name, path)
		}
	}
}
