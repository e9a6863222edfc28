package dora

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)

func hour(h float64) time.Time { return epoch.Add(time.Duration(h * float64(time.Hour))) }

// pushOf is the push of a commit after another, with one commit authored an
// hour before unless more are named.
func pushOf(commit, previous string, at float64, commits ...Commit) Push {
	if len(commits) == 0 {
		commits = []Commit{{SHA: commit, Authored: hour(at - 1)}}
	}
	return Push{Change: "c-" + commit, Service: "s", Commit: commit, Previous: previous, PushedAt: hour(at), Commits: commits}
}

func promoted(rollout, commit, kind string, at float64) Deployment {
	return Deployment{Rollout: rollout, Change: "c-" + commit, Service: "s", Environment: "prod", Commit: commit, Kind: kind, At: hour(at), Outcome: outcomePromoted, Weight: 10000}
}

func takenBack(rollout, commit string, at float64) Deployment {
	d := promoted(rollout, commit, kindDeploy, at)
	d.Outcome, d.Weight = "rolled_back", 500
	return d
}

func describe(deliveries []Delivery) []string {
	var out []string
	for _, d := range deliveries {
		s := d.Rollout + " " + d.Kind + " " + d.Verdict
		for _, l := range d.Changes {
			s += fmt.Sprintf(" %s:%d:%g/%g", l.Change, l.Commits, l.FirstCommit.Hours(), l.Push.Hours())
		}
		if d.Unknown {
			s += " unknown"
		}
		if d.Undid != "" {
			s += " undid " + d.Undid
		}
		if d.Failure != nil {
			s += fmt.Sprintf(" down %g", d.Failure.Ended.Sub(d.Failure.Began).Hours())
		}
		if d.Rework {
			s += " rework"
		}
		if len(d.Suspected) > 0 {
			s += " suspected"
		}
		out = append(out, s)
	}
	return out
}

