package sim

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/flyball-dev/flyball/internal/app"
)

// company is what a seed draws once: services, environments, and how much
// users want of them.
type company struct {
	services     []service
	environments []string // in the order of delivery
	approval     bool     // releases to users need a person
	onDeadline   string
	deadline     int // seconds at a step
	stepSeconds  int
	share        int // percent of the budget that a change may spend
	busy         int // seconds in which people push and things break
	outages      []outage
	delays       []outage // counts of a place come late
}

// service is one service of the company.
type service struct {
	name    string
	rate    float64 // requests a second
	target  string  // availability, percent
	latency bool    // has a latency objective
	window  int     // hours
	noise   float64 // share of requests that fail at all times
	burst   int     // failures that come together
}

// outage is a time in which something is wrong at a place, whatever runs there.
type outage struct {
	at          place
	from, until int // seconds
	share       float64
}

// load is what a place is asked in one second, and what goes wrong whoever answers.
type load struct {
	rate, errors, outage float64
	burst                int
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func drawCompany(seed uint64) company {
	r := rand.New(rand.NewPCG(seed, 3))
	c := company{
		environments: pick(r, []string{"prod"}, []string{"prod"}, []string{"prod"}, []string{"staging", "prod"}),
		approval:     r.IntN(4) == 0, onDeadline: pick(r, "ask", "ask", "back", "on"), deadline: pick(r, 12, 20), stepSeconds: pick(r, 2, 3),
		share: pick(r, 2, 10, 30), busy: 45 + r.IntN(35),
	}
	for _, name := range pick(r, []string{"cart"}, []string{"cart"}, []string{"cart", "search"}) {
		c.services = append(c.services, service{
			name: name, rate: pick(r, 200.0, 1000, 3000), target: pick(r, "99", "99.5", "99.9"), latency: r.IntN(3) > 0,
			window: pick(r, 24, 72, 672), noise: pick(r, 0, 0.0005, 0.002), burst: pick(r, 0, 0, 5),
		})
	}
	for _, s := range c.services {
		at := place{s.name, c.environments[len(c.environments)-1]}
		if r.IntN(3) == 0 {
			from := 10 + r.IntN(45)
			c.outages = append(c.outages, outage{at, from, from + pick(r, 5, 20, 60), pick(r, 0.05, 0.3)})
		}
		if r.IntN(3) == 0 {
			from := 10 + r.IntN(45)
			c.delays = append(c.delays, outage{at, from, from + 5 + r.IntN(25), float64(5 + r.IntN(50))})
		}
	}
	return c
}

// loadOf is what a place is asked in a second.
func (c company) loadOf(at place, second int) load {
	for _, s := range c.services {
		if s.name != at.service {
			continue
		}
		l := load{rate: s.rate * (1 + 0.2*math.Sin(float64(second)/40)), errors: s.noise, burst: s.burst}
		for _, o := range c.outages {
			if o.at == at && second >= o.from && second < o.until {
				l.outage = o.share
			}
		}
		return l
	}
	return load{}
}

// delayOf is after how many seconds the counts of a second are final.
func (c company) delayOf(at place, second int) int {
	for _, o := range c.delays {
		if o.at == at && second >= o.from && second < o.until {
			return int(o.share)
		}
	}
	return second % 3
}

// patience is how long a rollout may take that nobody answers: each
// environment in turn, being ready, each step up to its deadline, and a release
// that waited for the one before.
func (c company) patience() int {
	return len(c.environments) * 2 * (75 + 3*(c.deadline+c.stepSeconds+5))
}

// manifests is the company as its platform engineers declare it.
func (c company) manifests() map[string][]byte {
	var b strings.Builder
	b.WriteString("apiVersion: flyball.dev/v1\nkind: Team\nmetadata: {name: shop}\nspec:\n  page: [{url: \"https://pager.test/shop\"}]\n")
	for i, e := range c.environments {
		fmt.Fprintf(&b, "---\napiVersion: flyball.dev/v1\nkind: Environment\nmetadata: {name: %s}\nspec:\n", e)
		if i > 0 {
			fmt.Fprintf(&b, "  after: %s\n", c.environments[i-1])
		}
		if c.approval && i == len(c.environments)-1 {
			b.WriteString("  delivery: approval\n")
		}
		fmt.Fprintf(&b, "  rollout: {steps: [5%%, 40%%], stepDuration: %ds, deadline: %ds, onDeadline: %s, budgetShare: %d%%}\n",
			c.stepSeconds, c.deadline, c.onDeadline, c.share)
	}
	for _, s := range c.services {
		fmt.Fprintf(&b, "---\napiVersion: flyball.dev/v1\nkind: Service\nmetadata: {name: %s}\nspec:\n", s.name)
		fmt.Fprintf(&b, "  team: shop\n  repository: %s\n  build: make build\n  test: make test\n  files: [bin/%s]\n  run: bin/%s\n", s.name, s.name, s.name)
		fmt.Fprintf(&b, "  traffic: %g/s\n  objectives:\n    availability: %s%%\n    window: %dh\n", s.rate, s.target, s.window)
		if s.latency {
			b.WriteString("    latency: 99% < 300ms\n")
		}
	}
	return map[string][]byte{"flyball/company.yaml": []byte(b.String())}
}

// found declares the company.
func (c company) found(ctx context.Context, a *app.App) error {
	_, err := a.Apply(ctx, "user:petra", "flyball", "", c.manifests())
	return err
}

// latency reports whether slow requests of a service are judged.
func (c company) latency(name string) bool {
	for _, s := range c.services {
		if s.name == name {
			return s.latency
		}
	}
	return false
}
