package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// told is a place that takes messages, or does not.
type told struct {
	got  []string
	down bool
}

func (n *told) Send(_ context.Context, m notify.Message) (notify.Receipt, error) {
	if n.down {
		return notify.Receipt{}, problem.New(problem.Unavailable, "test", "down")
	}
	n.got = append(n.got, m.ID)
	return notify.Receipt{}, nil
}

// Whatever the server, the place and the watcher itself do: an outage is told
// once, and that it is over once, to whoever was told of it; never while all is
// well.
func TestWatcherTellsOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var answer Readiness
		silent := false
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if silent {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			_ = json.NewEncoder(w).Encode(answer)
		}))
		defer server.Close()
		c := clock.NewVirtual(time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC))
		place := &told{}
		file := filepath.Join(t.TempDir(), fmt.Sprint(c.Now().UnixNano(), rapid.Int().Draw(rt, "file")))
		watch := func() *watcher {
			w := &watcher{server: server.URL, every: 30 * time.Second, tolerate: 2, file: file, notifier: place, client: server.Client(), clock: c, say: io.Discard,
				places: []notify.Target{{URL: "https://pager.example/x"}}}
			if err := w.load(); err != nil {
				rt.Fatal(err)
			}
			return w
		}
		w := watch()
		bad, frozen := 0, false
		for range rapid.IntRange(1, 60).Draw(rt, "checks") {
			c.Advance(30 * time.Second)
			silent = rapid.IntRange(0, 3).Draw(rt, "silent") == 0
			frozen = rapid.IntRange(0, 5).Draw(rt, "cached") == 0
			if !frozen {
				answer = Readiness{Ready: rapid.IntRange(0, 4).Draw(rt, "ready") > 0, Reason: "x", Beat: c.Now()}
			}
			place.down = rapid.IntRange(0, 2).Draw(rt, "place") == 0
			before := len(place.got)
			w.look(t.Context())
			w.tell(t.Context())
			if err := w.save(); err != nil {
				rt.Fatal(err)
			}
			if silent || !answer.Ready {
				bad++
			} else {
				bad = 0
			}
			if bad >= 2 && w.state.ID == "" {
				rt.Fatal("silent twice, and no outage")
			}
			if bad >= 2 && !place.down && !w.state.Told["webhook pager.example "+digest("https://pager.example/x")] {
				rt.Fatal("an outage was not told")
			}
			if len(place.got) > before && place.down {
				rt.Fatal("told a place that is down")
			}
			if rapid.IntRange(0, 9).Draw(rt, "again") == 0 {
				w = watch() // the watcher is started again
			}
		}
		for i, id := range place.got {
			if slices.Contains(place.got[:i], id) {
				rt.Fatalf("told twice: %q", place.got)
			}
			if over, ok := strings.CutSuffix(id, "-over"); ok && !slices.Contains(place.got[:i], over) {
				rt.Fatalf("an outage is over that nobody was told of: %q", place.got)
			}
		}
	})
}

// Somebody who answers in the server's place with an old answer is no server.
func TestWatcherSeesThroughACache(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(Readiness{Ready: true, Beat: time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)})
	}))
	defer server.Close()
	c := clock.NewVirtual(time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC))
	place := &told{}
	w := &watcher{server: server.URL, every: 30 * time.Second, tolerate: 2, notifier: place, client: server.Client(), clock: c, say: io.Discard, places: []notify.Target{{URL: "https://pager.example/x"}}}
	for i := range 8 {
		w.look(t.Context())
		w.tell(t.Context())
		if i < 5 && len(place.got) > 0 {
			t.Fatalf("told after %d checks", i+1)
		}
		c.Advance(30 * time.Second)
	}
	if len(place.got) != 1 {
		t.Errorf("told %q", place.got)
	}
}
