package postmortem_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
)

// TestBad checks that each mistake in testdata/bad gets the message beside it.
func TestBad(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.txtar")
	if len(files) == 0 {
		t.Fatal("no bad inputs")
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		_, findings := resource.Load(kinds(), map[string][]byte{a.Files[0].Name: a.Files[0].Data})
		for _, f := range findings {
			fmt.Fprintln(&got, f)
		}
		if want := string(a.Files[1].Data); got.String() != want && !*update {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got.String(), want)
		} else if *update {
			a.Files[1].Data = []byte(got.String())
			if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRandomLives leads random postmortems through random steps: every state
// that is folded fact by fact is the one folded from scratch, every decision
// can be recomputed, and no edit is ever lost.
func TestRandomLives(t *testing.T) {
	rapid.Check(t, func(q *rapid.T) {
		r := newRoom(t)
		for n := range rapid.IntRange(1, 3).Draw(q, "incidents") {
			r.trouble(q, fmt.Sprintf("inc-checkout-%d", n))
		}
		written := map[string]bool{}
		for range rapid.IntRange(1, 25).Draw(q, "steps") {
			r.advance(r.clock.Now().Add(time.Duration(rapid.IntRange(1, 200).Draw(q, "hours"))*time.Hour), func() {})
			pm := fmt.Sprintf("pm-checkout-%d", rapid.IntRange(0, 3).Draw(q, "which"))
			who := rapid.SampledFrom([]string{"ana", "ben", "dana", "boss"}).Draw(q, "who")
			op := rapid.SampledFrom([]string{"draft", "edit", "edit", "edit", "tag", "submit", "approve", "publish", "reopen", "excuse"}).Draw(q, "op")
			section := rapid.SampledFrom([]string{"summary", "lessons", "title"}).Draw(q, "section")
			text := rapid.SampledFrom([]string{"redis was full", "a limit was missing", "Ana Lovelace said so"}).Draw(q, "text")
			in, _ := json.Marshal(map[string]any{"postmortem": pm, "incident": strings.Replace(pm, "pm-", "inc-", 1), "section": section, "text": text,
				"base": rapid.IntRange(0, 4).Draw(q, "base"), "add": []string{"limits"}, "reason": "because"})
			if _, err := r.call(context.Background(), "postmortem."+op, who, string(in)); err == nil && op == "edit" {
				written[pm+section+text] = true
			}
			r.settle()
		}
		r.replay()
		r.rebuild()
		for n := range 4 {
			page, err := r.call(context.Background(), "postmortem.history", "ben", fmt.Sprintf(`{"postmortem":"pm-checkout-%d","limit":500}`, n))
			if err != nil {
				continue
			}
			for _, v := range page.(operation.Page[postmortem.Version]).Items {
				delete(written, fmt.Sprintf("pm-checkout-%d%s%s", n, v.Section, v.Text))
			}
		}
		if len(written) > 0 {
			q.Fatalf("written and not in the history: %v", written)
		}
	})
}

func (r *room) trouble(q *rapid.T, name string) {
	fact := func(typ, data string) {
		r.record("incident/checkout.prod", event.Draft{Type: typ, Subject: "incident/" + name, Actor: "user:dana",
			Data: json.RawMessage(`{"incident":"` + name + `","service":"checkout","team":"payments","environment":"prod",` + data + `}`)})
		r.settle()
		r.advance(r.clock.Now().Add(time.Duration(rapid.IntRange(0, 90).Draw(q, "minutes"))*time.Minute), func() {})
	}
	fact("incident.opened", fmt.Sprintf(`"severity":%d,"title":"carts fail","began":%q`, rapid.IntRange(1, 4).Draw(q, "severity"), r.clock.Now().Add(-time.Minute).Format(time.RFC3339)))
	for range rapid.IntRange(0, 6).Draw(q, "facts") {
		switch rapid.IntRange(0, 4).Draw(q, "fact") {
		case 0:
			fact("incident.linked", `"severity":3,"kind":"promotion","role":"suspect","change":"checkout-1","text":"by ana"`)
		case 1:
			fact("incident.paged", `"people":["ben"],"webhooks":1,"severity":2`)
		case 2:
			fact("incident.acknowledged", `"reason":"mine"`)
		case 3:
			fact("incident.assigned", `"role":"commander","person":"dana"`)
		case 4:
			fact("incident.mitigated", `"reason":"fine"`)
		}
	}
	if rapid.Bool().Draw(q, "resolved") {
		fact("incident.resolved", `"reason":"ana mended it"`)
	}
}

// TestSameFactsSameDraft: the draft is a function of the facts, and no person
// the catalog knows is in it unless asked for.
func TestSameFactsSameDraft(t *testing.T) {
	cast := []postmortem.Named{{Name: "Ana Lovelace", Role: "the author of the change"}, {Name: "ana", Role: "the author of the change"}, {Name: "ben", Role: "the commander"}}
	rapid.Check(t, func(q *rapid.T) {
		words := rapid.SliceOfN(rapid.SampledFrom([]string{"ana", "Ana Lovelace", "@ben,", "user:ben", "(Ben)", "ana's", "analysis", "redis", "failed.", "bench"}), 0, 12)
		var story postmortem.Story
		story.Cast = cast
		for range rapid.IntRange(0, 6).Draw(q, "entries") {
			story.Entries = append(story.Entries, postmortem.Entry{At: start, Type: "incident.noted", Actor: rapid.SampledFrom([]string{"user:ana", "user:zoe", "controller:x"}).Draw(q, "actor"), Text: strings.Join(words.Draw(q, "text"), " ")})
		}
		trouble := postmortem.Trouble{Title: strings.Join(words.Draw(q, "title"), " "), Severity: 2, Began: start, Opened: start.Add(time.Minute), Resolved: start.Add(time.Hour), Resolution: strings.Join(words.Draw(q, "resolution"), " ")}
		place := postmortem.Place{Postmortem: "pm-a", Incident: "inc-a", Service: "checkout", Team: "payments", Environment: "prod"}
		draft := postmortem.Draft(place, trouble, story, false)
		if again := postmortem.Draft(place, trouble, story, false); !reflect.DeepEqual(draft, again) {
			q.Fatalf("%+v\n%+v", draft, again)
		}
		for _, s := range draft.Sections {
			for _, word := range strings.FieldsFunc(strings.ToLower(s.Text+" "+draft.Title), func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz", r) }) {
				if slices.Contains([]string{"ana", "ben", "zoe", "lovelace"}, word) {
					q.Fatalf("%s names a person: %s", s.Section, s.Text)
				}
			}
		}
	})
}

// TestPersonsAreFound: what people enter is checked, and the role suggested.
func TestPersonsAreFound(t *testing.T) {
	r := newRoom(t)
	r.trial()
	out, err := r.call(t.Context(), "postmortem.edit", "ana", `{"postmortem":"pm-checkout-a","section":"badly","text":"We lost time.\nDana waited for Ben Hur, and nobody asked @ana or will; analysis took long."}`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range out.(postmortem.Edit).Findings {
		got = append(got, fmt.Sprintf("%d:%d %s", f.Line, f.Column, f.Message))
	}
	want := []string{
		`2:1 "Dana" names a person; write "the first responder"`,
		`2:17 "Ben Hur" names a person; write "an on-call engineer of payments"`,
		`2:43 "ana" names a person; write "an engineer of payments"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, err := r.call(t.Context(), "postmortem.draft", "ana", `{"incident":"inc-checkout-a","names":true}`); err != nil {
		t.Fatal(err)
	}
	shown, err := r.call(t.Context(), "postmortem.show", "ana", `{"postmortem":"pm-checkout-a"}`)
	if err != nil || len(shown.(postmortem.Document).Findings) != 0 {
		t.Errorf("named on purpose: %v, %v", shown.(postmortem.Document).Findings, err)
	}
}

// trial is one incident that was resolved.
func (r *room) trial() {
	place := `"incident":"inc-checkout-a","service":"checkout","team":"payments","environment":"prod"`
	for _, f := range [][2]string{
		{"incident.opened", `"severity":1,"title":"carts fail"`}, {"incident.paged", `"people":["ben"],"webhooks":1`},
		{"incident.acknowledged", `"reason":""`}, {"incident.resolved", `"reason":"ok"`},
	} {
		r.record("incident/checkout.prod", event.Draft{Type: f[0], Actor: "user:dana", Data: json.RawMessage("{" + place + "," + f[1] + "}")})
		r.clock.Advance(time.Minute)
	}
	r.settle()
}

// TestRepeatedCall: a call repeated under its key adds one action item, and a
// step that was taken is not refused the second time.
func TestRepeatedCall(t *testing.T) {
	r := newRoom(t)
	r.trial()
	for range 2 {
		out, err := r.call(operation.WithCall(t.Context(), "call-1"), "action-item.add", "ben", `{"postmortem":"pm-checkout-a","title":"x","kind":"prevent","owner":"ben","due":"2026-12-01"}`)
		if err != nil || out.(postmortem.ActionItem).Item != "pm-checkout-a-1" {
			t.Errorf("%+v, %v", out, err)
		}
	}
	if _, err := r.call(t.Context(), "postmortem.edit", "ben", `{"postmortem":"pm-checkout-a","section":"lessons","text":"limits"}`); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.call(operation.WithCall(t.Context(), "call-2"), "postmortem.submit", "ben", `{"postmortem":"pm-checkout-a"}`); err != nil {
			t.Error(err)
		}
	}
}

// TestAt: what was known at a moment is shown as it was known then.
func TestAt(t *testing.T) {
	r := newRoom(t)
	r.trial()
	if _, err := r.call(t.Context(), "postmortem.edit", "ben", `{"postmortem":"pm-checkout-a","section":"lessons","text":"first"}`); err != nil {
		t.Fatal(err)
	}
	then := r.clock.Now()
	r.clock.Advance(240 * time.Hour)
	r.settle()
	if _, err := r.call(t.Context(), "postmortem.edit", "ben", `{"postmortem":"pm-checkout-a","section":"lessons","text":"second"}`); err != nil {
		t.Fatal(err)
	}
	past := memoryAsOf(t, r, then)
	ctx := operation.WithAt(operation.WithReader(t.Context(), past), then)
	out, err := r.call(ctx, "postmortem.show", "ben", `{"postmortem":"pm-checkout-a"}`)
	if err != nil {
		t.Fatal(err)
	}
	if d := out.(postmortem.Document); d.Late || d.Sections[8].Text != "first" {
		t.Errorf("as of %s: late %t, lessons %q", then, d.Late, d.Sections[8].Text)
	}
	page, err := r.call(ctx, "postmortem.history", "ben", `{"postmortem":"pm-checkout-a","section":"lessons"}`)
	if err != nil || len(page.(operation.Page[postmortem.Version]).Items) != 1 {
		t.Errorf("history as of then: %+v, %v", page, err)
	}
	now, err := r.call(t.Context(), "postmortem.show", "ben", `{"postmortem":"pm-checkout-a"}`)
	if err != nil || !now.(postmortem.Document).Late {
		t.Errorf("now: %v", err)
	}
}
