package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/face/input"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

const about = `Flyball runs the loop of delivery and governs it by what its users feel:
change flows while reliability lasts, and slows down when it does not.

Commands are NOUN VERB, such as flyball rollout promote NAME. Each takes --help.
-o json prints what the API answers; data is on stdout, everything else on stderr.`

// Groups of commands in the help of flyball itself.
const (
	GroupStart = "start" // hand-written commands
	GroupNouns = "nouns"
)

// New makes the command tree of the operations. Extra commands are added as
// they are; one that has the name of a noun adds its subcommands to it.
func New(ops []operation.Operation, extra ...*cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use: "flyball", Short: "Deliver as fast as reliability allows", Long: about,
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.ArbitraryArgs, RunE: helpOrUnknown,
	}
	if len(extra) > 0 {
		root.AddGroup(&cobra.Group{ID: GroupStart, Title: "Start here:"})
	}
	root.AddGroup(&cobra.Group{ID: GroupNouns, Title: "Look and act:"})
	addGlobals(root)
	root.SetFlagErrorFunc(unknownFlag)
	byNoun := map[string][]operation.Operation{}
	for _, op := range ops {
		if !Callable(op) {
			continue
		}
		byNoun[op.Noun] = append(byNoun[op.Noun], op)
	}
	for noun, its := range byNoun {
		root.AddCommand(nounCommand(noun, its, ops))
	}
	for _, c := range append(extra, following(byNoun)...) {
		add(root, c)
	}
	return root
}

// following adds event tail where there are events.
func following(byNoun map[string][]operation.Operation) []*cobra.Command {
	if byNoun["event"] == nil {
		return nil
	}
	parent := &cobra.Command{Use: "event"}
	parent.AddCommand(tailCommand())
	return []*cobra.Command{parent}
}

func add(root, c *cobra.Command) {
	for _, noun := range root.Commands() {
		if noun.Name() == c.Name() {
			if c.Long != "" {
				noun.Long = c.Long
			}
			for _, verb := range c.Commands() { // one written by hand stands in for an operation's own
				for _, made := range noun.Commands() {
					if made.Name() == verb.Name() {
						noun.RemoveCommand(made)
					}
				}
				noun.AddCommand(verb)
			}
			if verbs := verbsOf(noun); len(verbs) > 1 {
				noun.Short = strings.Join(verbs, ", ")
			}
			return
		}
	}
	if c.GroupID == "" {
		c.GroupID = GroupStart
	}
	root.AddCommand(c)
}

// verbsOf are the verbs of a noun, sorted.
func verbsOf(noun *cobra.Command) []string {
	var verbs []string
	for _, c := range noun.Commands() {
		verbs = append(verbs, c.Name())
	}
	slices.Sort(verbs)
	return verbs
}

// nounCommand groups a noun's verbs. A noun with nothing but show or list is
// itself that command: flyball why SUBJECT.
func nounCommand(noun string, its, all []operation.Operation) *cobra.Command {
	c := &cobra.Command{Use: noun, Short: summaries(its), GroupID: GroupNouns, Args: cobra.ArbitraryArgs, RunE: helpOrUnknown}
	if len(its) == 1 && (its[0].Verb == "show" || its[0].Verb == "list") {
		c = command(its[0], all)
		c.Use = noun + strings.TrimPrefix(c.Use, its[0].Verb)
		c.GroupID = GroupNouns
	}
	if p := operation.Plural(noun); p != noun {
		c.Aliases = []string{p}
	}
	for _, op := range its {
		sub := command(op, all)
		sub.Hidden = len(its) == 1 && c.Runnable() && c.Short == sub.Short
		c.AddCommand(sub)
	}
	return c
}

func summaries(its []operation.Operation) string {
	if len(its) == 1 {
		return its[0].Summary
	}
	var verbs []string
	for _, op := range its {
		verbs = append(verbs, op.Verb)
	}
	slices.Sort(verbs)
	return strings.Join(verbs, ", ")
}

// helpOrUnknown is what a command does that only holds others.
func helpOrUnknown(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
			names = append(names, c.Aliases...)
		}
	}
	next := cmd.CommandPath() + " --help lists what there is"
	if near := input.Nearest(args[0], names); near != "" {
		next = "did you mean: " + cmd.CommandPath() + " " + near
	}
	return usage(next, "%q is not a command of %s", args[0], cmd.CommandPath())
}

// Main runs the command line and gives the process's exit code. An interrupt
// cancels the command's context.
func Main(ctx context.Context, root *cobra.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil {
		err = errInterrupted
	}
	report(stderr, err)
	return ExitCode(err)
}
