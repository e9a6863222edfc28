// Command oncall measures schedules: how long it takes to read ten thousand of
// them from files, and to compute a year of shifts and holes of each. They are
// drawn from a seed: up to three layers with rotations of hours to months, up to
// ten members who join and leave, restrictions, in zones all over the world. The
// aim is 5 s for all of it.
//
//	go run ./bench/oncall
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/oncall"
)

const aim = 5 * time.Second

var (
	zones = []string{"UTC", "Europe/Berlin", "America/New_York", "America/Los_Angeles", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Tokyo",
		"Australia/Sydney", "Australia/Lord_Howe", "Pacific/Auckland", "Africa/Casablanca", "Asia/Tehran"}
	lengths = []string{"6 hours", "12 hours", "1 day", "3 days", "1 week", "1 week", "1 week", "2 weeks", "1 month"}
)

// draw writes a schedule.
func draw(b *strings.Builder, r *rand.Rand, n int) {
	pick := func(s []string) string { return s[r.IntN(len(s))] }
	fmt.Fprintf(b, "---\napiVersion: flyball.dev/v1\nkind: Schedule\nmetadata: {name: s%05d}\nspec:\n  timeZone: %s\n  layers:\n", n, pick(zones))
	for l := range 1 + r.IntN(3) {
		fmt.Fprintf(b, "    - name: l%d\n      start: 202%d-%02d-%02dT%02d:30\n      every: %s\n      members:\n", l, 3+r.IntN(3), 1+r.IntN(12), 1+r.IntN(28), r.IntN(24), pick(lengths))
		for p := range 2 + r.IntN(9) {
			switch r.IntN(6) {
			case 0:
				fmt.Fprintf(b, "        - {person: p%d, from: 2026-%02d-01}\n", p, 1+r.IntN(12))
			case 1:
				fmt.Fprintf(b, "        - {person: p%d, until: 2026-%02d-20}\n", p, 1+r.IntN(12))
			default:
				fmt.Fprintf(b, "        - p%d\n", p)
			}
		}
		if l > 0 {
			fmt.Fprintf(b, "      restrictions: [{days: [mon-fri], from: \"%02d:00\", to: \"%02d:00\"}, {days: [sat], from: \"10:00\", to: \"14:00\"}]\n", r.IntN(12), 12+r.IntN(12))
		}
	}
}

func main() {
	count := flag.Int("schedules", 10_000, "how many schedules")
	seed := flag.Uint64("seed", 1, "seed of the random numbers")
	flag.Parse()
	if *count < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	r := rand.New(rand.NewPCG(*seed, 0))
	files := map[string][]byte{}
	var b strings.Builder
	for n := range *count {
		draw(&b, r, n)
		if n%10 == 9 || n == *count-1 {
			files[fmt.Sprintf("%05d.yaml", n)] = []byte(b.String())
			b.Reset()
		}
	}
	read := start()
	plan, findings, err := oncall.Load(files)
	if err != nil {
		fmt.Fprintln(os.Stderr, err, findings)
		os.Exit(1)
	}
	read.stop()
	computed := start()
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	shifts, holes := 0, 0
	for _, name := range plan.Names() {
		s := plan.Schedules[name]
		found, err := s.Shifts(from, from.AddDate(1, 0, 0))
		if err != nil {
			fmt.Fprintln(os.Stderr, name, err)
			os.Exit(1)
		}
		shifts += len(found)
	}
	computed.stop()
	covered := start()
	for _, name := range plan.Names() {
		found, err := plan.Schedules[name].Holes(name, from, from.AddDate(1, 0, 0), plan.Reachable)
		if err != nil {
			fmt.Fprintln(os.Stderr, name, err)
			os.Exit(1)
		}
		holes += len(found)
	}
	covered.stop()
	fmt.Printf("%d schedules, a year each, one after the other, seed %d\n\n", len(plan.Schedules), *seed)
	fmt.Printf("| | | time | CPU | aim |\n| --- | --- | --- | --- | --- |\n")
	fmt.Printf("| read from YAML and checked | %d files | %s | |\n", len(files), read)
	fmt.Printf("| shifts | %d | %s | %.0f s |\n", shifts, computed, aim.Seconds())
	fmt.Printf("| coverage: shifts again, and holes | %d | %s | |\n", holes, covered)
}

// lap is a time of the clock and of the processors.
type lap struct{ wall, cpu time.Duration }

func now() lap {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return lap{time.Duration(time.Now().UnixNano()), time.Duration(u.Utime.Nano() + u.Stime.Nano())}
}

func start() *lap { l := now(); return &l }

func (l *lap) stop() { n := now(); l.wall, l.cpu = n.wall-l.wall, n.cpu-l.cpu }

// String is both as cells of a table.
func (l *lap) String() string {
	return fmt.Sprintf("%.2f s | %.2f s", l.wall.Seconds(), l.cpu.Seconds())
}
