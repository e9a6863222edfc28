package sim

import (
	"runtime"
	"sync"
)

// RunAll runs seeds 1 to n, as many at once as there are processors, tells of
// each when it is done, one at a time, and returns the sums.
func RunAll(n int, state string, each func(Result)) Result {
	total := Result{Outcomes: map[string]int{}}
	seeds := make(chan uint64)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for s := range seeds {
				r := Run(Options{Seed: s, State: state})
				mu.Lock()
				total.add(r)
				each(r)
				mu.Unlock()
			}
		})
	}
	for s := range n {
		seeds <- uint64(s + 1)
	}
	close(seeds)
	wg.Wait()
	return total
}
