package app

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// Bounds of one rehearsal.
const (
	maxReplayed  = 200_000 // facts
	maxProposed  = 4 << 20 // bytes of files
	quarter      = 90 * 24 * time.Hour
	replayedPage = 5000
)

// ReplayInput asks whom other schedules, policies and teams would have paged.
type ReplayInput struct {
	Files map[string]string `json:"files" doc:"text of each YAML file by its path; what they declare stands in for what was declared then. Without any, nothing changes"`
	From  time.Time         `json:"from" doc:"pages from then on are compared (default: 90 days ago)"`
	To    time.Time         `json:"to" doc:"pages before then are compared (default: now)"`
}

// replayOperation plays what happened again, on a stage of its own.
func (a *App) replayOperation() operation.Operation {
	return operation.Define(operation.Spec[ReplayInput, incident.Comparison]{
		Noun: "oncall", Verb: "replay", Summary: "Say which pages other schedules, policies and teams would have changed", Ask: true, Role: operation.Viewer,
		Help: "What happened, and what people did, is played again from the record by the code that\npages live, with the resources given instead of those declared then.\n\n" +
			"  flyball oncall replay proposed/ --from 2026-08-01T00:00:00Z\n\nWithout resources it pages whom it paged.",
		Handle: func(ctx context.Context, _ operation.Caller, in ReplayInput) (incident.Comparison, error) {
			return a.replay(ctx, in)
		},
	})
}

func (a *App) replay(ctx context.Context, in ReplayInput) (out incident.Comparison, err error) {
	now := a.cfg.Clock.Now().UTC()
	if in.To.IsZero() {
		in.To = now
	}
	if in.From.IsZero() {
		in.From = in.To.Add(-quarter)
	}
	if !in.From.Before(in.To) || in.To.After(now) {
		return out, problem.New(problem.Invalid, "oncall.replay", "from %s to %s is no past time", in.From.Format(time.RFC3339), in.To.Format(time.RFC3339))
	}
	proposed, err := a.proposed(ctx, in.Files)
	if err != nil {
		return out, err
	}
	facts, err := a.replayed(ctx, in.To)
	if err != nil || len(facts) == 0 {
		return out, err
	}
	c := clock.NewVirtual(facts[0].Recorded)
	store := memory.New(memory.Options{Clock: c})
	defer store.Close()
	states := projection.NewRunner(store.Log(), store.States(), Projections()...)
	stage := incident.Stage{Log: store.Log(), Reader: store.States(), Clock: c, CatchUp: states.CatchUp}
	rehearsed, err := incident.Rehearse(ctx, stage, facts, proposed, in.To)
	if err != nil {
		return out, err
	}
	recorded, err := incident.Pagings(ctx, a.log)
	if err != nil {
		return out, err
	}
	return incident.Compare(recorded, rehearsed, in.From, in.To, zones(ctx, store.States())), nil
}

// replayed reads the facts that pages follow from.
func (a *App) replayed(ctx context.Context, until time.Time) (facts []event.Event, err error) {
	q := event.Query{Types: incident.Replayed, Limit: replayedPage, RecordedBy: until}
	for {
		page, err := a.log.Read(ctx, q)
		if err != nil {
			return nil, err
		}
		facts = append(facts, page...)
		if len(facts) > maxReplayed {
			return nil, problem.New(problem.Invalid, "oncall.replay", "more than %d facts are recorded up to then", maxReplayed).
				WithNext("replay a shorter history: choose an earlier --to")
		}
		if len(page) < q.Limit {
			return facts, nil
		}
		q.After = page[len(page)-1].Position
	}
}