// TestTraps is the table of what naive numbers get wrong.
func TestTraps(t *testing.T) {
	chain := []Push{pushOf("a", "", 0), pushOf("b", "a", 10), pushOf("c", "b", 20), pushOf("d", "c", 30)}
	fix := pushOf("d", "c", 30)
	fix.Mark = markFix
	hurt := func(name string, began, over float64) Incident {
		return Incident{Incident: name, Service: "s", Environment: "prod", Severity: 2, BeganAt: hour(began), OverAt: hour(over)}
	}
	suspect, culprit, backed := hurt("i1", 23, 25), hurt("i1", 23, 25), hurt("i1", 22, 26)
	suspect.Suspects = []string{"r3"}
	culprit.Culprits = []Culprit{{Rollout: "r3", By: "user:ana"}}
	backed.TakenBack = []string{"r3"}
	minor := hurt("i2", 11, 12)
	minor.Severity, minor.TakenBack = 3, []string{"r2"}
	for name, c := range map[string]struct {
		h    History
		want []string
	}{
		"the first deployment takes no history": {
			History{Pushes: chain, Deployments: []Deployment{promoted("r1", "c", "deploy", 22), promoted("r2", "d", "deploy", 32)}},
			[]string{"r1 baseline good", "r2 deploy good c-d:1:3/2"},
		},
		"a deployment that skips pushes delivers them all": {
			History{Pushes: chain, Deployments: []Deployment{promoted("r1", "a", "deploy", 1), promoted("r2", "d", "deploy", 32)}},
			[]string{"r1 baseline good", "r2 deploy good c-b:1:23/22 c-c:1:13/12 c-d:1:3/2"},
		},
		"what the canary caught is delivered later": {
			History{Pushes: chain, Deployments: []Deployment{promoted("r1", "a", "deploy", 1), takenBack("r2", "b", 11), promoted("r3", "c", "deploy", 22)}},
			[]string{"r1 baseline good", "r2 deploy caught", "r3 deploy good c-b:1:13/12 c-c:1:3/2"},
		},
		"a rollback is no change, fails what it undoes, and the next one delivers only what is new": {
			History{Pushes: chain, Deployments: []Deployment{promoted("r1", "a", "deploy", 1), promoted("r2", "b", "deploy", 12), promoted("r3", "a", "rollback", 15), promoted("r4", "c", "deploy", 22)}},
			[]string{"r1 baseline good", "r2 deploy failed c-b:1:3/2 down 3", "r3 rollback good undid r2", "r4 deploy good c-c:1:3/2"},
		},
		"going back without saying so is a rollback all the same": {
			History{Pushes: chain, Deployments: []Deployment{promoted("r1", "a", "", 1), promoted("r2", "b", "", 12), promoted("r3", "a", "", 15)}},
			[]string{"r1 baseline good", "r2 deploy failed c-b:1:3/2 down 3", "r3 rollback good undid r2"},
		},
		"two rollbacks in a row undo two": {
			History{Pushes: chain, Deployments: []Deployment{promoted("r1", "a", "deploy", 1), promoted("r2", "b", "deploy", 11), promoted("r3", "c", "deploy", 21), promoted("r4", "b", "rollback", 22), promoted("r5", "a", "rollback", 23)}},
			[]string{"r1 baseline good", "r2 deploy failed c-b:1:2/1 down 12", "r3 deploy failed c-c:1:2/1 down 1", "r4 rollback good undid r3", "r5 rollback good undid r2"},
		},
		"the same again is a redeployment": {
			History{Pushes: chain, Deployments: []Deployment{promoted("r1", "a", "deploy", 1), promoted("r2", "b", "deploy", 12), promoted("r3", "b", "deploy", 13)}},
			[]string{"r1 baseline good", "r2 deploy good c-b:1:3/2", "r3 redeploy good"},
		},
		"commits pushed again after a force-push count once": {
			History{
				Pushes:      []Push{pushOf("a", "", 0), pushOf("b", "a", 10), pushOf("x", "", 20, Commit{SHA: "b", Authored: hour(9)}, Commit{SHA: "x", Authored: hour(19)})},
				Deployments: []Deployment{promoted("r1", "a", "deploy", 1), promoted("r2", "b", "deploy", 12), promoted("r3", "x", "deploy", 22)}},
			[]string{"r1 baseline good", "r2 deploy good c-b:1:3/2", "r3 deploy good c-x:1:3/2"},
		},
		"a change's lead time begins with its first commit, by the author's date": {
			History{
				Pushes:      []Push{pushOf("a", "", 0), pushOf("b", "a", 100, Commit{SHA: "b", Authored: hour(99)}, Commit{SHA: "b1", Authored: hour(40)}, Commit{SHA: "b2", Authored: hour(60)})},
				Deployments: []Deployment{promoted("r1", "a", "deploy", 1), promoted("r2", "b", "deploy", 101)}},
			[]string{"r1 baseline good", "r2 deploy good c-b:3:61/1"},
		},
		"a clock that is ahead gives no negative time": {
			History{
				Pushes:      []Push{pushOf("a", "", 0), pushOf("b", "a", 10, Commit{SHA: "b", Authored: hour(50)})},
				Deployments: []Deployment{promoted("r1", "a", "deploy", 1), promoted("r2", "b", "deploy", 12)}},
			[]string{"r1 baseline good", "r2 deploy good c-b:1:0/2"},
		},
		"a deployment whose push is unknown has no lead time": {
			History{Pushes: chain[:1], Deployments: []Deployment{promoted("r1", "a", "deploy", 1), promoted("r2", "zz", "deploy", 12)}},
			[]string{"r1 baseline good", "r2 deploy good unknown"},
		},
		"facts that come late are put in their place": {
			History{Pushes: []Push{chain[3], chain[1], chain[0], chain[2]}, Deployments: []Deployment{promoted("r3", "c", "deploy", 22), promoted("r1", "a", "deploy", 1), promoted("r2", "b", "deploy", 12)}},
			[]string{"r1 baseline good", "r2 deploy good c-b:1:3/2", "r3 deploy good c-c:1:3/2"},
		},
		"coming before an incident proves nothing": {
			History{Pushes: chain, Deployments: []Deployment{promoted("r2", "b", "deploy", 12), promoted("r3", "c", "deploy", 22)}, Incidents: []Incident{suspect}},
			[]string{"r2 baseline good", "r3 deploy good c-c:1:3/2 suspected"},
		},
		"a person says which deployment it was": {
			History{Pushes: chain, Deployments: []Deployment{promoted("r2", "b", "deploy", 12), promoted("r3", "c", "deploy", 22)}, Incidents: []Incident{culprit}},
			[]string{"r2 baseline good", "r3 deploy failed c-c:1:3/2 down 2"},
		},
		"a canary that hurt users enough to page was not caught before users": {
			History{Pushes: chain, Deployments: []Deployment{promoted("r2", "b", "deploy", 12), takenBack("r3", "c", 23)}, Incidents: []Incident{backed}},
			[]string{"r2 baseline good", "r3 deploy failed down 1"},
		},
		"a canary taken back with a minor incident was caught": {
			History{Pushes: chain, Deployments: []Deployment{promoted("r1", "a", "deploy", 1), takenBack("r2", "b", 11)}, Incidents: []Incident{minor}},
			[]string{"r1 baseline good", "r2 deploy caught"},
		},
		"an outage undone by a rollback began when users were hurt": {
			History{Pushes: chain, Deployments: []Deployment{promoted("r2", "b", "deploy", 12), promoted("r3", "c", "deploy", 22), promoted("r4", "b", "rollback", 24)}, Incidents: []Incident{hurt("i1", 23, 24)}},
			[]string{"r2 baseline good", "r3 deploy failed c-c:1:3/2 down 1", "r4 rollback good undid r3"},
		},
		"a fix is rework": {
			History{Pushes: []Push{chain[0], chain[1], chain[2], fix}, Deployments: []Deployment{promoted("r2", "b", "deploy", 12), promoted("r3", "c", "deploy", 22), promoted("r4", "d", "deploy", 32)}, Incidents: []Incident{culprit}},
			[]string{"r2 baseline good", "r3 deploy failed c-c:1:3/2 down 2", "r4 deploy good c-d:1:3/2 rework"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := describe(Attribute(c.h)); !slices.Equal(got, c.want) {
				t.Errorf("got\n%q\nwant\n%q", got, c.want)
			}
		})
	}
}

