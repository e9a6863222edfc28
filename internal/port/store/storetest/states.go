package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

func row(key, state string, indexes ...projection.Index) projection.Row {
	return projection.Row{Key: key, State: []byte(state), Indexes: indexes}
}

func (b *bench) save(name string, version int, from, to int64, rows ...projection.Row) {
	b.t.Helper()
	if err := b.store.States().Save(b.ctx, name, projection.Move{Version: version, From: from, To: to}, rows); err != nil {
		b.t.Fatalf("save: %v", err)
	}
}

func (b *bench) cursor(name string, version int) int64 {
	b.t.Helper()
	c, err := b.store.States().Cursor(b.ctx, name, version)
	if err != nil {
		b.t.Fatalf("cursor: %v", err)
	}
	return c
}

func (b *bench) load(name string, keys ...string) map[string]string {
	b.t.Helper()
	m, err := b.store.States().Load(b.ctx, name, keys)
	if err != nil {
		b.t.Fatalf("load: %v", err)
	}
	out := map[string]string{}
	for k, v := range m {
		out[k] = string(v)
	}
	return out
}

// list reads all pages and gives the keys.
func (b *bench) list(name string, f projection.Filter) string {
	b.t.Helper()
	var keys []string
	for {
		page, err := b.store.States().List(b.ctx, name, f)
		if err != nil {
			b.t.Fatalf("list %+v: %v", f, err)
		}
		if f.Limit > 0 && len(page.Rows) > f.Limit || page.Next != "" && len(page.Rows) == 0 {
			b.t.Fatalf("list %+v: a page of %d rows, next %q", f, len(page.Rows), page.Next)
		}
		for _, r := range page.Rows {
			keys = append(keys, r.Key)
		}
		if page.Next == "" {
			return strings.Join(keys, " ")
		}
		f.After = page.Next
	}
}

func testStates(t *testing.T, b *bench) {
	if c := b.cursor("p", 1); c != 0 {
		t.Fatalf("cursor of a new projection: %d", c)
	}
	if got := b.load("p", "a"); len(got) != 0 {
		t.Fatalf("states of a new projection: %v", got)
	}
	b.cursor("q", 1)
	b.save("p", 1, 0, 5, row("a", `{"n":1}`), row("ключ", `{}`), row("", `0`))
	b.save("q", 1, 0, 7, row("a", `{"q":1}`))
	if got, want := b.load("p", "a", "ключ", "", "none"), map[string]string{"a": `{"n":1}`, "ключ": `{}`, "": `0`}; !maps.Equal(got, want) {
		t.Fatalf("states %v, want %v", got, want)
	}
	b.save("p", 1, 5, 6, row("a", `{"n":2}`))
	if b.Reopen != nil {
		b.use(b.Reopen(t, b.store, b.clock))
	}
	if got := b.load("p", "a"); got["a"] != `{"n":2}` || b.cursor("p", 1) != 6 || b.cursor("q", 1) != 7 {
		t.Fatalf("after a second save: %v", got)
	}
	many := make([]projection.Row, 3000)
	keys := make([]string, len(many))
	for i := range many {
		keys[i] = fmt.Sprintf("many/%d", i)
		many[i] = row(keys[i], fmt.Sprint(i))
	}
	b.save("p", 1, 6, 8, many...)
	if got := b.load("p", keys...); len(got) != len(many) || got["many/2999"] != "2999" {
		t.Fatalf("%d of %d states", len(got), len(many))
	}
	// Another version drops the states, of this projection alone.
	if c := b.cursor("p", 2); c != 0 {
		t.Fatalf("cursor after a change of version: %d", c)
	}
	if got := b.load("p", "a"); len(got) != 0 || b.list("p", projection.Filter{}) != "" {
		t.Fatalf("states after a change of version: %v", got)
	}
	if got := b.load("q", "a"); got["a"] != `{"q":1}` || b.cursor("q", 1) != 7 {
		t.Fatalf("another projection's states: %v", got)
	}
}

