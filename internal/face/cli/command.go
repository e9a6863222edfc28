package cli

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/input"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

// Here is who calls an operation that needs no server.
var Here = operation.Caller{Name: "local", Grants: []operation.Grant{{Role: operation.Admin}}}

// Shortcut is an operation's command under a name of its own, such as flyball
// restart for flyball service restart.
func Shortcut(name string, op operation.Operation) *cobra.Command {
	c := command(op, nil)
	c.Use = name + strings.TrimPrefix(c.Use, op.Verb)
	return c
}

// Callable reports whether an operation can be called from a command line: all
// that it requires can be written as text. One that cannot is given its command
// by hand.
func Callable(op operation.Operation) bool {
	return !slices.ContainsFunc(operation.Fields(op.Input), func(f operation.Field) bool { return f.Required && !input.Settable(f.Type) })
}

// command makes one operation's command. all serves completion.
func command(op operation.Operation, all []operation.Operation) *cobra.Command {
	c := &cobra.Command{Use: op.Verb, Short: op.Summary, Long: long(op)}
	flags := map[string]*flagValue{}
	for _, a := range op.Args() {
		c.Use += " " + placeholder(a)
	}
	for _, f := range operation.Fields(op.Input) {
		if f.Arg > 0 || !input.Settable(f.Type) {
			continue
		}
		flags[f.Name] = &flagValue{op: op, field: f}
		flag := c.Flags().VarPF(flags[f.Name], FlagName(f.Name), "", describe(f))
		if f.Type.Kind() == reflect.Bool {
			flag.NoOptDefVal = "true"
		}
		if len(f.Enum) > 0 {
			c.RegisterFlagCompletionFunc(flag.Name, cobra.FixedCompletions(f.Enum, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	c.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName { return pflag.NormalizedName(FlagName(name)) })
	watch := new(bool)
	if !op.Body() && !op.Stream && !op.Local {
		c.Flags().BoolVarP(watch, "watch", "w", false, "show it again whenever it changes")
	}
	c.ValidArgsFunction = completeNames(op, all)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := parse(cmd, op, args, flags)
		if err != nil {
			return err
		}
		s, err := For(cmd)
		if err != nil {
			return err
		}
		if s.At != "" && (op.Body() || op.Local || *watch) {
			return usage("leave out --at", "--at is for looking back, which %s does not", cmd.CommandPath())
		}
		if *watch {
			return s.watch(cmd.Context(), op, in)
		}
		return s.run(cmd.Context(), op, in)
	}
	return c
}

// FlagName is an input field's name as a flag.
func FlagName(field string) string { return strings.ReplaceAll(field, "_", "-") }

func placeholder(f operation.Field) string {
	name := strings.ToUpper(f.Name)
	if f.Type.Kind() == reflect.Slice {
		name += "..."
	}
	if !f.Required {
		name = "[" + name + "]"
	}
	return name
}

func describe(f operation.Field) string {
	s := f.Doc
	if len(f.Enum) > 0 {
		s += " (" + strings.Join(f.Enum, ", ") + ")"
	}
	if f.Required {
		s += " (required)"
	}
	return s
}

// long is the command's help: what it does, its arguments, what it needs.
func long(op operation.Operation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.", strings.TrimSuffix(op.Summary, "."))
	if op.Help != "" {
		fmt.Fprintf(&b, "\n\n%s", strings.TrimSpace(op.Help))
	}
	if args := op.Args(); len(args) > 0 {
		b.WriteString("\n\nArguments:")
		for _, a := range args {
			fmt.Fprintf(&b, "\n  %-14s %s", placeholder(a), describe(operation.Field{Doc: a.Doc, Enum: a.Enum}))
		}
	}
	if op.Local {
		b.WriteString("\n\nNeeds no server.")
		return b.String()
	}
	method, path := op.Route()
	fmt.Fprintf(&b, "\n\nNeeds the role %s. API: %s %s", op.Role, method, path)
	return b.String()
}

// parse fills an operation's input from the command line.
func parse(cmd *cobra.Command, op operation.Operation, args []string, flags map[string]*flagValue) (any, error) {
	in := op.NewInput()
	help := cmd.CommandPath() + " --help says what it takes"
	for _, a := range op.Args() {
		if len(args) == 0 {
			break
		}
		values := args[:1]
		if a.Type.Kind() == reflect.Slice {
			values = args
		}
		if err := input.Set(in, a, values); err != nil {
			return nil, usage(help, "%s: %w", strings.ToUpper(a.Name), err)
		}
		args = args[len(values):]
	}
	if len(args) > 0 {
		return nil, usage(help, "%s takes no argument %q", cmd.CommandPath(), args[0])
	}
	for _, f := range operation.Fields(op.Input) {
		if v := flags[f.Name]; v != nil && len(v.values) > 0 {
			if err := input.Set(in, f, v.values); err != nil {
				return nil, usage(help, "--%s: %w", FlagName(f.Name), err)
			}
		}
	}
	missing := reflect.ValueOf(in).Elem()
	for _, f := range operation.Fields(op.Input) {
		if f.Required && missing.FieldByIndex(f.Index).IsZero() {
			name := "--" + FlagName(f.Name)
			if f.Arg > 0 {
				name = strings.ToUpper(f.Name)
			}
			return nil, usage(help, "%s is missing: %s", name, f.Doc)
		}
	}
	if err := op.Check(in); err != nil {
		return nil, usage(help, "%w", err)
	}
	return in, nil
}

// flagValue is a flag of an input field: it keeps what was written, checked.
type flagValue struct {
	op     operation.Operation
	field  operation.Field
	values []string
}

func (v *flagValue) String() string { return strings.Join(v.values, ",") }

func (v *flagValue) Set(s string) error {
	if err := input.Set(v.op.NewInput(), v.field, []string{s}); err != nil {
		return err
	}
	if v.field.Type.Kind() != reflect.Slice {
		v.values = nil
	}
	v.values = append(v.values, s)
	return nil
}

func (v *flagValue) Type() string {
	switch t := v.field.Type; {
	case t.Kind() == reflect.Bool:
		return "bool"
	case t.Kind() == reflect.Slice:
		return "list"
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64:
		return "number"
	}
	return "text"
}

// run calls the operation and shows its output.
func (s *Session) run(ctx context.Context, op operation.Operation, in any) error {
	if op.Stream {
		return s.copy(ctx, op, in)
	}
	raw, err := s.answer(ctx, op, in)
	if err != nil {
		return err
	}
	return s.Show(op, raw)
}

func (s *Session) answer(ctx context.Context, op operation.Operation, in any) ([]byte, error) {
	if !op.Local {
		return s.Call(ctx, op, in)
	}
	out, err := op.Call(ctx, Here, in)
	if err != nil {
		return nil, err
	}
	return api.Encode(out)
}

// copy passes a stream on as it comes.
func (s *Session) copy(ctx context.Context, op operation.Operation, in any) error {
	var text io.ReadCloser
	if op.Local {
		out, err := op.Call(ctx, Here, in)
		if err != nil {
			return err
		}
		text = out.(io.ReadCloser)
	} else {
		var err error
		if text, err = s.open(ctx, op, in); err != nil {
			return err
		}
	}
	defer text.Close()
	if _, err := io.Copy(s.Out, text); err != nil {
		return s.unreachable(err)
	}
	return nil
}
