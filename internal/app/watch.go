package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// flyball watch is the outside watcher: the same program on another machine,
// which needs no server and pages by itself when the server it watches is
// silent.

// outage is what a watcher knows; it is kept in a file, so that a watcher that
// is started again does not page again.
type outage struct {
	ID     string    `json:"id,omitempty"` // of the outage that goes on; empty while all is well
	Since  time.Time `json:"since,omitzero"`
	Reason string    `json:"reason,omitempty"`
	Bad    int       `json:"bad,omitempty"`  // checks in a row
	Good   int       `json:"good,omitempty"` // checks in a row, while an outage goes on
	// Told has, by place, whether it knows of the outage, and Over those that are
	// yet to hear that it is over.
	Told  map[string]bool   `json:"told,omitempty"`
	Over  map[string]string `json:"over,omitempty"` // outage, by place
	Beat  time.Time         `json:"beat,omitzero"`
	Moved time.Time         `json:"moved,omitzero"` // when the beat was seen to move last
}

// goodEnough is how many checks in a row end an outage.
const goodEnough = 2

// stale is how long the server's beat may stand still: who answers may be a
// cache.
const stale = 2 * time.Minute

// seen is the state after a check: reason is empty when all is well.
func (o outage) seen(server, reason string, tolerate int, now time.Time) outage {
	if reason == "" {
		o.Bad = 0
		if o.ID == "" {
			return o
		}
		if o.Good++; o.Good < goodEnough {
			return o
		}
		over := map[string]string{}
		for place, id := range o.Over {
			over[place] = id
		}
		for place, told := range o.Told {
			if told {
				over[place] = o.ID
			}
		}
		return outage{Over: over, Beat: o.Beat, Moved: o.Moved}
	}
	o.Good, o.Reason = 0, reason
	if o.Bad++; o.Bad == 1 && o.ID == "" {
		o.Since = now
	}
	if o.Bad >= tolerate && o.ID == "" {
		o.ID, o.Told = outageID(server, o.Since), map[string]bool{}
	}
	return o
}

// outageID is the same for the same outage, and fit for a message's identifier.
func outageID(server string, since time.Time) string {
	host := "flyball"
	if u, err := url.Parse(server); err == nil && u.Host != "" {
		host = u.Host
	}
	return "silent-" + strings.NewReplacer(".", "_", ":", "_", "[", "", "]", "").Replace(host) + "-" + since.UTC().Format("20060102t150405")
}

// watcher is flyball watch at work.
type watcher struct {
	server   string
	every    time.Duration
	tolerate int
	file     string // of the state; may be empty
	places   []notify.Target
	notifier notify.Notifier
	client   *http.Client
	clock    clock.Clock
	say      io.Writer
	state    outage
}

// run checks until ctx ends.
func (w *watcher) run(ctx context.Context) error {
	if err := w.load(); err != nil {
		return err
	}
	for {
		before := w.state.ID
		w.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case before == "" && w.state.ID != "":
			fmt.Fprintf(w.say, "%s silent: %s\n", stampOf(w.clock), w.state.Reason)
		case before != "" && w.state.ID == "":
			fmt.Fprintf(w.say, "%s back\n", stampOf(w.clock))
		}
		w.tell(ctx)
		if err := w.save(); err != nil {
			fmt.Fprintln(w.say, "what is known cannot be kept:", err)
		}
		if clock.Sleep(ctx, w.clock, w.every) != nil {
			return nil
		}
	}
}

func stampOf(c clock.Clock) string { return c.Now().UTC().Format(time.RFC3339) }

// look asks the server once.
func (w *watcher) look(ctx context.Context) {
	now := w.clock.Now()
	r, err := w.ask(ctx)
	if ctx.Err() != nil {
		return
	}
	reason := ""
	switch {
	case err != nil:
		reason = err.Error()
	case !r.Ready:
		reason = "it is not ready: " + r.Reason
	case !r.Beat.Equal(w.state.Beat):
		w.state.Beat, w.state.Moved = r.Beat, now
	case now.Sub(w.state.Moved) > max(stale, 2*w.every):
		reason = "its beat stands still since " + w.state.Moved.UTC().Format(time.RFC3339)
	}
	w.state = w.state.seen(w.server, reason, w.tolerate, now)
}

func (w *watcher) ask(ctx context.Context) (Readiness, error) {
	var out Readiness
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server+readyPath, nil)
	if err != nil {
		return out, err
	}
	req.Header.Set("Cache-Control", "no-cache")
	res, err := w.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return out, fmt.Errorf("it does not answer: %w", err)
	}
	defer res.Body.Close()
	err = json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&out)
	if err != nil || res.StatusCode != http.StatusOK && out.Reason == "" {
		return out, fmt.Errorf("it answers %d, and not as Flyball does", res.StatusCode)
	}
	return out, nil
}

// tell sends what each place is yet to hear. What does not arrive is sent again
// at the next check, with the same identifier.
func (w *watcher) tell(ctx context.Context) {
	for _, p := range w.places {
		name := placeName(p)
		if id, ok := w.state.Over[name]; ok {
			if w.send(ctx, p, id+"-over", "flyball.back", "Flyball answers again", id) {
				delete(w.state.Over, name)
			}
		}
		if w.state.ID != "" && !w.state.Told[name] {
			w.state.Told[name] = w.send(ctx, p, w.state.ID, "flyball.silent", "Flyball is silent: "+w.state.Reason, w.state.ID)
		}
	}
}

