package rollout_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/judge"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

func ask(t *testing.T, body string) (rollout.Ruling, error) {
	t.Helper()
	op := (&rollout.Court{}).Operations()[0]
	in := op.NewInput()
	if err := json.Unmarshal([]byte(body), in); err != nil {
		return rollout.Ruling{}, err
	}
	out, err := op.Call(t.Context(), operation.Caller{Grants: []operation.Grant{{Role: operation.Viewer}}}, in)
	if err != nil {
		return rollout.Ruling{}, err
	}
	return out.(rollout.Ruling), nil
}

// canary is a recording as the two forms in which it can be posted, and as a file.
func canary(seed uint64, bins int, ratio float64) (asBins, asCSV string) {
	r := rand.New(rand.NewPCG(seed, 1))
	start := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	var b, c strings.Builder
	c.WriteString("time,revision,requests,bad\n")
	bad := func(n int, p float64) (k int) {
		for range n {
			if r.Float64() < p {
				k++
			}
		}
		return k
	}
	for i := range bins {
		at := start.Add(time.Duration(i) * 10 * time.Second)
		base, can := bad(900, 0.005), bad(100, ratio)
		if i > 0 {
			b.WriteByte(',')
		}
		moment := fmt.Sprintf("%q", at.Format(time.RFC3339))
		if i%2 == 1 {
			moment = fmt.Sprint(at.Unix()) // both forms of a time mean the same
		}
		fmt.Fprintf(&b, `{"time":%s,"baseline":{"requests":900,"bad":%d},"canary":{"requests":100,"bad":%d}}`, moment, base, can)
		fmt.Fprintf(&c, "%d,baseline,900,%d\n%d,canary,100,%d\n", at.Unix(), base, at.Unix(), can)
	}
	return "[" + b.String() + "]", c.String()
}

// What is posted is judged as a file is, in either form.
func TestAskAgreesWithTheFile(t *testing.T) {
	for _, c := range []struct {
		ratio float64
		bins  int
		want  judge.Verdict
	}{{0.005, 200, judge.On}, {0.03, 200, judge.Back}, {0.005, 3, judge.Hold}} {
		for seed := range uint64(5) {
			bins, csv := canary(seed, c.bins, c.ratio)
			text, _ := json.Marshal(csv)
			posted, err := ask(t, `{"bins":`+bins+`,"tolerance":0.02}`)
			if err != nil {
				t.Fatal(err)
			}
			asText, err := ask(t, `{"csv":`+string(text)+`,"tolerance":0.02}`)
			if err != nil {
				t.Fatal(err)
			}
			file, err := rollout.JudgeCSV("x.csv", strings.NewReader(csv), rollout.JudgeOptions{Tolerance: 0.02})
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(posted) == "" || posted.Verdict != c.want {
				t.Errorf("seed %d, ratio %v: %s (%s), want %s", seed, c.ratio, posted.Verdict, posted.Reason, c.want)
			}
			for _, got := range []rollout.Ruling{posted, asText} {
				if got.Verdict != file.Verdict || got.EValue != file.EValue || got.Excess.Upper != file.ExcessUpper ||
					got.Reason != file.Reason || !got.DecidedAt.Equal(*file.DecidedAt) || got.Canary.Bad != file.CanaryBad {
					t.Errorf("asked %+v\nfile  %+v", got, file)
				}
			}
			if posted.Excess.Lower > posted.Excess.Estimate || posted.Excess.Estimate > posted.Excess.Upper || posted.Bins != c.bins {
				t.Errorf("excess %+v of %d bins", posted.Excess, posted.Bins)
			}
		}
	}
}

func TestAskRefuses(t *testing.T) {
	one := `{"time":"2026-10-01T12:00:00Z","baseline":{"requests":10,"bad":0},"canary":{"requests":10,"bad":0}}`
	for body, want := range map[string]string{
		`{}`:                                                       "by bins, by csv",
		`{"bins":[` + one + `],"csv":"x"}`:                         "by bins, by csv",
		`{"bins":[` + one + `,` + one + `]}`:                       "bins[1]: time: bins[0] has this time already",
		`{"bins":[` + one + `],"alpha":1}`:                         "alpha is 1",
		`{"bins":[` + one + `],"tolerance":-1}`:                    "tolerance is -1",
		`{"bins":[{"canary":{"requests":1,"bad":0}}]}`:             "bins[0]: time: is missing",
		`{"bins":[{"time":5,"canary":{"requests":1,"bad":2}}]}`:    "canary: 2 bad of 1 requests",
		`{"bins":[{"time":5,"baseline":{"requests":-1,"bad":0}}]}`: "baseline: 0 bad of -1",
		`{"bins":[{"time":"soon"}]}`:                               `"soon" is neither RFC 3339 nor Unix seconds`,
		`{"csv":"time,revision\n"}`:                                "header",
		`{"bins":[` + strings.TrimSuffix(strings.Repeat(`{"time":5},`, 20_001), ",") + `]}`: "at most 20000",
	} {
		got, err := ask(t, body)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %+v, %v; want %q", body, got, err, want)
		}
		if problem.KindOf(err) == problem.Internal && !strings.Contains(body, "soon") {
			t.Errorf("%.80s: %s", body, problem.KindOf(err))
		}
	}
}

func FuzzAsk(f *testing.F) {
	bins, csv := canary(1, 5, 0.01)
	f.Add(`{"bins":` + bins + `}`)
	text, _ := json.Marshal(csv)
	f.Add(`{"csv":` + string(text) + `,"alpha":0.05}`)
	f.Add(`{"bins":[{"time":1e9}],"warm_up":-1}`)
	f.Fuzz(func(t *testing.T, body string) {
		got, err := ask(t, body)
		if err == nil && got.Verdict != judge.Back && got.Verdict != judge.On && got.Verdict != judge.Hold {
			t.Errorf("%q: %+v", body, got)
		}
		if err == nil {
			if _, err := json.Marshal(got); err != nil {
				t.Errorf("%q: %v", body, err)
			}
		}
	})
}
