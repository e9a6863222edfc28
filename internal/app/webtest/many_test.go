package webtest_test

import (
	"context"
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/app"
	"github.com/flyball-dev/flyball/internal/catalog"
)

// crowd is a house with services whose objectives number 10,000.
func crowd(t *testing.T) *house {
	h := newHouse(t, ending)
	var b strings.Builder
	for _, team := range []string{"a", "b", "c", "d"} {
		fmt.Fprintf(&b, "apiVersion: flyball.dev/v1\nkind: Team\nmetadata: {name: team-%s}\nspec:\n  page: [{url: https://pager.example/%[1]s}]\n---\n", team)
	}
	for _, e := range []string{"dev", "test", "stage", "canary", "prod"} {
		fmt.Fprintf(&b, "apiVersion: flyball.dev/v1\nkind: Environment\nmetadata: {name: %s}\nspec: {}\n---\n", e)
	}
	for i := range 1000 {
		fmt.Fprintf(&b, "apiVersion: flyball.dev/v1\nkind: Service\nmetadata: {name: service-%04d}\nspec:\n  team: team-%c\n  run: bin/service\n  objectives: {availability: 99.9%%, latency: 99%% < 300ms}\n---\n", i, 'a'+rune(i%4))
	}
	ctx := context.Background()
	applier := &catalog.Applier{Log: h.store.Log(), Reader: h.store.States(), Sync: h.sync, Registry: app.Kinds()}
	_, err := applier.Apply(ctx, "user:ana", "flyball", commit("crowd"), map[string][]byte{"flyball/crowd.yaml": []byte(strings.TrimSuffix(b.String(), "---\n"))})
	h.do(err)
	h.do(h.watcher.Declare(ctx, h.clock.Now()))
	for i := range 5 {
		at := h.clock.Now()
		h.clock.AdvanceTo(at.Add(time.Minute))
		for n := range 1000 {
			h.do(h.watcher.Count(fmt.Sprintf("service-%04d", n), "prod", at, 1000, int64(n%(17+i)/16*n/20), nil))
		}
		h.engine.Tick(h.clock.Now())
	}
	h.open()
	t.Cleanup(h.close)
	return h
}

// TestTenThousandObjectives: the list stays fast and readable, and its pages
// hold every objective once. The time is printed; the bound is generous.
func TestTenThousandObjectives(t *testing.T) {
	h := crowd(t)
	c := h.client(false)
	for _, path := range []string{"/objectives", "/objectives?group=team", "/objectives?sort=exhaustion&group=service", "/objectives?q=0042&environment=prod", "/services", "/"} {
		began := time.Now()
		status, body := h.get(c, path)
		took := time.Since(began)
		t.Logf("%-45s %4d ms, %3d kB", path, took.Milliseconds(), len(body)/1000)
		if status != 200 || took > 10*time.Second || len(body) > 400_000 {
			t.Errorf("%s: status %d after %s, %d bytes", path, status, took, len(body))
		}
	}
	row, next := regexp.MustCompile(`<tr><td><a href="/objectives/([^"]+)"`), regexp.MustCompile(`rel="next" href="([^"]+)"`)
	seen := map[string]int{}
	for path := "/objectives?team=team-b&environment=prod&sort=budget"; path != ""; {
		status, body := h.get(c, path)
		if status != 200 {
			t.Fatalf("%s: %d", path, status)
		}
		for _, m := range row.FindAllStringSubmatch(body, -1) {
			seen[m[1]]++
		}
		path = ""
		if m := next.FindStringSubmatch(body); m != nil {
			path = html.UnescapeString(m[1])
		}
	}
	if len(seen) != 500 {
		t.Errorf("the pages of team-b in prod show %d objectives, want 500", len(seen))
	}
	for key, n := range seen {
		if n != 1 {
			t.Errorf("%s is shown %d times", key, n)
		}
	}
	if status, body := h.get(c, "/objectives?after=nonsense"); status != 422 && status != 400 || !strings.Contains(body, "is not a cursor") {
		t.Errorf("a cursor that is none gives %d", status)
	}
}