func testList(t *testing.T, b *bench) {
	b.cursor("p", 1)
	index := func(service, sort string) projection.Index {
		return projection.Index{Name: "service", Value: service, Sort: sort}
	}
	open := projection.Index{Name: "open", Value: "yes", Sort: "1"}
	b.save("p", 1, 0, 1,
		row("a", "1", index("shop", "3"), open), row("b", "2", index("shop", "1"), open), row("c", "3", index("shop", "2")),
		row("d", "4", index("shop", "2")), row("e", "5", index("cart", "1"), open), row("Z", "6"))
	check := func(f projection.Filter, want string) {
		t.Helper()
		for _, limit := range []int{0, 1, 2, 3} {
			f.Limit = limit
			if got := b.list("p", f); got != want {
				t.Fatalf("list %+v: %q, want %q", f, got, want)
			}
		}
		keys := strings.Fields(want)
		slices.Reverse(keys)
		f.Newest = true
		for _, limit := range []int{0, 1, 2, 3} {
			f.Limit = limit
			if got := b.list("p", f); got != strings.Join(keys, " ") {
				t.Fatalf("list %+v: %q, want %q", f, got, strings.Join(keys, " "))
			}
		}
	}
	check(projection.Filter{}, "Z a b c d e")
	check(projection.Filter{Index: "service", Value: "shop"}, "b c d a")
	check(projection.Filter{Index: "service", Value: "cart"}, "e")
	check(projection.Filter{Index: "service", Value: "none"}, "")
	check(projection.Filter{Index: "none", Value: "shop"}, "")
	check(projection.Filter{Index: "open", Value: "yes"}, "a b e")
	// Indexes follow the state: one changes, one goes, one comes.
	b.save("p", 1, 1, 2, row("b", "9", index("shop", "9")), row("e", "9", index("shop", "0"), open), row("Z", "9", open))
	check(projection.Filter{Index: "service", Value: "shop"}, "e c d a b")
	check(projection.Filter{Index: "service", Value: "cart"}, "")
	check(projection.Filter{Index: "open", Value: "yes"}, "Z a e")
	page, err := b.store.States().List(b.ctx, "p", projection.Filter{Index: "service", Value: "shop", Limit: 1})
	if err != nil || len(page.Rows) != 1 || string(page.Rows[0].State) != "9" {
		t.Fatalf("page %+v, %v", page, err)
	}
	_, err = b.store.States().List(b.ctx, "p", projection.Filter{After: "no cursor"})
	wantKind(t, err, problem.Invalid)
	if page, err := b.store.States().List(b.ctx, "none", projection.Filter{}); err != nil || len(page.Rows) != 0 {
		t.Fatalf("an unknown projection: %+v, %v", page, err)
	}
}

func testMove(t *testing.T, b *bench) {
	b.cursor("p", 1)
	b.save("p", 1, 0, 5, row("a", "1"))
	for _, m := range []projection.Move{{Version: 1, From: 4, To: 9}, {Version: 1, From: 0, To: 5}, {Version: 2, From: 5, To: 9}} {
		wantKind(t, b.store.States().Save(b.ctx, "p", m, []projection.Row{row("a", "2"), row("b", "2")}), problem.Conflict)
	}
	wantKind(t, b.store.States().Save(b.ctx, "none", projection.Move{Version: 1, To: 9}, nil), problem.Conflict)
	if got := b.load("p", "a", "b"); !maps.Equal(got, map[string]string{"a": "1"}) || b.cursor("p", 1) != 5 {
		t.Fatalf("a refused save left %v", got)
	}
	// Of savers from one cursor exactly one moves it, and its rows are there.
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won []string
	for i := range 16 {
		wg.Go(func() {
			state := fmt.Sprint(i)
			err := b.store.States().Save(b.ctx, "p", projection.Move{Version: 1, From: 5, To: 6}, []projection.Row{row("a", state), row("c", state)})
			if err == nil {
				mu.Lock()
				won = append(won, state)
				mu.Unlock()
			} else if problem.KindOf(err) != problem.Conflict {
				t.Errorf("save: %v", err)
			}
		})
	}
	wg.Wait()
	if got := b.load("p", "a", "c"); len(won) != 1 || got["a"] != won[0] || got["c"] != won[0] {
		t.Fatalf("winners %v, states %v", won, got)
	}
}