// TestAttributeTwin: what each deployment brought equals everything reachable
// from its commit minus everything reachable from an earlier one.
func TestAttributeTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h History
		n := rapid.IntRange(1, 15).Draw(t, "pushes")
		parent := map[string]string{}
		for i := range n {
			p := pushOf(fmt.Sprint("c", i), "", float64(i))
			if i > 0 && rapid.IntRange(0, 5).Draw(t, "forced") > 0 {
				p.Previous = fmt.Sprint("c", rapid.IntRange(0, i-1).Draw(t, "previous"))
			}
			parent[p.Commit] = p.Previous
			h.Pushes = append(h.Pushes, p)
		}
		for i := range rapid.IntRange(1, 20).Draw(t, "deployments") {
			commit := fmt.Sprint("c", rapid.IntRange(0, n-1).Draw(t, "deployed"))
			d := promoted(fmt.Sprint("r", i), commit, "", float64(100+i))
			if rapid.IntRange(0, 3).Draw(t, "ended") == 0 {
				d.Outcome = "rolled_back"
			}
			h.Deployments = append(h.Deployments, d)
		}
		reachable := func(commit string) map[string]bool {
			out := map[string]bool{}
			for ; commit != ""; commit = parent[commit] {
				out["c-"+commit] = true
			}
			return out
		}
		before := map[string]bool{}
		first := true
		total := map[string]int{}
		for i, got := range Attribute(h) {
			d := h.Deployments[i]
			want := map[string]bool{}
			if d.Outcome == outcomePromoted {
				for c := range reachable(d.Commit) {
					if !before[c] && !first {
						want[c] = true
					}
					before[c] = true
				}
				first = false
			}
			if len(got.Changes) != len(want) {
				t.Fatalf("%s brought %v, want %v", d.Rollout, got.Changes, want)
			}
			for _, l := range got.Changes {
				if total[l.Change]++; !want[l.Change] || total[l.Change] > 1 {
					t.Fatalf("%s brought %s, want %v", d.Rollout, l.Change, want)
				}
			}
		}
	})
}

// TestDowntimeTwin: covered time equals a count of the minutes in which
// anything is down.
func TestDowntimeTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := Window{From: hour(1), To: hour(5)}
		var outages []Outage
		for range rapid.IntRange(0, 8).Draw(t, "outages") {
			from := rapid.IntRange(0, 360).Draw(t, "from")
			o := Outage{Began: epoch.Add(time.Duration(from) * time.Minute)}
			if rapid.IntRange(0, 4).Draw(t, "over") > 0 {
				o.Ended = o.Began.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "length")) * time.Minute)
			}
			outages = append(outages, o)
		}
		want := 0
		for at := w.From; at.Before(w.To); at = at.Add(time.Minute) {
			for _, o := range outages {
				if !at.Before(o.Began) && (o.Ended.IsZero() || at.Before(o.Ended)) {
					want++
					break
				}
			}
		}
		if got := downtime(outages, w).Minutes(); got != float64(want) {
			t.Fatalf("%g minutes, want %d of %v", got, want, outages)
		}
	})
}

