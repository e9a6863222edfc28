package status_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/feedback/status"
)

// Whatever happens in whatever order: a component is told to be in the worst
// state that an open notice gives it, no draft is both waiting and done, what is
// resolved stays resolved, and each notice begins once.
func TestWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRoom(t)
		r.declare(page)
		states := status.States
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			s := r.show()
			switch rapid.IntRange(0, 5).Draw(rt, "what") {
			case 0, 1:
				r.counts.set(rapid.SampledFrom([]string{"checkout", "search"}).Draw(rt, "service"), "availability", slo.Availability, int64(rapid.SampledFrom([]int{0, 20, 80}).Draw(rt, "bad")), 100, "")
			case 2:
				if len(s.Drafts) > 0 {
					_, err := r.try(developer, "statuspage.post", status.PostInput{Page: "public", Draft: s.Drafts[0].ID})
					if err != nil {
						rt.Fatal(err)
					}
				}
			case 3:
				if len(s.Drafts) > 0 {
					if _, err := r.try(developer, "statuspage.discard", status.DiscardInput{Page: "public", Draft: s.Drafts[len(s.Drafts)-1].ID}); err != nil {
						rt.Fatal(err)
					}
				}
			case 4:
				in := status.PostInput{Title: "By hand", Text: "x", Components: []string{fmt.Sprintf("people=%s", rapid.SampledFrom(states).Draw(rt, "state"))}}
				if len(s.Open) > 0 && rapid.Bool().Draw(rt, "update") {
					in.Notice = s.Open[0].Name
				}
				r.say(in)
			case 5:
				if len(s.Open) > 0 {
					r.say(status.PostInput{Notice: s.Open[len(s.Open)-1].Name, Phase: "resolved", Text: "over"})
				}
			}
			r.pass(time.Duration(rapid.IntRange(1, 900).Draw(rt, "seconds")) * time.Second)
			r.holds(rt)
		}
	})
}

func (r *room) holds(t *rapid.T) {
	d, err := status.GetDesk(t.Context(), r.Reader, "public")
	if err != nil {
		t.Fatal(err)
	}
	v := r.view()
	if len(v.Open) != len(d.Open) || len(v.Open)+len(v.Past) != d.Notices {
		t.Fatalf("%d open of %d, %d in the history; the desk has %d", len(v.Open), d.Notices, len(v.Past), len(d.Open))
	}
	done := map[string]bool{}
	for _, id := range d.Done {
		done[id] = true
	}
	for _, x := range d.Drafts {
		if done[x.ID] {
			t.Fatalf("the draft %s waits and is done", x.ID)
		}
	}
	for _, g := range v.Groups {
		for _, c := range g.Components {
			worst := status.Operational
			for _, n := range v.Open {
				for _, s := range status.States {
					if n.Components[c.Name] == s && order(s) > order(worst) {
						worst = s
					}
				}
			}
			if c.State != worst {
				t.Fatalf("%s is told %s, its notices say %s", c.Name, c.State, worst)
			}
		}
	}
	for _, n := range v.Past {
		if n.ResolvedAt.IsZero() || n.ResolvedAt.Before(n.StartedAt) {
			t.Fatalf("%s began %s and ended %s", n.Name, n.StartedAt, n.ResolvedAt)
		}
	}
}

func order(s status.State) int {
	for i, x := range status.States {
		if x == s {
			return i
		}
	}
	return -1
}