func testReplace(t *testing.T, b *bench) {
	x := projection.Index{Name: "x", Value: "y", Sort: "1"}
	b.cursor("p", 1)
	b.save("p", 1, 0, 5, row("a", "1", x), row("b", "1", x))
	b.cursor("p~", 1)
	b.save("p~", 1, 0, 7, row("b", "2"), row("c", "2", x))
	if err := b.store.States().Replace(b.ctx, "p", "p~"); err != nil {
		t.Fatal(err)
	}
	if got := b.load("p", "a", "b", "c"); !maps.Equal(got, map[string]string{"b": "2", "c": "2"}) || b.cursor("p", 1) != 7 {
		t.Fatalf("states %v, cursor %d", got, b.cursor("p", 1))
	}
	if got := b.list("p", projection.Filter{Index: "x", Value: "y"}); got != "c" {
		t.Fatalf("index: %q", got)
	}
	if got := b.load("p~", "b"); len(got) != 0 || b.cursor("p~", 1) != 0 {
		t.Fatalf("the replacing states are still there: %v", got)
	}
	wantKind(t, b.store.States().Replace(b.ctx, "p", "none"), problem.Conflict)
	if got := b.load("p", "b"); got["b"] != "2" {
		t.Fatalf("a refused replacement left %v", got)
	}
}

// tally is the sample state: what was noted about a subject.
type tally struct {
	Count int      `json:"count"`
	Sum   int      `json:"sum"`
	Texts []string `json:"texts,omitempty"`
	Last  int64    `json:"last"`
}

func tallies(name string) *projection.Projection {
	return projection.Define(projection.Fold[tally]{
		Name: name, Version: 1, Types: []string{"note.", event.TypeErased},
		Keys: func(e event.Event) []string {
			if e.Type == event.TypeErased {
				return nil
			}
			return []string{e.Subject, "all"}
		},
		Apply: func(_ string, s tally, e event.Event) (tally, error) {
			n, err := event.Decode[note](e)
			if n.Text == "poison" {
				err = errors.New("poisoned")
			}
			s.Count, s.Sum, s.Last = s.Count+1, s.Sum+n.N, e.Position
			if len(s.Texts) < 5 {
				s.Texts = append(s.Texts[:len(s.Texts):len(s.Texts)], n.Text)
			}
			return s, err
		},
		Indexes: func(key string, s tally) []projection.Index {
			return []projection.Index{{Name: "parity", Value: fmt.Sprint(s.Count % 2), Sort: fmt.Sprintf("%08d", s.Last)}}
		},
	})
}

// shown is everything a projection shows, in one comparable text.
func (b *bench) shown(r projection.Reader, name string) string {
	b.t.Helper()
	var out strings.Builder
	for _, f := range []projection.Filter{{}, {Index: "parity", Value: "0"}, {Index: "parity", Value: "1", Newest: true}} {
		page, err := r.List(b.ctx, name, f)
		if err != nil {
			b.t.Fatalf("list: %v", err)
		}
		for _, row := range page.Rows {
			fmt.Fprintf(&out, "%s=%s\n", row.Key, row.State)
		}
		out.WriteString("--\n")
	}
	return out.String()
}

func testIncremental(t *testing.T, b *bench) {
	rapid.Check(t, func(rt *rapid.T) {
		s := b.Open(t, b.clock)
		defer s.Close()
		runner := projection.NewRunner(s.Log(), s.States(), tallies("tally"))
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			default:
				var drafts []event.Draft
				for range rapid.IntRange(1, 5).Draw(rt, "events") {
					d := draft(rapid.SampledFrom([]string{"note.taken", "note.read", "other.thing"}).Draw(rt, "type"), rapid.IntRange(0, 9).Draw(rt, "n"))
					d.Subject = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "subject")
					drafts = append(drafts, d)
				}
				if _, err := s.Log().Append(b.ctx, event.Batch{Stream: "s", Expect: event.AnyVersion, Drafts: drafts}); err != nil {
					rt.Fatal(err)
				}
			case 3:
				if h, _ := s.Log().Head(b.ctx); h.Position > 0 {
					if err := s.Log().Erase(b.ctx, rapid.Int64Range(1, h.Position).Draw(rt, "erased"), "user:ana", "leaked"); err != nil {
						rt.Fatal(err)
					}
				}
			case 4:
				if err := runner.CatchUp(b.ctx); err != nil {
					rt.Fatal(err)
				}
			case 5: // a new process
				runner = projection.NewRunner(s.Log(), s.States(), tallies("tally"))
			}
		}
		if err := runner.CatchUp(b.ctx); err != nil {
			rt.Fatal(err)
		}
		if err := projection.Rebuild(b.ctx, s.Log(), s.States(), event.Query{}, tallies("scratch")); err != nil {
			rt.Fatal(err)
		}
		if one, all := b.shown(s.States(), "tally"), b.shown(s.States(), "scratch"); one != all {
			rt.Fatalf("incremental:\n%s\nfrom scratch:\n%s", one, all)
		}
	})
}

