package slo

import (
	"math"
	"math/big"
	"math/bits"
	"time"
)

// BurnRate is how fast the budget goes: the error ratio bad/total over the
// ratio the target allows. 1 spends exactly the budget over one window, 14.4
// spends it in a fourteenth of that. It is not known (false) without events,
// and when the target allows nothing.
//
// Counts are summed before dividing, never averaged over slots: a quiet slot
// weighs as much as its events (SRE Workbook, chapter 5).
func BurnRate(bad, total int64, target Decimal) (float64, bool) {
	if total <= 0 || target >= One {
		return 0, false
	}
	allowed := float64(One - target)
	return float64(bad) / float64(total) * float64(One) / allowed, true
}

// Exceeds reports whether bad/total is strictly more than factor × (1 −
// target), in exact arithmetic. Nothing of nothing exceeds nothing.
func Exceeds(bad, total int64, factor, target Decimal) bool {
	return compareBurn(bad, total, factor, target) > 0
}

// compareBurn compares the burn rate with factor: −1, 0 or +1. It compares
// bad × 10¹⁸ with total × factor × (1 − target), each in billionths.
func compareBurn(bad, total int64, factor, target Decimal) int {
	if total <= 0 || bad < 0 || factor < 0 || target > One {
		return -1
	}
	hi, threshold := bits.Mul64(uint64(factor), uint64(One-target))
	if hi != 0 {
		return compareBurnBig(bad, total, factor, target)
	}
	return compareShare(bad, total, threshold)
}

// compareShare compares bad/total with a threshold in billionths of billionths.
func compareShare(bad, total int64, threshold uint64) int {
	leftHi, leftLo := bits.Mul64(uint64(bad), uint64(One)*uint64(One))
	rightHi, rightLo := bits.Mul64(uint64(total), threshold)
	switch {
	case leftHi == rightHi && leftLo == rightLo:
		return 0
	case leftHi > rightHi || leftHi == rightHi && leftLo > rightLo:
		return 1
	}
	return -1
}

// compareBurnBig is compareBurn for factors beyond 128-bit arithmetic.
func compareBurnBig(bad, total int64, factor, target Decimal) int {
	left := new(big.Int).Mul(big.NewInt(bad), new(big.Int).Mul(big.NewInt(int64(One)), big.NewInt(int64(One))))
	right := new(big.Int).Mul(big.NewInt(int64(factor)), big.NewInt(int64(One-target)))
	return left.Cmp(right.Mul(right, big.NewInt(total)))
}

// BudgetUsed is the share of a period's budget that a burn rate spends over a
// window: burn × window / period. 14.4 over 1 h of 30 d is 0.02.
func BudgetUsed(burn float64, window, period time.Duration) float64 {
	if period <= 0 {
		return 0
	}
	return burn * float64(window) / float64(period)
}

// TimeToExhaustion is how long the remaining share (1 is a full budget) of a
// period's budget lasts at a steady burn rate. It never ends (false) without
// burn, and is over (0) when nothing remains.
func TimeToExhaustion(remaining, burn float64, period time.Duration) (time.Duration, bool) {
	if remaining <= 0 {
		return 0, true
	}
	if burn <= 0 {
		return 0, false
	}
	d := remaining * float64(period) / burn
	if d > math.MaxInt64/2 {
		return 0, false
	}
	return time.Duration(math.Round(d)), true
}

// DetectionTime is how long a constant error ratio must last, after a long
// time without errors, until the burn rate over window exceeds factor:
// (1 − target) ÷ ratio × factor × window. A ratio that does not exceed
// factor × (1 − target) is never detected (false).
func DetectionTime(target, ratio, factor Decimal, window time.Duration) (time.Duration, bool) {
	share, ok := thresholdShare(target, ratio, factor)
	if !ok {
		return 0, false
	}
	return scaleDuration(window, share), true
}

// ResetTime is how long after the end of a long stretch of a constant error
// ratio the burn rate over window stays above factor:
// window × (1 − factor × (1 − target) ÷ ratio). A ratio that never fires has
// nothing to reset (false).
func ResetTime(target, ratio, factor Decimal, window time.Duration) (time.Duration, bool) {
	share, ok := thresholdShare(target, ratio, factor)
	if !ok {
		return 0, false
	}
	return scaleDuration(window, new(big.Rat).Sub(big.NewRat(1, 1), share)), true
}

// thresholdShare is factor × (1 − target) ÷ ratio, the share of a window that
// must be bad; it is not reachable (false) from 1 on.
func thresholdShare(target, ratio, factor Decimal) (*big.Rat, bool) {
	if ratio <= 0 || factor < 0 || target >= One {
		return nil, false
	}
	share := ratOf(factor)
	share.Mul(share, big.NewRat(int64(One-target), int64(ratio)))
	return share, share.Cmp(big.NewRat(1, 1)) < 0
}

func ratOf(d Decimal) *big.Rat { return big.NewRat(int64(d), int64(One)) }

// scaleDuration is d × r, rounded to the nearest nanosecond.
func scaleDuration(d time.Duration, r *big.Rat) time.Duration {
	n := new(big.Int).Mul(big.NewInt(int64(d)), r.Num())
	n.Mul(n, big.NewInt(2)).Add(n, r.Denom())
	n.Div(n, new(big.Int).Mul(r.Denom(), big.NewInt(2)))
	return time.Duration(n.Int64())
}

// LargestFactor is the burn rate of a total outage, 1 ÷ (1 − target), rounded
// down to the billionth. Only factors below it can ever fire.
func LargestFactor(target Decimal) Decimal {
	if target >= One || target < 0 {
		return 0
	}
	q := new(big.Int).Mul(big.NewInt(int64(One)), big.NewInt(int64(One)))
	q.Div(q, big.NewInt(int64(One-target)))
	if !q.IsInt64() {
		return math.MaxInt64
	}
	return Decimal(q.Int64())
}

// CanFire reports whether a burn rate above factor is possible for a target:
// whether factor × (1 − target) is less than 1. 14.4 needs a target of at
// least 93.06 %.
func CanFire(factor, target Decimal) bool {
	_, ok := thresholdShare(target, One, factor)
	return ok
}
