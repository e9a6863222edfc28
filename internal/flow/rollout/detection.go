package rollout

import (
	"math"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/judge"
)

// widest and narrowest are the windows, in seconds, in which bad requests are
// taken for one event. Wide ones keep the promise of the false-rollback rate
// also when failures come in bursts; narrower ones than the proxy's bins there
// are not.
const (
	narrowest = 1
	widest    = 10
	spare     = 2 // windows cut short where the share changes
)

// windows is the width of the windows in seconds: as wide as possible with
// enough of them in the least time of each step for a fault that only shows at
// that step to be convicted there.
func (p Plan) windows() float64 {
	width := float64(widest)
	cfg := p.judging(max(1, len(p.Objectives)))
	for _, step := range p.Steps {
		width = min(width, p.StepSeconds/float64(cfg.FewestWindows(ratio(step))+spare))
	}
	return max(math.Floor(width), narrowest)
}

// judging is how each of so many metrics is judged: all of them together hold
// the rollout's false-rollback rate.
func (p Plan) judging(metrics int) judge.Config {
	return judge.Config{
		Alpha: p.Alpha / float64(metrics), Tolerated: p.Tolerated,
		BinWidth: seconds(p.BinSeconds), WarmUp: seconds(p.WarmupSeconds),
	}
}

// Detection is how soon a canary of a service is taken back in an environment,
// at the traffic declared, if every request to it fails and none to the
// baseline. Not ok means never: the least times of all steps are over before
// the evidence suffices, so that the canary may reach everybody.
func Detection(s catalog.Service, e catalog.Environment) (after time.Duration, ok bool) {
	goals := []Goal{{Name: "errors"}}
	if t := s.Objectives.Latency.Threshold; t > 0 {
		goals = append(goals, Goal{Name: "slow", ThresholdNS: int64(t)})
	}
	return planOf(s, e, release.Passed{}, goals).detection()
}

// longestDetection bounds the seconds that are played through.
const longestDetection = 24 * 3600

func (p Plan) detection() (after time.Duration, ok bool) {
	cfg := p.judging(max(1, len(p.Objectives)))
	var s judge.State
	second, canary, baseline := 0, 0.0, 0.0
	for _, step := range p.Steps {
		for end := float64(second) + p.StepSeconds; float64(second) < end && second < longestDetection; second++ {
			at := time.Unix(int64(second), 0)
			b := judge.Bin{Time: at, Width: time.Second}
			b.Canary.Requests, canary = wholePart(canary + p.DeclaredRate*ratio(step))
			b.Baseline.Requests, baseline = wholePart(baseline + p.DeclaredRate*(1-ratio(step)))
			b.Canary.Bad = b.Canary.Requests
			if s.Started.IsZero() && b.Canary.Requests > 0 {
				end = float64(second) + p.WarmupSeconds + p.StepSeconds // the warm-up does not count
			}
			if s = cfg.Advance(s, b); s.Crossed != nil {
				return time.Duration(second+1) * time.Second, true
			}
		}
		if s = cfg.Flush(s); s.Crossed != nil {
			return time.Duration(second) * time.Second, true
		}
	}
	return 0, false
}

func wholePart(x float64) (int64, float64) {
	n := math.Floor(x + 1e-9)
	return int64(n), x - n
}
