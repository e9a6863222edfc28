package main

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/judge"
)

// short are the cases for windows of a second, which a rollout with short steps
// is judged in so that there are enough of them in a step: five minutes at half
// of the traffic, where one window says least.
var short = []scenario{
	{Name: "equal, 120/min", PerMinute: 120, Base: 0.005, Times: 1},
	{Name: "equal, 1,200/min", PerMinute: 1200, Base: 0.005, Times: 1},
	{Name: "equal, bursts of 3, 1,200/min", PerMinute: 1200, Base: 0.005, Times: 1, Burst: 3},
	{Name: "equal, both ten times worse every 5th min, 1,200/min", PerMinute: 1200, Base: 0.005, Times: 1, Shock: 10},
	{Name: "0.5 → 1.5 %, 1,200/min", PerMinute: 1200, Base: 0.005, Times: 3},
	{Name: "0.5 → 10 %, 1,200/min", PerMinute: 1200, Base: 0.005, Times: 20},
	{Name: "every request bad, 1,200/min", PerMinute: 1200, Base: 0.005, Times: 200},
}

func printShort(streams int, seed uint64) {
	fmt.Printf("Windows of 1 s and of 10 s beside each other: %d streams per case, five minutes, weight 50 %%.\n\n", streams)
	table := [][]string{{"flyball", "1 s: sent back", "95 % interval", "median seconds", "10 s: sent back", "median seconds"}}
	for _, s := range short {
		s.Weight, s.Length = 0.5, 5*time.Minute
		var mu sync.Mutex
		took := make([][]float64, 2)
		parallel(streams, func(i int, t tables) {
			narrow, wide := crossing(s, time.Second, seed, uint64(i), t), crossing(s, 10*time.Second, seed, uint64(i), t)
			mu.Lock()
			defer mu.Unlock()
			took[0], took[1] = append(took[0], narrow), append(took[1], wide)
		})
		row := []string{s.Name}
		for j, seconds := range took {
			var found []float64
			for _, x := range seconds {
				if !math.IsInf(x, 1) {
					found = append(found, x)
				}
			}
			row = append(row, percent(float64(len(found))/float64(streams)))
			if j == 0 {
				lower, upper := clopperPearson(len(found), streams)
				row = append(row, percent(lower)+" to "+percent(upper))
			}
			if s.Times == 1 {
				found = nil
			}
			row = append(row, quantiles(found, 0.5))
		}
		table = append(table, row)
	}
	printTable(table)
}

// crossing is the second at which one stream is sent back, +Inf if it is not.
func crossing(s scenario, width time.Duration, seed, i uint64, t tables) float64 {
	from := newStream(s, seed, i, t)
	c := judge.Config{Alpha: alpha, BinWidth: width}
	var state judge.State
	for sec := range int(s.Length.Seconds()) {
		if state = c.Advance(state, from.bin(sec)); state.Crossed != nil {
			return float64(sec + 1)
		}
	}
	return math.Inf(1)
}
