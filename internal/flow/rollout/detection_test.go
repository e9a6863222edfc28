package rollout

import (
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/flow/release"
)

func TestDetection(t *testing.T) {
	for _, tt := range []struct {
		name    string
		traffic catalog.Rate
		rollout catalog.Rollout
		width   float64       // of the windows, seconds
		within  time.Duration // 0: a canary that fails every request is not found in time
	}{
		{"the defaults at 20/s", 20, catalog.Rollout{}, 5, 80 * time.Second},
		{"steps of ten minutes need no narrow windows", 20, catalog.Rollout{StepDuration: 10 * time.Minute}, 10, 3 * time.Minute},
		{"one step of a half of the traffic", 20, catalog.Rollout{Steps: []catalog.Percent{50}, StepDuration: 20 * time.Second, Warmup: time.Millisecond}, 1, 15 * time.Second},
		{"too short for any evidence", 20, catalog.Rollout{Steps: []catalog.Percent{50}, StepDuration: 4 * time.Second}, 1, 0},
		{"a request a minute", 1.0 / 60, catalog.Rollout{}, 5, 0},
		{"no traffic", 0, catalog.Rollout{}, 5, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := catalog.Service{ServiceSpec: catalog.ServiceSpec{Traffic: tt.traffic, Objectives: catalog.Objectives{
				Availability: 99.9, Latency: catalog.Latency{Share: 99, Threshold: time.Second}, Window: 28 * 24 * time.Hour,
			}}}
			e := catalog.Environment{EnvironmentSpec: catalog.EnvironmentSpec{Rollout: tt.rollout}}
			after, ok := Detection(s, e)
			if ok != (tt.within > 0) || after > tt.within {
				t.Errorf("found %v after %s, want within %s", ok, after, tt.within)
			}
			p := planOf(s, e, release.Passed{}, []Goal{{Name: "errors"}, {Name: "slow", ThresholdNS: 1e9}})
			if p.BinSeconds != tt.width {
				t.Errorf("windows of %g s, want %g", p.BinSeconds, tt.width)
			}
		})
	}
}
