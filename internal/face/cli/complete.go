package cli

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

// completeNames completes an operation's first argument with the names that
// the list of that noun gives, when the server answers at once.
func completeNames(op operation.Operation, all []operation.Operation) cobra.CompletionFunc {
	none := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	args := op.Args()
	if len(args) == 0 || op.Local {
		return none
	}
	for _, list := range all {
		if list.Noun == args[0].Name && list.Verb == "list" && !list.Local {
			return func(cmd *cobra.Command, given []string, prefix string) ([]string, cobra.ShellCompDirective) {
				if len(given) > 0 {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
				return names(cmd, list, prefix), cobra.ShellCompDirectiveNoFileComp
			}
		}
	}
	return none
}

func names(cmd *cobra.Command, list operation.Operation, prefix string) []string {
	s, err := For(cmd)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	raw, err := s.Call(ctx, list, list.NewInput())
	if err != nil {
		return nil
	}
	var page struct{ Items []map[string]any }
	if json.Unmarshal(raw, &page) != nil {
		return nil
	}
	var out []string
	for _, item := range page.Items {
		for _, key := range []string{list.Noun, "name", "id"} {
			if name, ok := item[key].(string); ok {
				if strings.HasPrefix(name, prefix) {
					out = append(out, name)
				}
				break
			}
		}
	}
	return out
}
