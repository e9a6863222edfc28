package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// tailCommand follows the log.
func tailCommand() *cobra.Command {
	var f followed
	c := &cobra.Command{
		Use: "tail", Short: "Print events as they are recorded", Args: cobra.NoArgs,
		Long: `Print events as they are recorded, until interrupted. A connection that breaks
is taken up again where it broke: no event twice, none left out.

flyball event tail --types rollout.,release.
flyball event tail --after 0 -o json | jq .type

Needs the role viewer. API: GET /events`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := For(cmd)
			if err != nil {
				return err
			}
			return s.follow(cmd.Context(), f, s.printEvent)
		},
	}
	c.Flags().StringSliceVar(&f.types, "types", nil, "event types, or prefixes that end in a dot such as rollout.")
	c.Flags().StringVar(&f.subject, "subject", "", "what the events are about, such as rollout/checkout-3f2a91c-prod-1")
	c.Flags().StringVar(&f.after, "after", "", "log position to start behind; by default only what is yet to come")
	return c
}

func (s *Session) printEvent(m sse) error {
	if s.Format != "table" {
		_, err := fmt.Fprintln(s.Out, m.data)
		return err
	}
	var e api.Record
	if err := json.Unmarshal([]byte(m.data), &e); err != nil {
		return problem.New(problem.Internal, "event.tail", "an event could not be read: %w", err)
	}
	_, err := fmt.Fprintf(s.Out, "%7d  %s  %-24s  %-36s  %-16s  %s\n", e.Position, Time(e.Recorded), line(e.Type), line(e.Subject), line(e.Actor), short(string(e.Data)))
	return err
}

// followed selects events.
type followed struct {
	types          []string
	subject, after string
}

// sse is one server-sent event.
type sse struct{ id, data string }

// follow hands each event to each, and takes a broken connection up again. It
// ends with the context, an error of each, or a refusal.
func (s *Session) follow(ctx context.Context, f followed, each func(sse) error) error {
	query := url.Values{}
	for name, value := range map[string]string{"types": strings.Join(f.types, ","), "subject": f.subject, "after": f.after} {
		if value != "" {
			query.Set(name, value)
		}
	}
	last, wait := "", time.Second
	for {
		heard, err := s.events(ctx, query, &last, each)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case heard:
			wait = time.Second
		case last == "":
			return err // never connected: say so rather than wait
		}
		var stop handlerError
		if errors.As(err, &stop) {
			return stop.error
		}
		if k := problem.KindOf(err); err != nil && k != problem.Unavailable {
			return err
		}
		if heard && s.Talks {
			fmt.Fprintf(s.Err, "%s is gone; trying again\n", s.Server)
		}
		if err := clock.Sleep(ctx, s.clock, wait); err != nil {
			return err
		}
		wait = min(2*wait, 15*time.Second)
	}
}

type handlerError struct{ error }

// events reads one connection to its end, keeping the last id in last.
func (s *Session) events(ctx context.Context, query url.Values, last *string, each func(sse) error) (heard bool, err error) {
	address := s.Server + "/events"
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false, err
	}
	if *last != "" {
		req.Header.Set("Last-Event-ID", *last)
	}
	body, err := s.send(req)
	if err != nil {
		return false, err
	}
	defer body.Close()
	return true, s.unreachable(messages(body, last, each))
}

// messages parses server-sent events (WHATWG HTML § 9.2.6, without event
// names, which this server does not send). It returns at the stream's end.
func messages(body io.Reader, last *string, each func(sse) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 4<<20)
	var data []string
	id := *last
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case name == "" && lines.Text() != "":
		case name == "id":
			id = value
		case name == "data":
			data = append(data, value)
		case lines.Text() == "":
			if len(data) > 0 {
				if err := each(sse{id, strings.Join(data, "\n")}); err != nil {
					return handlerError{err}
				}
			}
			*last, data = id, nil
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}
