// Command flyball is the server, the agent and the command line of Flyball.
package main

import (
	"os"
	_ "time/tzdata" // freezes and calendar windows name zones; a bare machine has none

	"github.com/flyball-dev/flyball/internal/agent"
	"github.com/flyball-dev/flyball/internal/agent/supervise"
	"github.com/flyball-dev/flyball/internal/app"
)

func main() {
	// Supervisors and agents are many and live long: they start before anything
	// else is set up.
	if len(os.Args) == 3 && os.Args[1] == supervise.Verb {
		os.Exit(supervise.Main(os.Args[2]))
	}
	if len(os.Args) > 1 && os.Args[1] == agent.Verb {
		os.Exit(agent.Main(os.Args[2:]))
	}
	os.Exit(app.Main(os.Args[1:]))
}
