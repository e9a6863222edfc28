package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/bench/stage"
)

// process is one process of this Flyball.
type process struct {
	role string // server, agent, supervisor of the agent, supervisor of an instance
	pid  int
}

// idle watches the processes while nobody asks anything of them.
func idle(ctx context.Context, s *stage.Stage, o options, out io.Writer) error {
	all, err := processes(s)
	if err != nil {
		return err
	}
	before := map[int]time.Duration{}
	for _, p := range all {
		if before[p.pid], err = cpu(p.pid); err != nil {
			return err
		}
	}
	from, err := head(ctx, s)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(o.idle):
	}
	if err := load(out); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nidle, after %v\tRSS\tPSS\tCPU of one core, with children\n", o.idle)
	for _, p := range all {
		rss, err := kilobytes(p.pid, "Rss")
		if err != nil {
			return err
		}
		pss, err := kilobytes(p.pid, "Pss")
		if err != nil {
			return err
		}
		used, err := cpu(p.pid)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\t%.1f MiB\t%.1f MiB\t%.2f %%\n", p.role, rss/1024, pss/1024, 100*(used-before[p.pid]).Seconds()/o.idle.Seconds())
	}
	to, err := head(ctx, s)
	if err == nil && to != from {
		fmt.Fprintf(out, "not idle: %d events were recorded meanwhile\t\t\t\n", to-from)
	}
	return err
}

// load says how busy the machine was with everything on it.
func load(out io.Writer) error {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d CPUs, load average of the last minute %s\t\t\t\n", runtime.NumCPU(), strings.Fields(string(text))[0])
	return nil
}

// processes finds them by the program they execute.
func processes(s *stage.Stage) ([]process, error) {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return nil, err
	}
	byRole := map[string]process{}
	for _, link := range links {
		// Processes end while we look.
		if exe, err := os.Readlink(link); err != nil || exe != s.Binary {
			continue
		}
		dir := filepath.Dir(link)
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue
		}
		args := strings.Split(string(text), "\x00")
		role := ""
		switch {
		case len(args) > 1 && args[1] == "up":
			role = "server"
		case len(args) > 1 && args[1] == "agent":
			role = "agent"
		case len(args) > 2 && strings.Contains(args[2], "/agent/runs/"):
			role = "supervisor of the agent"
		case len(args) > 2 && strings.Contains(args[2], "/agent/instances/"):
			role = "supervisor of an instance"
		}
		byRole[role] = process{role, pid}
	}
	var out []process
	for _, role := range []string{"server", "agent", "supervisor of the agent", "supervisor of an instance"} {
		p, ok := byRole[role]
		if !ok {
			return nil, fmt.Errorf("there is no %s", role)
		}
		out = append(out, p)
	}
	return out, nil
}

// kilobytes reads a field of /proc/PID/smaps_rollup.
func kilobytes(pid int, field string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == field+":" {
			return strconv.ParseFloat(f[1], 64)
		}
	}
	return 0, fmt.Errorf("/proc/%d/smaps_rollup has no %s", pid, field)
}

// cpu is the user and system time of a process and of the children that it has
// waited for, such as git.
func cpu(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// Fields 14 to 17; the second is in parentheses and may hold spaces.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return 0, fmt.Errorf("/proc/%d/stat is not as expected", pid)
	}
	var ticks int64
	for _, f := range fields[11:15] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil // USER_HZ is 100 wherever Go runs on Linux
}