func testTwoRunners(t *testing.T, b *bench) {
	// Two servers fold the same projection at the same time: no event counts
	// twice, however their batches overlap.
	two := b.store
	if b.Another != nil {
		two = b.Another(t, b.store, b.clock)
		t.Cleanup(func() { _ = two.Close() })
	}
	var wg sync.WaitGroup
	for w := range 4 {
		s := b.store
		if w%2 == 1 {
			s = two
		}
		runner := projection.NewRunner(s.Log(), s.States(), tallies("tally"))
		wg.Go(func() {
			for i := range 20 {
				d := draft("note.taken", 1)
				d.Subject = fmt.Sprint(i % 3)
				if _, err := s.Log().Append(b.ctx, event.Batch{Stream: "s", Expect: event.AnyVersion, Drafts: []event.Draft{d}}); err != nil {
					t.Errorf("append: %v", err)
				}
				if err := runner.CatchUp(b.ctx); err != nil {
					t.Errorf("catch up: %v", err)
				}
			}
		})
	}
	wg.Wait()
	all, ok, err := projection.Get[tally](b.ctx, b.store.States(), "tally", "all")
	if err != nil || !ok || all.Count != 80 || all.Sum != 80 {
		t.Fatalf("folded %+v, %v, %v; want 80 events", all, ok, err)
	}
	many := make([]event.Draft, 1500)
	for i := range many {
		many[i] = draft("note.taken", 1)
	}
	b.append("s", event.AnyVersion, many...)
	b.append("s", event.AnyVersion, many...)
	for w := range 4 {
		s := b.store
		if w%2 == 1 {
			s = two
		}
		wg.Go(func() {
			if err := projection.NewRunner(s.Log(), s.States(), tallies("tally")).CatchUp(b.ctx); err != nil {
				t.Errorf("catch up: %v", err)
			}
		})
	}
	wg.Wait()
	if all, _, err := projection.Get[tally](b.ctx, b.store.States(), "tally", "all"); err != nil || all.Count != 3080 {
		t.Fatalf("folded %+v, %v; want 3080 events", all, err)
	}
	// A fold that fails stops; it skips nothing.
	d := draft("note.taken", 1)
	d.Data = note{Text: "poison"}
	b.append("s", event.AnyVersion, d)
	b.append("s", event.AnyVersion, draft("note.taken", 1))
	runner := projection.NewRunner(b.log, b.store.States(), tallies("tally"))
	err = runner.CatchUp(b.ctx)
	wantKind(t, err, problem.Internal)
	if !strings.Contains(err.Error(), "stopped at position 3081") {
		t.Fatalf("message %q", err)
	}
	if c := b.cursor("tally", 1); c != 3080 {
		t.Fatalf("the cursor moved to %d past an event that cannot be folded", c)
	}
}

func testErasedStates(t *testing.T, b *bench) {
	runner := projection.NewRunner(b.log, b.store.States(), tallies("tally"))
	sentinel := "SENTINEL-STATE"
	d := draft("note.taken", 1)
	d.Subject, d.Data = "a", note{Text: sentinel, N: 3}
	b.append("s", 0, d, draft("note.taken", 2))
	if err := runner.CatchUp(b.ctx); err != nil {
		t.Fatal(err)
	}
	if got := b.load("tally", "a"); !strings.Contains(got["a"], sentinel) {
		t.Fatalf("state before the erasure: %v", got)
	}
	if err := b.log.Erase(b.ctx, 1, "user:ana", "leaked"); err != nil {
		t.Fatal(err)
	}
	if err := runner.CatchUp(b.ctx); err != nil {
		t.Fatal(err)
	}
	if got := b.shown(b.store.States(), "tally"); strings.Contains(got, sentinel) || !strings.Contains(got, `all={"count":2,"sum":2`) {
		t.Fatalf("states after the erasure: %v", got)
	}
	if b.Raw != nil && strings.Contains(string(b.Raw(t, b.store)), sentinel) {
		t.Fatal("the erased payload is still at rest, in a state")
	}
}
