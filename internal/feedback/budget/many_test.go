package budget

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// As many causes as a ledger looks at, most of them overlapping, over five
// weeks: it still ends, and no minute is charged with more than was bad in it.
func TestManyOverlappingCauses(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	slots := make([]Slot, 36*1440)
	for i := range slots {
		slots[i] = Slot{Time: start.Add(time.Duration(i) * time.Minute), Total: 600, Bad: int64(random.IntN(4))}
	}
	kinds := []string{KindChange, KindChange, KindFlag, KindIncident, KindDependency}
	var causes []Cause
	for i := range maxRecords {
		c := Cause{Kind: kinds[i%5], Name: fmt.Sprint(i), From: start.Add(time.Duration(random.IntN(len(slots))) * time.Minute)}
		if i%3 > 0 {
			c.To = c.From.Add(time.Duration(random.IntN(5000)) * time.Minute)
		}
		c.Full = c.From
		causes = append(causes, c)
	}
	a := Attribute(slots, causes, 0.001)
	charged := make([]float64, len(slots))
	for _, c := range a.Charges {
		for _, p := range c.parts {
			charged[p.slot] += p.x
		}
	}
	for i, x := range charged {
		if x < 0 || x > float64(slots[i].Bad)+1e-6 {
			t.Fatalf("minute %d: %v of %d bad events charged", i, x, slots[i].Bad)
		}
	}
}
