package incident

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// The change point is where the rate changes, in thousands of histories; where
// it does not change, none is found.
func TestChangePoint(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	draw := func(n int, p float64) (bad int64) {
		for range n {
			if r.Float64() < p {
				bad++
			}
		}
		return bad
	}
	near, found, false_ := 0, 0, 0
	const histories = 1000
	for range histories {
		at := 20 + r.IntN(90)
		var changed, steady []Slot
		for m := range 120 {
			p := 0.001
			if m >= at {
				p = 0.05
			}
			start := noon.Add(time.Duration(m) * time.Minute)
			changed = append(changed, Slot{At: start, Total: 300, Bad: draw(300, p)})
			steady = append(steady, Slot{At: start, Total: 300, Bad: draw(300, 0.01)})
		}
		if o, ok := changePoint(changed, time.Minute); ok {
			found++
			if d := o.At.Sub(noon.Add(time.Duration(at) * time.Minute)); d.Abs() <= time.Minute {
				near++
			}
		}
		if _, ok := changePoint(steady, time.Minute); ok {
			false_++
		}
	}
	if found != histories || near < histories*99/100 || false_ > histories/100 {
		t.Errorf("of %d changes %d were found, %d of them to the minute; %d were found where there was none", histories, found, near, false_)
	}
	if _, ok := changePoint(nil, time.Minute); ok {
		t.Error("a change was found in nothing")
	}
	falling := []Slot{{At: noon, Total: 1000, Bad: 500}, {At: noon.Add(time.Minute), Total: 1000}}
	if _, ok := changePoint(falling, time.Minute); ok {
		t.Error("a change for the better was taken for trouble")
	}
}

func rolled(name string, weight int, at time.Duration) Change {
	return Change{Kind: ChangeRollout, Name: name, Service: "checkout", Environment: "prod", At: noon.Add(at - time.Minute), Steps: []Exposure{{noon.Add(at), weight}}}
}

// What came before, close, on the same service and went back weighs most; what
// came after, elsewhere, or was gone already is no suspect.
func TestSuspects(t *testing.T) {
	back := rolled("back", 2500, -40*time.Second)
	back.Outcome, back.EndedAt, back.Bad, back.Requests = "rolled_back", noon.Add(2*time.Minute), 19, 1204
	moving := rolled("moving", 500, -9*time.Minute)
	promoted := rolled("promoted", 10_000, -40*time.Minute)
	promoted.Outcome, promoted.From, promoted.EndedAt = "promoted", "before", noon.Add(-40*time.Minute)
	replaced := rolled("replaced", 10_000, -3*time.Hour)
	replaced.Outcome, replaced.EndedAt = "promoted", noon.Add(-3*time.Hour)
	dependency := rolled("dependency", 2500, -30*time.Second)
	dependency.Service = "stock"
	after := rolled("after", 2500, 30*time.Second)
	earlier := rolled("gone", 2500, -30*time.Minute)
	earlier.Outcome, earlier.EndedAt = "rolled_back", noon.Add(-20*time.Minute)
	elsewhere := rolled("elsewhere", 2500, -time.Second)
	elsewhere.Environment = "staging"
	file := Change{Kind: ChangeResource, Name: "service/checkout", Service: "checkout", At: noon.Add(-time.Minute), Text: "Service checkout was applied"}
	stranger := rolled("stranger", 2500, -time.Second)
	stranger.Service = "mail"
	a := accused{
		incident: Incident{Place: Place{Service: "checkout", Environment: "prod"}, Command: Command{}, MitigatedAt: noon.Add(5 * time.Minute)},
		onset:    Onset{At: noon}, now: noon.Add(time.Hour),
		near: map[string]near{"checkout": {}, "stock": {1, "checkout"}},
	}
	suspects := a.rank([]Change{replaced, promoted, moving, back, dependency, after, earlier, elsewhere, file, stranger})
	var got []string
	for _, s := range suspects {
		got = append(got, strings.Join([]string{s.Name, s.State, s.Undo, strings.Join(s.Why, "; ")}, " | "))
	}
	want := []string{
		"back | rolled_back |  | trouble began 40 s after it took 25 %; the same service; it was taken back: 19 of its 1204 requests were bad; users were no longer hurt 3 min after it was gone",
		"dependency | moving | rollout.abort | trouble began 30 s after it took 25 %; checkout depends on stock",
		"service/checkout |  |  | trouble began 60 s after it was made; the same service; Service checkout was applied",
		"moving | moving | rollout.abort | trouble began 9 min after it took 5 %; the same service",
		"promoted | promoted | release.rollback | the same service; trouble began 40 min after it took 100 %",
		"replaced | replaced |  | the same service; trouble began 3.0 h after it took 100 %",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("ranked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i := 1; i < len(suspects); i++ {
		if suspects[i].Score > suspects[i-1].Score || suspects[i].Score < 1 || suspects[0].Score > 100 {
			t.Errorf("scores are %+v", suspects)
		}
	}

	// A slot of a minute cannot tell what came first within it; a culprit that a
	// person named comes first; one that is gone while it still hurts comes last.
	a.onset.Width = time.Minute
	a.incident.MitigatedAt = time.Time{}
	a.incident.Links = []Link{{Role: RoleCulprit, Rollout: "promoted", Text: "the flame graph says so"}}
	suspects = a.rank([]Change{after, promoted, back})
	if suspects[0].Name != "promoted" || suspects[0].Why[0] != "named as the cause: the flame graph says so" || suspects[0].Score != 100 {
		t.Errorf("named as the cause, but %+v", suspects[0])
	}
	if suspects[1].Name != "after" || suspects[1].Why[0] != "trouble began within 60 s of when it took 25 %" {
		t.Errorf("within the same slot, but %+v", suspects[1])
	}
	if last := suspects[2]; last.Name != "back" || !strings.Contains(strings.Join(last.Why, "; "), "users were still hurt 58 min after it was gone") {
		t.Errorf("gone while it still hurts, but %+v", last)
	}
}
