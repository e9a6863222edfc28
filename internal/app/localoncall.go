package app

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// oncallCommands answer from files who is on call; they can guard a merge.
func oncallCommands(ops []operation.Operation) *cobra.Command {
	c := &cobra.Command{
		Use: "oncall", Short: "Who is on call, when, and whether anybody is",
		Long: `Who is on call, when, and whether anybody is.

A schedule is a file:

  apiVersion: flyball.dev/v1
  kind: Schedule
  metadata: {name: payments}
  spec:
    timeZone: Europe/Berlin
    layers:                            # a later layer goes over the earlier ones
      - name: primary
        start: 2026-01-05T09:00        # first hand-over, in local time
        every: 1 week                  # 12 hours, 1 day, 2 weeks, 1 month
        members:
          - ana
          - {person: ben, from: 2026-02-01, until: 2026-06-30}   # first and last day
      - name: office hours
        start: 2026-01-05T09:00
        every: 1 day
        members: [cem, dana]
        restrictions:                  # hours of the week
          - {days: [mon-fri], from: "09:00", to: "17:00"}
    overrides:
      - {from: 2026-12-24T09:00, to: 2026-12-27T09:00, person: dana, reason: holidays}

shifts and coverage need no server, so a pipeline can refuse a change that
leaves nobody on call:

  flyball oncall shifts payments.yaml --schedule payments --from 2026-03-01 --to 2026-04-01
  flyball oncall shifts payments.yaml -o ical > payments.ics
  flyball oncall coverage payments.yaml --days 90      # exits 4 when there is a hole

A server that has the schedule applied also knows overrides, swaps, and who is on
call now:

  flyball oncall who checkout
  flyball oncall override payments --person ben --to 2026-11-21T18:00:00Z
  flyball oncall swap payments --one 2026-12-01T12:00:00Z --other 2026-12-08T12:00:00Z

and feeds calendars: http://…/calendars/payments.ics

When clocks change, shifts overlap and never leave a gap.`,
	}
	c.AddCommand(oncallShifts(), oncallCoverage(), oncallImport(), oncallReplay(ops))
	return c
}

// loadPlan reads a file, or the YAML files of a directory, and says on stderr
// what is doubtful in them.
func loadPlan(cmd *cobra.Command, path string) (oncall.Plan, error) {
	names := []string{path}
	if info, err := os.Stat(path); err != nil {
		return oncall.Plan{}, problem.New(problem.NotFound, "oncall.load", "%w", err).WithNext("name a YAML file with a Schedule; flyball oncall --help shows one")
	} else if info.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return oncall.Plan{}, problem.New(problem.NotFound, "oncall.load", "%w", err)
		}
		names = nil
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml") {
				names = append(names, filepath.Join(path, e.Name()))
			}
		}
	}
	files := map[string][]byte{}
	for _, n := range names {
		data, err := os.ReadFile(n)
		if err != nil {
			return oncall.Plan{}, problem.New(problem.NotFound, "oncall.load", "%w", err)
		}
		if ext := filepath.Ext(n); ext != ".yaml" && ext != ".yml" {
			n += ".yaml" // whatever it is called, it was named to be read
		}
		files[n] = data
	}
	plan, findings, err := oncall.Load(files, Kinds().Kinds()...)
	if err != nil {
		return plan, err
	}
	for _, f := range findings {
		fmt.Fprintln(cmd.ErrOrStderr(), f)
	}
	return plan, nil
}

// instant reads a time of the command line: RFC 3339, or a date or local time
// in a zone. otherwise stands for an empty one.
func instant(flag, s string, loc *time.Location, otherwise time.Time) (time.Time, error) {
	if s == "" {
		return otherwise, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			return t, nil
		}
	}
	return time.Time{}, cli.Usage("write it as 2026-11-21T09:00:00Z, or as 2026-11-21 in the schedule's time zone", "--%s %q is no time", flag, s)
}

// shiftTable is shifts for people: in the zone of the schedule, with weekdays.
type shiftTable struct {
	shifts []oncall.Shift
	loc    *time.Location
}

const localTime = "Mon 2006-01-02 15:04 MST"