// placeName tells places apart in the file, without an address that may be a
// secret: the host of a webhook and a digest, or a mail address.
func placeName(t notify.Target) string {
	if t.Address != "" {
		return "mail " + t.Address
	}
	host := "?"
	if u, err := url.Parse(t.URL); err == nil {
		host = u.Host
	}
	return fmt.Sprintf("webhook %s %s", host, digest(t.URL))
}

func (w *watcher) send(ctx context.Context, to notify.Target, id, typ, title, outage string) bool {
	now := w.clock.Now().UTC()
	body, err := json.Marshal(map[string]any{"type": typ, "timestamp": now, "data": map[string]any{
		"server": w.server, "outage": outage, "since": w.state.Since.UTC(), "title": title}})
	if err != nil {
		return false
	}
	text := notify.Text{Title: title, Thread: outage, Lines: []string{"Server: " + w.server, "Noticed by flyball watch at " + now.Format(time.RFC3339)}}
	if typ == "flyball.silent" {
		text.Lines = append(text.Lines, "Since: "+w.state.Since.UTC().Format(time.RFC3339), "Nobody is paged by it until it is back: alerts have to be looked at elsewhere.")
	}
	if _, err := w.notifier.Send(ctx, notify.Message{ID: id, To: to, Body: body, Text: text}); err != nil {
		fmt.Fprintf(w.say, "%s %s was not told, trying again: %v\n", now.Format(time.RFC3339), placeName(to), err)
		return false
	}
	return true
}

func (w *watcher) load() error {
	if w.file == "" {
		return nil
	}
	raw, err := os.ReadFile(w.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &w.state)
	}
	if err != nil {
		return problem.New(problem.Invalid, "watch", "what was known cannot be read: %w", err).WithNext("remove %s to begin anew", w.file)
	}
	return nil
}

func (w *watcher) save() error {
	if w.file == "" {
		return nil
	}
	raw, err := json.Marshal(w.state)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(w.file), ".flyball-watch-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(raw)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), w.file)
}

// watchFlags are what flyball watch is told.
type watchFlags struct {
	hooks, mails                         []string
	secretEnv, smtp, from, user, passEnv string
	tls, file                            string
	every                                time.Duration
	tolerate                             int
}

func watchCommand() *cobra.Command {
	var f watchFlags
	c := &cobra.Command{
		Use: "watch URL", Short: "Watch a server from outside and page when it is silent; needs no server", Args: cobra.ExactArgs(1),
		Long: `Runs on another machine than the server. Asks URL/readyz again and again, pages when
it does not answer, is not ready, or only a cache answers, once for each outage, and
says when it is back. What does not arrive is sent again with the same identifier.

  flyball watch https://flyball.example.org --page https://hooks.example.org/x --secret-env PAGE_SECRET
  flyball watch http://10.0.0.7:7600 --mail ana@example.org --smtp mail.example.org:587 --from flyball@example.org --state /var/lib/flyball-watch.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := f.watcher(args[0], cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return w.run(cmd.Context())
		},
	}
	o := c.Flags()
	o.StringSliceVar(&f.hooks, "page", nil, "webhook to page, signed as Standard Webhooks say; may be repeated")
	o.StringVar(&f.secretEnv, "secret-env", "", "environment variable with the secret that signs webhooks")
	o.StringSliceVar(&f.mails, "mail", nil, "mail address to page; may be repeated")
	o.StringVar(&f.smtp, "smtp", "", "mail server, host:port")
	o.StringVar(&f.from, "from", "", "address mail comes from")
	o.StringVar(&f.user, "smtp-user", "", "user name at the mail server")
	o.StringVar(&f.passEnv, "smtp-password-env", "", "environment variable with the password")
	o.StringVar(&f.tls, "smtp-tls", "starttls", "starttls, tls or none")
	o.DurationVar(&f.every, "every", 30*time.Second, "how often to ask")
	o.IntVar(&f.tolerate, "tolerate", 2, "checks in a row that may fail before anybody is paged, counting the last")
	o.StringVar(&f.file, "state", "", "file in which an outage is remembered when the watcher is started again")
	return c
}

// watcher makes the watcher of what was said.
func (f watchFlags) watcher(server string, say io.Writer) (*watcher, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, cli.Usage("write it like "+cli.DefaultServer, "%q is not a server's address", server)
	}
	if f.every < time.Second || f.tolerate < 1 {
		return nil, cli.Usage("use --every 30s --tolerate 2", "--every is at least 1s, --tolerate at least 1")
	}
	c := clock.Wall()
	w := &watcher{server: strings.TrimRight(server, "/"), every: f.every, tolerate: f.tolerate, file: f.file, notifier: notifiers(c, nil), clock: c, say: say,
		client: &http.Client{Timeout: min(max(f.every, 5*time.Second), 15*time.Second), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	for _, h := range f.hooks {
		w.places = append(w.places, notify.Target{URL: h, SecretEnv: f.secretEnv, Class: notify.Declared})
	}
	if len(f.mails) > 0 {
		host, port, err := splitAddress(f.smtp)
		if err != nil || f.from == "" {
			return nil, cli.Usage("add --smtp HOST:PORT --from ADDRESS", "mail needs a mail server and an address it comes from")
		}
		settings := notify.Settings{SMTP: &notify.SMTP{Host: host, Port: port, From: f.from, Username: f.user, PasswordEnv: f.passEnv, TLS: f.tls}}
		for _, m := range f.mails {
			w.places = append(w.places, notify.Target{Settings: settings, Channel: "mail", Address: m, Class: notify.Declared})
		}
	}
	if len(w.places) == 0 {
		return nil, cli.Usage("add --page https://… or --mail ADDRESS", "there is nobody to page")
	}
	return w, nil
}
