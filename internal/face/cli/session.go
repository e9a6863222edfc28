package cli

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// DefaultServer is where a server listens unless told otherwise.
const DefaultServer = "http://127.0.0.1:7600"

// ServerFile is what a server leaves in .flyball/server.json so that commands
// run in the folder or below find it.
type ServerFile struct {
	URL       string `json:"url"`
	TokenFile string `json:"token_file,omitempty"` // in the same folder
}

func addGlobals(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringP("output", "o", "table", "table, json, yaml or csv")
	f.String("server", "", "address of the server (FLYBALL_SERVER, .flyball/server.json, "+DefaultServer+")")
	f.String("token", "", "token to call with (FLYBALL_TOKEN, .flyball/server.json); visible to other processes, so prefer the variable")
	f.String("at", "", "answer as of a moment in the past: RFC 3339, or how long ago, such as 2h")
	f.Bool("no-color", false, "no colour (also NO_COLOR)")
	root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
}

// formats are the forms of an answer.
var formats = []string{"table", "json", "yaml", "csv"}

// Session is what a command runs in.
type Session struct {
	Out, Err io.Writer
	Format   string // table, json, yaml or csv
	Colour   bool
	Terminal bool // stdout is watched by a person
	Talks    bool // stderr is
	At       string
	Server   string
	token    string
	clock    clock.Clock
}

// For is the session of a command, from its global flags and the environment.
func For(cmd *cobra.Command) (*Session, error) {
	flag := func(name string) string { v, _ := cmd.Flags().GetString(name); return v }
	s := &Session{Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr(), Format: flag("output"), clock: clock.Wall()}
	if !slices.Contains(formats, s.Format) {
		return nil, usage("use -o table, -o json, -o yaml or -o csv", "%q is not an output format", s.Format)
	}
	s.Terminal, s.Talks = isTerminal(s.Out), isTerminal(s.Err)
	noColour, _ := cmd.Flags().GetBool("no-color")
	s.Colour = s.Terminal && !noColour && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	var err error
	if s.At, err = moment(flag("at"), s.clock.Now()); err != nil {
		return nil, err
	}
	return s, s.locate(flag("server"), flag("token"))
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// moment reads --at.
func moment(at string, now time.Time) (string, error) {
	if at == "" {
		return "", nil
	}
	if ago, err := time.ParseDuration(strings.TrimPrefix(at, "-")); err == nil {
		return now.Add(-ago).Format(time.RFC3339Nano), nil
	}
	if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
		return "", usage("write --at 2026-11-21T09:30:00Z, or --at 2h for two hours ago", "--at %q is not a moment", at)
	}
	return at, nil
}

// locate finds server and token. A token from a flag or the environment goes
// only to a server named there too, or to this machine: a file that came with
// somebody's repository must not draw it away.
func (s *Session) locate(server, token string) error {
	token = first(token, os.Getenv("FLYBALL_TOKEN"))
	s.Server = first(server, os.Getenv("FLYBALL_SERVER"))
	named := s.Server != ""
	file, fileToken, err := discover()
	if err != nil {
		return err
	}
	s.Server = strings.TrimRight(first(s.Server, file.URL, DefaultServer), "/")
	u, err := url.Parse(s.Server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
		return usage("write it like "+DefaultServer, "%q is not a server's address", s.Server)
	}
	if named || loopback(u.Hostname()) {
		s.token = token
	}
	if s.token == "" && s.Server == strings.TrimRight(file.URL, "/") {
		s.token = fileToken
	}
	return nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// discover looks for .flyball/server.json here and in the folders above.
func discover() (file ServerFile, token string, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return file, "", nil // a folder that is gone has no server
	}
	for {
		path := filepath.Join(dir, ".flyball", "server.json")
		raw, err := os.ReadFile(path)
		switch {
		case err == nil:
			return readServerFile(path, raw)
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission):
			return file, "", problem.New(problem.Invalid, "cli.discover", "%s: %w", path, err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return file, "", nil
		}
		dir = parent
	}
}

func readServerFile(path string, raw []byte) (file ServerFile, token string, err error) {
	if err := json.Unmarshal(raw, &file); err != nil {
		return file, "", problem.New(problem.Invalid, "cli.discover", "%s: %w", path, err).WithNext("remove it; flyball up writes it again")
	}
	if file.TokenFile == "" {
		return file, "", nil
	}
	if filepath.Base(file.TokenFile) != file.TokenFile {
		return file, "", problem.New(problem.Invalid, "cli.discover", "%s: token_file must be a name in the same folder", path).WithNext("remove it; flyball up writes it again")
	}
	beside := filepath.Join(filepath.Dir(path), file.TokenFile)
	if info, err := os.Lstat(beside); err != nil || !info.Mode().IsRegular() || info.Size() > 4096 {
		return file, "", nil // not ours to read: reads on this machine need no token
	}
	text, _ := os.ReadFile(beside)
	return file, strings.TrimSpace(string(text)), nil
}