func (t shiftTable) Tell() string {
	rows := [][]string{{"FROM", "TO", "PERSON", "LAYER"}}
	for _, s := range t.shifts {
		rows = append(rows, []string{s.Start.In(t.loc).Format(localTime), s.End.In(t.loc).Format(localTime), s.Person, s.Layer})
	}
	if len(t.shifts) == 0 {
		return "nobody is on call"
	}
	return aligned(rows)
}

func oncallShifts() *cobra.Command {
	var schedule, from, to string
	var shadow bool
	c := &cobra.Command{
		Use: "shifts FILE", Short: "List who is on call when, by a schedule file; needs no server", Args: cobra.ExactArgs(1),
		Long: `Lists who is on call when, by a schedule file or a directory of them. Shifts are
cut off at --from and --to. -o json prints [{"start","end","person","layer"}]
with times of RFC 3339, -o ical an iCalendar.

  flyball oncall shifts payments.yaml --schedule payments --from 2026-03-01 --to 2026-04-01 -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			output, _ := cmd.Flags().GetString("output")
			if output == "ical" {
				_ = cmd.Flags().Set("output", "json")
			}
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			plan, err := loadPlan(cmd, args[0])
			if err != nil {
				return err
			}
			spec, name, err := plan.Find(schedule)
			if err != nil {
				return err
			}
			loc, err := spec.TimeZone.Location()
			if err != nil {
				return err
			}
			now := clock.Wall().Now()
			begin, err := instant("from", from, loc, now.Truncate(time.Minute))
			if err != nil {
				return err
			}
			end, err := instant("to", to, loc, begin.AddDate(0, 0, 28))
			if err != nil {
				return err
			}
			shifts, err := spec.Shifts(begin, end)
			if shadow {
				shifts, err = spec.Shadows(begin, end)
			}
			if err != nil {
				return err
			}
			switch output {
			case "ical":
				return oncall.WriteCalendar(cmd.OutOrStdout(), name, shifts, now)
			case "table":
				return session.Print(shiftTable{shifts, loc})
			}
			return session.Print(slices.Concat([]oncall.Shift{}, shifts))
		},
	}
	f := c.Flags()
	f.StringP("output", "o", "table", "table, json, yaml or ical")
	f.StringVar(&schedule, "schedule", "", "which schedule, when there are several")
	f.StringVar(&from, "from", "", "first moment: RFC 3339, or a date or local time of the schedule (default: now)")
	f.StringVar(&to, "to", "", "last moment (default: 28 days later)")
	f.BoolVar(&shadow, "shadow", false, "list the shadow layers instead")
	return c
}

// coverage is what oncall coverage answers: holes, and where clocks stand.
type coverage struct {
	holes    []oncall.Hole
	zones    map[string]*time.Location
	checked  []string
	from, to time.Time
}

// Tell is a line for each hole.
func (c coverage) Tell() string {
	if len(c.holes) == 0 {
		return fmt.Sprintf("somebody is on call at every moment from %s to %s: %s", c.from.Format(time.RFC3339), c.to.Format(time.RFC3339), strings.Join(c.checked, ", "))
	}
	rows := [][]string{{"SCHEDULE", "NOBODY FROM", "TO", "FOR"}}
	for _, h := range c.holes {
		loc := c.zones[h.Schedule]
		rows = append(rows, []string{h.Schedule, h.Start.In(loc).Format(localTime), h.End.In(loc).Format(localTime), cli.Duration(h.End.Sub(h.Start).Round(time.Second))})
	}
	return aligned(rows)
}

func oncallCoverage() *cobra.Command {
	var schedule, from string
	var days int
	c := &cobra.Command{
		Use: "coverage FILE", Short: "Find the times in which nobody can be reached; needs no server", Args: cobra.ExactArgs(1),
		Long: `Prints each interval in which nobody of a schedule can be reached, and exits 4 if
there is one, 0 otherwise. Each schedule must be covered by itself, unless it says
mayBeEmpty. Once the files declare people, only those with a contact count.

  flyball oncall coverage payments.yaml --days 90 || exit 1`,
		RunE: func(cmd *cobra.Command, args []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			if days < 1 || days > 3660 {
				return cli.Usage("look ahead between 1 and 3660 days", "--days is %d", days)
			}
			plan, err := loadPlan(cmd, args[0])
			if err != nil {
				return err
			}
			names := plan.Names()
			if schedule != "" || len(names) == 0 {
				_, name, err := plan.Find(schedule)
				if err != nil {
					return err
				}
				names = []string{name}
			}
			out := coverage{holes: []oncall.Hole{}, zones: map[string]*time.Location{}}
			for _, name := range names {
				spec := plan.Schedules[name]
				loc, err := spec.TimeZone.Location()
				if err != nil {
					return err
				}
				begin, err := instant("from", from, loc, clock.Wall().Now().Truncate(time.Minute))
				if err != nil {
					return err
				}
				out.from, out.to, out.zones[name] = begin, begin.AddDate(0, 0, days), loc
				if spec.MayBeEmpty && schedule == "" {
					continue
				}
				holes, err := spec.Holes(name, out.from, out.to, plan.Reachable)
				if err != nil {
					return err
				}
				out.holes, out.checked = append(out.holes, holes...), append(out.checked, name)
			}
			if session.Format == "table" {
				err = session.Print(out)
			} else {
				err = session.Print(out.holes)
			}
			if err == nil && len(out.holes) > 0 {
				err = cli.ErrNotMet
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&schedule, "schedule", "", "only this one")
	f.StringVar(&from, "from", "", "first moment: RFC 3339, or a date or local time of the schedule (default: now)")
	f.IntVar(&days, "days", 90, "how far to look ahead")
	return c
}

func oncallImport() *cobra.Command {
	var schedule, zone, tokenEnv, address, mail string
	var fromPagerDuty bool
	c := &cobra.Command{
		Use: "import FILE.ics | import --pagerduty", Short: "Turn a calendar, or an account of PagerDuty's, into files; needs no server", Args: cobra.MaximumNArgs(1),
		Long: `Reads an iCalendar and prints a Schedule: each event is somebody, by its summary,
on call from its start until its end. Put its overrides under the layers of a
schedule, or use it as it is.

  flyball oncall import vacations.ics --schedule payments --time-zone Europe/Berlin

With --pagerduty, reads users, schedules, escalation policies and teams by
PagerDuty's REST API and prints them as resources:

  flyball oncall import --pagerduty --token-env PD_TOKEN > flyball/pagerduty.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if fromPagerDuty {
				text, err := importPagerDuty(cmd.Context(), address, tokenEnv, mail)
				if err == nil {
					_, err = io.WriteString(cmd.OutOrStdout(), text)
				}
				return err
			}
			if len(args) != 1 {
				return cli.Usage("name an .ics file, or say --pagerduty", "there is nothing to import")
			}
			var z oncall.Zone
			if err := z.UnmarshalText([]byte(zone)); err != nil {
				return cli.Usage("name one such as Europe/Berlin", "--time-zone: %s", err)
			}
			f, err := os.Open(args[0])
			if err != nil {
				return problem.New(problem.NotFound, "oncall.import", "%w", err)
			}
			defer f.Close()
			data, err := io.ReadAll(io.LimitReader(f, oncall.MaxCalendar+1))
			if err != nil {
				return problem.New(problem.NotFound, "oncall.import", "%w", err)
			}
			overrides, err := oncall.ReadCalendar(args[0], data)
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), oncall.WriteSchedule(schedule, z, overrides))
			return err
		},
	}
	c.Flags().StringVar(&schedule, "schedule", "imported", "name of the schedule")
	c.Flags().BoolVar(&fromPagerDuty, "pagerduty", false, "read an account of PagerDuty's instead of a file")
	c.Flags().StringVar(&tokenEnv, "token-env", "PD_TOKEN", "environment variable that holds PagerDuty's API key")
	c.Flags().StringVar(&address, "url", "", "PagerDuty's API (default https://api.pagerduty.com)")
	c.Flags().StringVar(&mail, "mail-channel", "", "Channel by which people's mail addresses become contacts")
	c.Flags().StringVar(&zone, "time-zone", "UTC", "of the schedule: for times that have none")
	return c
}
