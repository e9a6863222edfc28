package postmortem_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
)

// memoryAsOf is the states as they were known at a moment.
func memoryAsOf(t *testing.T, r *room, at time.Time) projection.Reader {
	past := memory.New(memory.Options{Clock: r.clock})
	t.Cleanup(func() { past.Close() })
	if err := projection.Rebuild(t.Context(), r.Log, past.States(), event.Query{RecordedBy: at}, projections()...); err != nil {
		t.Fatal(err)
	}
	return past.States()
}

// library is a room with postmortems of two teams.
func library(t *testing.T, n int) *room {
	r := newRoom(t)
	for i := range n {
		team, service := "payments", "checkout"
		if i%3 == 0 {
			team, service = "discovery", "search"
		}
		place := postmortem.Place{Postmortem: fmt.Sprintf("pm-%04d", i), Incident: fmt.Sprintf("inc-%04d", i), Service: service, Team: team, Environment: "prod"}
		b, _ := json.Marshal(place)
		r.record("incident/x", event.Draft{Type: "incident.opened", Actor: "user:ana", Data: json.RawMessage(string(b[:len(b)-1]) + `,"severity":2,"title":"trouble"}`)})
		factors := []string{fmt.Sprintf("f%d", i%4)}
		text := fmt.Sprintf("Redis timeouts, number %d", i)
		if i%5 == 0 {
			text = "The naïve cache grew; disks were full"
		}
		r.record(place.Postmortem, event.Draft{Type: postmortem.EventDrafted, Subject: "postmortem/" + place.Postmortem, Actor: "user:ana",
			Data: postmortem.Drafted{Place: place, Title: "trouble", Sections: []postmortem.Written{{Section: "summary", Text: text}}, Factors: factors}})
		r.clock.Advance(time.Second)
	}
	if err := r.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSearch compares every search with a look at all postmortems, page by page.
func TestSearch(t *testing.T) {
	r := library(t, 60)
	all := func(in string) []string {
		var names []string
		after := ""
		for {
			out, err := r.call(t.Context(), "postmortem.list", "ben", strings.Replace(in, "}", fmt.Sprintf(`,"limit":7,"after":%q}`, after), 1))
			if err != nil {
				t.Fatal(err)
			}
			page := out.(operation.Page[postmortem.Row])
			if len(page.Items) > 7 {
				t.Fatalf("%d rows on a page of 7", len(page.Items))
			}
			for _, row := range page.Items {
				names = append(names, row.Postmortem)
			}
			if after = page.Next; after == "" {
				return names
			}
		}
	}
	want := func(keep func(i int) bool) []string {
		var names []string
		for i := 59; i >= 0; i-- {
			if keep(i) {
				names = append(names, fmt.Sprintf("pm-%04d", i))
			}
		}
		return names
	}
	for in, keep := range map[string]func(i int) bool{
		`{"state":"draft"}`:                                 func(int) bool { return true },
		`{"search":"TIMEOUT redis"}`:                        func(i int) bool { return i%5 != 0 },
		`{"search":"naïve disk"}`:                           func(i int) bool { return i%5 == 0 },
		`{"search":"redis naïve"}`:                          func(int) bool { return false },
		`{"search":"f2"}`:                                   func(i int) bool { return i%4 == 2 },
		`{"search":"redis","team":"discovery"}`:             func(i int) bool { return i%5 != 0 && i%3 == 0 },
		`{"factor":"f1","service":"checkout"}`:              func(i int) bool { return i%4 == 1 && i%3 != 0 },
		`{"team":"payments","state":"draft","factor":"f3"}`: func(i int) bool { return i%4 == 3 && i%3 != 0 },
		`{"state":"published"}`:                             func(int) bool { return false },
		`{"search":"number 17"}`:                            func(i int) bool { return i == 17 },
	} {
		if got, want := all(in), want(keep); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", in, got, want)
		}
	}
	if _, err := r.call(t.Context(), "postmortem.list", "ben", `{"search":"?"}`); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a search without a word: %v", err)
	}
	out, err := r.call(t.Context(), "postmortem.factors", "ben", `{"team":"payments","last":10}`)
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]int{}
	seen := 0
	for i := 59; seen < 10; i-- {
		if i%3 != 0 {
			counted[fmt.Sprintf("f%d", i%4)]++
			seen++
		}
	}
	for _, f := range out.(postmortem.Recurrences).Items {
		if f.In != counted[f.Factor] || f.Of != 10 || len(f.Postmortems) != f.In {
			t.Errorf("%s in %d of %d, want %d of 10", f.Factor, f.In, f.Of, counted[f.Factor])
		}
		delete(counted, f.Factor)
	}
	if len(counted) > 0 {
		t.Errorf("not counted: %v", counted)
	}
}

// FuzzNames: whatever the text, what is found lies in it, and a text without
// persons stays as it is.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"", "ana", "@ana: user:ana's", "Ana  Lovelace.", "analysis", "ana@example.org, Ana Lovelace-Byron", "\xff ana \x00", "will"} {
		f.Add(s)
	}
	story := postmortem.Story{Cast: []postmortem.Named{{Name: "ana", Role: "X"}, {Name: "Ana Lovelace", Role: "X"}, {Name: "ana@example.org", Role: "X"}, {Name: "will", Role: "X"}}}
	f.Fuzz(func(t *testing.T, text string) {
		trouble := postmortem.Trouble{Title: text, Severity: 1, Began: start, Opened: start}
		named := postmortem.Draft(postmortem.Place{}, trouble, story, true)
		plain := postmortem.Draft(postmortem.Place{}, trouble, story, false)
		if lower := strings.ToLower(text); !strings.Contains(lower, "ana") && !strings.Contains(lower, "will") && named.Title != plain.Title {
			t.Errorf("%q became %q", named.Title, plain.Title)
		}
		again := postmortem.Draft(postmortem.Place{}, postmortem.Trouble{Title: plain.Title, Severity: 1, Began: start, Opened: start}, story, false)
		if len(plain.Title) < 200 && again.Title != plain.Title {
			t.Errorf("%q holds a name still: %q", plain.Title, again.Title)
		}
	})
}

// FuzzFacts: no fact, whatever its payload, stops a projection with a panic, and
// what is folded can be stored.
func FuzzFacts(f *testing.F) {
	for _, typ := range []string{"incident.opened", "incident.linked", "incident.assigned", "postmortem.drafted", "postmortem.edited", "postmortem.item_added", "postmortem.item_closed", "postmortem.published"} {
		f.Add(typ, `{"incident":"inc-a","postmortem":"pm-a","item":"pm-a-1","severity":2,"sections":[{"section":"summary","text":"x"}],"evidence":{"kind":"test"}}`)
	}
	f.Add("postmortem.item_added", `{"incident":"inc-a","item":"-"}`)
	f.Fuzz(func(t *testing.T, typ, data string) {
		store := memory.New(memory.Options{})
		defer store.Close()
		if _, err := store.Log().Append(t.Context(), event.Batch{Stream: "x", Expect: event.AnyVersion, Drafts: []event.Draft{{Type: typ, Subject: "x", Actor: "a", Data: json.RawMessage(data)}}}); err != nil {
			t.Skip()
		}
		// A payload of the wrong shape may stop it, with an error.
		_ = projection.NewRunner(store.Log(), store.States(), postmortem.Projections()...).CatchUp(t.Context())
	})
}
