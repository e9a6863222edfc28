package budget

import (
	"math"
	"sort"
)

// Apportion divides a whole number by weights into whole parts that sum to it
// exactly: each gets the whole part of its quota, and what is left goes one by
// one to the largest remainders (Hamilton's method). Of equal remainders the
// first wins, so the same weights always give the same parts. Weights that are
// negative or no number count as 0; without any weight everything goes to the
// last part.
func Apportion(total int64, weights []float64) []int64 {
	out := make([]int64, len(weights))
	if len(weights) == 0 || total <= 0 {
		return out
	}
	sum := 0.0
	clean := make([]float64, len(weights))
	for i, w := range weights {
		if w > 0 && !math.IsInf(w, 1) {
			clean[i] = w
			sum += w
		}
	}
	if sum <= 0 || math.IsInf(sum, 1) {
		out[len(out)-1] = total
		return out
	}
	given := int64(0)
	remainder := make([]float64, len(weights))
	order := make([]int, len(weights))
	for i, w := range clean {
		quota := w / sum * float64(total)
		out[i] = min(int64(quota), total-given)
		given += out[i]
		remainder[i], order[i] = quota-float64(out[i]), i
	}
	sort.SliceStable(order, func(x, y int) bool { return remainder[order[x]] > remainder[order[y]] })
	for k := 0; given < total; k = (k + 1) % len(order) {
		out[order[k]]++
		given++
	}
	return out
}