// zones tells where people are, as declared; UTC when that is not known.
func zones(ctx context.Context, r projection.Reader) func(person string) *time.Location {
	known := map[string]*time.Location{}
	return func(person string) *time.Location {
		if z := known[person]; z != nil {
			return z
		}
		known[person] = time.UTC
		if spec, _, err := catalog.Get[oncall.PersonSpec](ctx, r, oncall.KindPerson, person); err == nil {
			if z, err := spec.TimeZone.Location(); err == nil && z != nil {
				known[person] = z
			}
		}
		return known[person]
	}
}

// proposed reads files as they would stand among what is declared now.
func (a *App) proposed(ctx context.Context, files map[string]string) ([]resource.Applied, error) {
	if len(files) == 0 {
		return nil, nil
	}
	size, all, mine := 0, map[string][]byte{}, map[string]bool{}
	for name, text := range files {
		size += len(text)
		all[name] = []byte(text)
		for _, key := range oncall.Declared(text) {
			mine[key] = true
		}
	}
	if size > maxProposed {
		return nil, problem.New(problem.Invalid, "oncall.replay", "the files have more than %d bytes", maxProposed)
	}
	f := projection.Filter{Index: "all", Value: "yes", Limit: projection.MaxPage}
	for {
		entries, next, err := projection.List[catalog.Entry](ctx, a.env.Reader, catalog.ProjectionName, f)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if key := resource.Key(e.Kind, e.Metadata.Name); !mine[key] && e.Text != "" {
				all["declared/"+key+".yaml"] = []byte(e.Text)
			}
		}
		if next == "" {
			break
		}
		f.After = next
	}
	set, findings := resource.Load(Kinds(), all)
	if set == nil {
		return nil, resource.Refuse("oncall.replay", findings)
	}
	var out []resource.Applied
	for _, o := range set.All() {
		if !mine[o.Key()] {
			continue
		}
		applied, err := catalog.Applied(o, "")
		if err != nil {
			return nil, err
		}
		out = append(out, applied)
	}
	return out, nil
}

func oncallReplay(ops []operation.Operation) *cobra.Command {
	var from, to string
	op := byName(ops, "oncall.replay")
	c := &cobra.Command{
		Use: "replay [FILE or DIRECTORY…]", Short: op.Summary, Long: op.Help,
		RunE: func(cmd *cobra.Command, paths []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			in := ReplayInput{Files: map[string]string{}}
			for _, path := range paths {
				if err := readInto(cmd.Context(), in.Files, path); err != nil {
					return err
				}
			}
			for _, at := range []struct {
				text string
				into *time.Time
			}{{from, &in.From}, {to, &in.To}} {
				if at.text == "" {
					continue
				}
				if *at.into, err = time.Parse(time.RFC3339, at.text); err != nil {
					return cli.Usage("write it as 2026-10-14T12:00:00Z", "%q is not an RFC 3339 time", at.text)
				}
			}
			raw, err := session.Call(cmd.Context(), op, &in)
			if err != nil {
				return err
			}
			return session.Show(op, raw)
		},
	}
	c.Flags().StringVar(&from, "from", "", "pages from then on are compared, RFC 3339 (default: 90 days ago)")
	c.Flags().StringVar(&to, "to", "", "pages before then are compared, RFC 3339 (default: now)")
	return c
}

// readInto reads a file, or the YAML files below a directory.
func readInto(ctx context.Context, files map[string]string, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return problem.New(problem.NotFound, "oncall.replay", "%w", err).WithNext("name a YAML file, or a directory of them")
	}
	read := map[string][]byte{}
	if info.IsDir() {
		if _, _, read, err = readDirectory(ctx, path); err != nil {
			return err
		}
	} else if read[path], err = os.ReadFile(path); err != nil {
		return problem.New(problem.NotFound, "oncall.replay", "%w", err)
	}
	for name, data := range read {
		files[name] = string(data)
	}
	if len(read) == 0 {
		return problem.New(problem.NotFound, "oncall.replay", "there is no YAML file in %s", path).WithNext("%s", fmt.Sprintf("name the files themselves, such as %s/schedule.yaml", path))
	}
	return nil
}
