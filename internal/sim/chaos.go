package sim

import (
	"math/rand/v2"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
)

// chaos says what breaks, and when.
type chaos struct {
	w        *world
	r        *rand.Rand
	appends  float64 // chance of a crash at each point of an append
	puts     float64 // and of a write of counts
	effects  float64 // and around each effect
	meddling float64 // chance that a person acts while a controller decides
	quiet    bool    // nothing breaks in this world
	saving   int     // 1: crash before the next save of states; 2: after it
	suspend  int     // second at which the server is suspended; 0: never
	resume   int     // second at which it goes on
	jumps    map[int]time.Duration
	agents   map[int]bool // seconds at which the agent dies by itself
	away     bool         // the next server runs on another host
}

// point is where something crashes around an effect.
type point int

const (
	nowhere point = iota
	serverBefore
	serverAfter
	agentBefore
	agentAfter
	serverHeld // a server is held up before its call leaves, which then comes late, and is its last
)

func newChaos(w *world, seed uint64) *chaos {
	c := &chaos{w: w, r: rand.New(rand.NewPCG(seed, 1)), jumps: map[int]time.Duration{}, agents: map[int]bool{}}
	c.quiet = c.r.IntN(8) == 0
	rates := []float64{0, 0.004, 0.01, 0.025}
	c.appends, c.puts, c.effects = rates[c.r.IntN(4)], rates[c.r.IntN(4)]/3, rates[c.r.IntN(4)]*3
	c.meddling = []float64{0, 0.02, 0.08}[c.r.IntN(3)]
	if c.r.IntN(3) == 0 {
		c.suspend = 10 + c.r.IntN(45)
		c.resume = c.suspend + 11 + c.r.IntN(30)
	}
	if c.r.IntN(4) == 0 {
		c.jumps[10+c.r.IntN(50)] = []time.Duration{90 * time.Second, time.Hour, 5 * time.Hour}[c.r.IntN(3)]
	}
	for range c.r.IntN(3) {
		c.agents[8+c.r.IntN(60)] = true
	}
	return c
}

func (c *chaos) breaks() bool { return !c.quiet && !c.w.settled && c.w.second > 3 }

// tick does what is drawn for this second.
func (c *chaos) tick() {
	if !c.breaks() {
		return
	}
	if d := c.jumps[c.w.second]; d > 0 {
		c.w.tracef("chaos  the clock jumps by %s", d)
		c.w.clock.Advance(d)
	}
	if c.agents[c.w.second] {
		c.w.plane.crash()
	}
	if c.w.second == c.suspend && c.w.server != nil && c.w.former == nil {
		c.w.tracef("chaos  %s is suspended", c.w.server.name)
		c.w.result.Takeovers++
		c.w.former, c.w.server = c.w.server, nil
		c.w.upAt = c.w.second + 1
	}
}

// resumes reports whether the suspended server goes on now.
func (c *chaos) resumes() bool { return c.w.second >= c.resume || c.w.settled }

// otherHost reports whether a new server runs elsewhere than the one before,
// so that it has to wait for the lease.
func (c *chaos) otherHost() bool {
	return c.w.former != nil || c.away || c.r.IntN(2) == 0
}

// downtime is how long it takes until the next server comes up, in seconds.
func (c *chaos) downtime() int {
	if c.w.settled {
		return 1
	}
	return []int{0, 1, 3, 8, 20}[c.r.IntN(5)]
}

// strike is asked at every point of every write of the store.
func (c *chaos) strike(p memory.Point) bool {
	s := c.w.acting
	if !c.breaks() || s == nil || s.dead {
		return false
	}
	hit := false
	switch p.Op {
	case "append":
		hit = c.r.Float64() < c.appends
		if c.saving == 0 && c.r.Float64() < c.appends/2 {
			c.saving = 1 + c.r.IntN(2)
		}
	case "put":
		hit = c.r.Float64() < c.puts
	case "lease":
		hit = c.r.Float64() < c.puts
	case "save":
		// States are saved side by side, in no order: what is drawn is that the
		// first one does not return. After recovery that makes no difference.
		if c.saving == 1 && !p.Durable || c.saving == 2 && p.Durable {
			c.saving, hit = 0, true
		}
	}
	if hit {
		c.w.tracef("chaos  %s dies at %s, durable %v", s.name, p.Op, p.Durable)
		s.dead = true
		s.cancel()
	}
	return hit
}

// around says where something crashes around an effect.
func (c *chaos) around(op string, agent bool) point {
	if !c.breaks() || c.r.Float64() >= c.effects {
		return nowhere
	}
	p := serverBefore + point(c.r.IntN(2))
	switch n := c.r.IntN(6); {
	case agent && n < 2:
		p += 2
	case agent && n < 4:
		p = serverHeld
	}
	c.w.tracef("chaos  crash around %s: %d", op, p)
	return p
}

// meddles reports whether a person acts in this very moment.
func (c *chaos) meddles() bool {
	return c.breaks() && c.r.Float64() < c.meddling
}
