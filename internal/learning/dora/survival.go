package dora

import (
	"cmp"
	"math"
	"slices"
)

// spell is how long something lasted, or has lasted so far.
type spell struct {
	seconds  float64
	censored bool // not over: it lasts at least that long
}

// survival is the Kaplan–Meier estimate (1958) of the median length of spells
// of which some are not over. Leaving those out, or counting them as over,
// makes recovery look quicker than it is.
type survival struct {
	median    float64
	reached   bool // false: more than half lasts longer than anything seen
	low, high *float64
}

// kaplanMeier estimates the median and its interval (Brookmeyer and Crowley
// 1982, on the complementary log-log scale with Greenwood's variance).
func kaplanMeier(spells []spell) survival {
	ordered := slices.Clone(spells)
	// At equal lengths what ended comes before what is censored.
	slices.SortFunc(ordered, func(a, b spell) int {
		if c := cmp.Compare(a.seconds, b.seconds); c != 0 || a.censored == b.censored {
			return c
		}
		if a.censored {
			return 1
		}
		return -1
	})
	var out survival
	alive, greenwood := 1.0, 0.0
	for i := 0; i < len(ordered); {
		t, ended := ordered[i].seconds, 0
		atRisk := len(ordered) - i
		for ; i < len(ordered) && ordered[i].seconds == t; i++ {
			if !ordered[i].censored {
				ended++
			}
		}
		if ended == 0 {
			continue
		}
		alive *= 1 - float64(ended)/float64(atRisk)
		greenwood += float64(ended) / (float64(atRisk) * float64(atRisk-ended))
		lower, upper := band(alive, greenwood)
		if out.low == nil && lower <= 0.5 {
			out.low = &t
		}
		if out.high == nil && upper <= 0.5 {
			out.high = &t
		}
		if !out.reached && alive <= 0.5+1e-12 {
			out.median, out.reached = t, true
		}
	}
	return out
}

// band is the interval of a survival probability.
func band(alive, greenwood float64) (lower, upper float64) {
	if alive <= 0 || alive >= 1 {
		// Nothing is left: what more would have shown is not known.
		return alive, 1
	}
	theta := math.Log(-math.Log(alive))
	half := z * math.Sqrt(greenwood) / math.Abs(math.Log(alive))
	return math.Exp(-math.Exp(theta + half)), math.Exp(-math.Exp(theta - half))
}