// TestKaplanMeierTwin follows the product-limit definition, time by time.
func TestKaplanMeierTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var spells []spell
		for range rapid.IntRange(1, 30).Draw(t, "spells") {
			spells = append(spells, spell{float64(rapid.IntRange(1, 12).Draw(t, "seconds")), rapid.IntRange(0, 2).Draw(t, "open") == 0})
		}
		got := kaplanMeier(spells)
		alive, median, reached := 1.0, 0.0, false
		for at := 1.0; at <= 12; at++ {
			risk, ended := 0, 0
			for _, s := range spells {
				if s.seconds >= at {
					risk++
				}
				if s.seconds == at && !s.censored {
					ended++
				}
			}
			if risk > 0 {
				alive *= 1 - float64(ended)/float64(risk)
			}
			if !reached && ended > 0 && alive <= 0.5+1e-12 {
				median, reached = at, true
			}
		}
		if got.median != median || got.reached != reached {
			t.Fatalf("%v: median %g (%t), want %g (%t)", spells, got.median, got.reached, median, reached)
		}
		if got.reached && (got.low == nil || *got.low > got.median || got.high != nil && *got.high < got.median) {
			t.Fatalf("%v: median %g outside of its interval %v %v", spells, got.median, got.low, got.high)
		}
	})
}

// TestKaplanMeier: both arms of Freireich's leukaemia trial (1963), as every
// textbook has them: medians of 8 and 23 weeks; on the log-log scale 4 to 11,
// and 13 to unbounded.
func TestKaplanMeier(t *testing.T) {
	var control, treated []spell
	for _, w := range []float64{1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23} {
		control = append(control, spell{seconds: w})
	}
	for _, w := range []float64{6, 6, 6, 7, 10, 13, 16, 22, 23} {
		treated = append(treated, spell{seconds: w})
	}
	for _, w := range []float64{6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35} {
		treated = append(treated, spell{seconds: w, censored: true})
	}
	if s := kaplanMeier(control); s.median != 8 || *s.low != 4 || *s.high != 11 {
		t.Errorf("control: %g [%g, %g]", s.median, *s.low, *s.high)
	}
	if s := kaplanMeier(treated); s.median != 23 || *s.low != 13 || s.high != nil {
		t.Errorf("treated: %g %v %v", s.median, *s.low, s.high)
	}
	// Leaving out what is not over would have said 10.
	if s := kaplanMeier(treated[:9]); s.median != 10 {
		t.Errorf("without the censored: %g", s.median)
	}
}

func TestIntervals(t *testing.T) {
	near := func(got, want float64) bool { return math.Abs(got-want) < 5e-4*max(1, want) }
	// Garwood's table, 95 %.
	for n, want := range map[int][2]float64{0: {0, 3.6889}, 1: {0.0253, 5.5716}, 5: {1.6235, 11.6683}, 10: {4.7954, 18.3904}, 100: {81.3640, 121.6269}} {
		if low, high := countInterval(n); !near(low, want[0]) || !near(high, want[1]) {
			t.Errorf("count %d: [%g, %g], want %v", n, low, high, want)
		}
	}
	for _, c := range []struct {
		k, n      int
		low, high float64
	}{{0, 10, 0, 0.2775}, {1, 10, 0.0179, 0.4042}, {5, 10, 0.2366, 0.7634}, {10, 10, 0.7225, 1}} {
		if low, high := proportionInterval(c.k, c.n); !near(low, c.low) || !near(high, c.high) {
			t.Errorf("%d of %d: [%g, %g], want %v", c.k, c.n, low, high, c)
		}
	}
	// Ranks of the median's interval (Conover's table): 2 and 9 of 10, 6 and 15 of 20.
	for n, want := range map[int][2]float64{6: {1, 6}, 10: {2, 9}, 20: {6, 15}} {
		var v []float64
		for i := range n {
			v = append(v, float64(i+1))
		}
		low, high := quantileInterval(v, 0.5)
		if low == nil || high == nil || *low != want[0] || *high != want[1] {
			t.Errorf("median of %d: %v %v, want %v", n, low, high, want)
		}
	}
	if low, high := quantileInterval([]float64{1, 2, 3, 4, 5}, 0.5); low != nil || high != nil {
		t.Error("five values have no 95 % interval of the median")
	}
}

func TestQuantileTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Float64Range(0, 1e6), 1, 50).Draw(t, "values")
		s := sorted(v)
		want := s[len(s)/2]
		if len(s)%2 == 0 {
			want = (s[len(s)/2-1] + s[len(s)/2]) / 2
		}
		if got := quantile(s, 0.5); math.Abs(got-want) > 1e-9*max(1, want) {
			t.Fatalf("median of %v: %g, want %g", s, got, want)
		}
		if quantile(s, 0) != s[0] || quantile(s, 1) != s[len(s)-1] || quantile(s, 0.9) < quantile(s, 0.5) {
			t.Fatalf("ends of %v", s)
		}
	})
}
