package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

type gear struct {
	Name    string        `json:"name" doc:"its name"`
	State   string        `json:"state"`
	Weight  float64       `json:"weight"`
	Age     time.Duration `json:"age"`
	Tags    []string      `json:"tags,omitempty"`
	Parts   []part        `json:"parts,omitempty"`
	Private string        `json:"private,omitempty" table:"-"`
}

type part struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

type byName struct {
	Gear string `json:"gear" arg:"1" doc:"its name"`
}

type turnGear struct {
	Gear    string        `json:"gear" arg:"1" doc:"its name"`
	Reason  string        `json:"reason" required:"true" doc:"why; recorded"`
	HowFast string        `json:"how_fast" enum:"slow,fast" doc:"speed"`
	For     time.Duration `json:"for" doc:"how long"`
	Gently  bool          `json:"gently" doc:"without noise"`
}

type page struct {
	Limit int    `json:"limit" doc:"at most this many"`
	After string `json:"after" doc:"cursor"`
}

type answer struct {
	Enough bool `json:"enough"`
}

func (a answer) Met() bool { return a.Enough }
func (a answer) Tell() string {
	return map[bool]string{true: "Enough.", false: "Not enough."}[a.Enough]
}

type world struct {
	t     *testing.T
	store *memory.Store
	url   string
	ops   []operation.Operation

	mu     sync.Mutex
	state  string
	turned []turnGear
	busy   int // so many calls are refused
}

func (w *world) operations() []operation.Operation {
	show := func(name string) gear {
		w.mu.Lock()
		defer w.mu.Unlock()
		return gear{Name: name, State: w.state, Weight: 1.5, Age: 90 * time.Minute, Tags: []string{"a", "b"}, Parts: []part{{"tooth", 12}, {"axle", 1}}, Private: "p"}
	}
	return []operation.Operation{
		operation.Define(operation.Spec[page, operation.Page[gear]]{Noun: "gear", Verb: "list", Summary: "List gears", Role: operation.Viewer,
			Handle: func(_ context.Context, _ operation.Caller, in page) (operation.Page[gear], error) {
				if in.Limit == 1 {
					return operation.Page[gear]{Items: []gear{show("kuh")}, Next: "kuh"}, nil
				}
				return operation.Page[gear]{Items: []gear{show("齿轮"), show("kuh\x1b[2J"), show("a much longer name")}}, nil
			}}),
		operation.Define(operation.Spec[byName, gear]{Noun: "gear", Verb: "show", Summary: "Show a gear", Role: operation.Viewer,
			Help: "flyball gear show kuh",
			Handle: func(ctx context.Context, _ operation.Caller, in byName) (gear, error) {
				g := show(in.Gear)
				if at, ok := operation.At(ctx); ok {
					g.State = at.UTC().Format(time.RFC3339)
				}
				if kind, ok := strings.CutPrefix(in.Gear, "fail-"); ok {
					return g, problem.New(problem.Kind(kind), "gear.show", "it is %s", kind)
				}
				return g, nil
			}}),
		operation.Define(operation.Spec[turnGear, gear]{Noun: "gear", Verb: "turn", Summary: "Turn a gear", Role: operation.Developer, Write: true,
			Handle: func(_ context.Context, _ operation.Caller, in turnGear) (gear, error) {
				w.mu.Lock()
				w.turned = append(w.turned, in)
				w.mu.Unlock()
				return show(in.Gear), nil
			}}),
		operation.Define(operation.Spec[byName, io.ReadCloser]{Noun: "log", Verb: "show", Summary: "Print what it says", Role: operation.Viewer, Stream: true,
			Handle: func(context.Context, operation.Caller, byName) (io.ReadCloser, error) {
				return io.NopCloser(strings.NewReader("one\ntwo\n")), nil
			}}),
		operation.Define(operation.Spec[byName, answer]{Noun: "gear", Verb: "judge", Summary: "Judge in process", Role: operation.Viewer, Local: true,
			Handle: func(_ context.Context, _ operation.Caller, in byName) (answer, error) {
				return answer{in.Gear == "good"}, nil
			}}),
	}
}

type anyone struct{}

func (anyone) Authenticate(_ context.Context, bearer string) (operation.Caller, error) {
	if bearer != "right" {
		return operation.Caller{}, problem.New(problem.Denied, "access", "the token is not known")
	}
	return operation.Caller{Name: "user:ana", Grants: []operation.Grant{{Role: operation.Admin}}}, nil
}

func start(t *testing.T) *world {
	t.Helper()
	t.Setenv("FLYBALL_SERVER", "")
	t.Setenv("FLYBALL_TOKEN", "")
	t.Chdir(t.TempDir())
	w := &world{t: t, store: memory.New(memory.Options{}), state: "healthy"}
	w.ops = append(w.operations(), api.EventOperations(w.store)...)
	a, err := api.New(api.Options{Operations: w.ops, Log: w.store.Log(), Authenticator: anyone{},
		Past: func(context.Context, time.Time) (projection.Reader, error) { return w.store.States(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		busy := w.busy > 0
		w.busy--
		w.mu.Unlock()
		if busy {
			e := problem.New(problem.Unavailable, "api", "busy")
			e.RetryAfter = time.Millisecond
			a.Problem(rw, r, e)
			return
		}
		a.Guard(a).ServeHTTP(rw, r)
	}))
	t.Cleanup(s.Close)
	t.Cleanup(a.Close)
	w.url = s.URL
	return w
}

// run runs a command line in the world's folder.
func (w *world) run(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	var out, talk bytes.Buffer
	code = cli.Main(w.t.Context(), cli.New(w.ops), args, strings.NewReader(""), &out, &talk)
	return out.String(), talk.String(), code
}

func (w *world) serverFile(dir, token string) {
	w.t.Helper()
	dir = filepath.Join(dir, ".flyball")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	write("server.json", fmt.Sprintf(`{"url":%q,"token_file":"token"}`, w.url))
	write("token", token+"\n")
}

func TestOutputs(t *testing.T) {
	w := start(t)
	w.serverFile(".", "right")
	os.MkdirAll("deep/below", 0o755)
	t.Chdir("deep/below")
	for _, c := range []struct{ args, want, talk string }{
		{"gear list", "" +
			"NAME                STATE    WEIGHT  AGE       TAGS\n" +
			"齿轮                healthy  1.5     1 h 30 min  a, b\n" +
			"kuh�[2J             healthy  1.5     1 h 30 min  a, b\n" +
			"a much longer name  healthy  1.5     1 h 30 min  a, b\n", ""},
		{"gears list --limit 1", "" +
			"NAME  STATE    WEIGHT  AGE         TAGS\n" +
			"kuh   healthy  1.5     1 h 30 min  a, b\n", "There is more: add --after kuh\n"},
		{"gear show kuh", "" +
			"name    kuh\nstate   healthy\nweight  1.5\nage     1 h 30 min\ntags    a, b\nparts\n" +
			"  NAME   COUNT\n  tooth  12\n  axle   1\n", ""},
		{"gear show kuh -o csv", "name,state,weight,age,tags,private\r\nkuh,healthy,1.5,5400000000000,a; b,p\r\n", ""},
		{"gear show kuh -o yaml", "name: kuh\nstate: healthy\nweight: 1.5\nage: 5400000000000\ntags:\n  - a\n  - b\nparts:\n  - name: tooth\n    count: 12\n  - name: axle\n    count: 1\nprivate: p\n", ""},
		{"gear judge good", "Enough.\n", ""},
		{"log kuh", "one\ntwo\n", ""},
		{"log show kuh", "one\ntwo\n", ""},
		{"gear show 1 --at 2026-01-02T03:04:05Z -o yaml", "name: \"1\"\nstate: \"2026-01-02T03:04:05Z\"\nweight: 1.5\nage: 5400000000000\ntags:\n  - a\n  - b\nparts:\n  - name: tooth\n    count: 12\n  - name: axle\n    count: 1\nprivate: p\n", ""},
	} {
		out, talk, code := w.run(strings.Fields(c.args)...)
		want := c.want
		if c.args == "gear list" {
			want = strings.Replace(want, "AGE       TAGS", "AGE         TAGS", 1)
		}
		if out != want || talk != c.talk || code != 0 {
			t.Errorf("%s: %d\n%s%s\nwant\n%s", c.args, code, out, talk, want)
		}
	}
	out, _, _ := w.run("gear", "show", "kuh", "-o", "json")
	res, err := http.Get(w.url + "/api/v1/gears/kuh")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	served, _ := io.ReadAll(res.Body)
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(out)); err != nil || compact.String() != strings.TrimSpace(string(served)) {
		t.Errorf("-o json prints\n%s\nthe API answers\n%s", out, served)
	}
}

func TestWriteSendsItsInput(t *testing.T) {
	w := start(t)
	w.serverFile(".", "right")
	w.busy = 2
	_, talk, code := w.run("gear", "turn", "a/b c", "--reason", "it, squeaks", "--how-fast=slow", "--for", "90s", "--gently")
	want := turnGear{Gear: "a/b c", Reason: "it, squeaks", HowFast: "slow", For: 90 * time.Second, Gently: true}
	if code != 0 || len(w.turned) != 1 || w.turned[0] != want {
		t.Errorf("%d %s %+v", code, talk, w.turned)
	}
	if _, _, code := w.run("gear", "turn", "x", "--reason", "y", "--how_fast", "fast"); code != 0 || w.turned[1].HowFast != "fast" {
		t.Errorf("an underscore in a flag: %d %+v", code, w.turned)
	}
}

func TestExitCodesAndAdvice(t *testing.T) {
	w := start(t)
	w.serverFile(".", "right")
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", 0, ""},
		{"gear", 0, ""},
		{"gear show fail-notfound", 1, "flyball: it is notfound\nnext: check the name"},
		{"gear show fail-blocked", 3, "flyball: it is blocked\nnext: wait until the policy allows it"},
		{"gear show fail-conflict", 1, "next: look at its present state"},
		{"gear judge bad", 4, ""},
		{"gear list --token wrong", 1, "the token is not known"},
		{"gaer list", 2, `"gaer" is not a command of flyball` + "\nnext: did you mean: flyball gear"},
		{"gear trun kuh", 2, "next: did you mean: flyball gear turn"},
		{"gear explode", 2, "next: flyball gear --help lists what there is"},
		{"gear turn kuh --raeson x", 2, "next: did you mean --reason"},
		{"gear turn kuh", 2, "--reason is missing: why; recorded\nnext: flyball gear turn --help"},
		{"gear turn --reason x", 2, "GEAR is missing: its name"},
		{"gear turn kuh other --reason x", 2, `takes no argument "other"`},
		{"gear turn kuh --reason x --how-fast medium", 2, "it must be one of slow, fast"},
		{"gear turn kuh --reason x --for soon", 2, "is not a duration; write it like 90s"},
		{"gear turn kuh --reason x --at 2h", 2, "--at is for looking back"},
		{"gear list --limit many", 2, "is not a whole number"},
		{"gear list -o xml", 2, "use -o table, -o json, -o yaml or -o csv"},
		{"gear list --at tuesday", 2, "--at \"tuesday\" is not a moment"},
		{"gear list --server nonsense", 2, "not a server's address"},
		{"gear list --server http://127.0.0.1:1", 1, "no Flyball server answers at http://127.0.0.1:1\nnext: start one with flyball up"},
		{"event tail --server http://127.0.0.1:1", 1, "no Flyball server answers"},
	} {
		out, talk, code := w.run(strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(talk, c.says) {
			t.Errorf("flyball %s: %d, want %d\n%s\nwant %s", c.args, code, c.code, talk, c.says)
		}
		if code != 0 && code != 4 && (out != "" || !strings.Contains(talk, "\nnext: ")) {
			t.Errorf("flyball %s: stdout %q, stderr %q", c.args, out, talk)
		}
	}
	if len(w.turned) != 0 {
		t.Errorf("gears were turned: %+v", w.turned)
	}
	not := httptest.NewServer(http.NotFoundHandler())
	defer not.Close()
	if _, talk, code := w.run("gear", "list", "--server", not.URL); code != 1 || !strings.Contains(talk, "not how Flyball answers") {
		t.Errorf("another server: %d %s", code, talk)
	}
}

func TestInterrupted(t *testing.T) {
	w := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, talk bytes.Buffer
	if code := cli.Main(ctx, cli.New(w.ops), []string{"gear", "list", "--server", w.url}, nil, &out, &talk); code != 130 || talk.String() != "interrupted\n" {
		t.Errorf("%d %q", code, talk.String())
	}
}

// TestTokensStayHome: a token goes to the server it belongs to and no other.
func TestTokensStayHome(t *testing.T) {
	w := start(t)
	turn := []string{"gear", "turn", "kuh", "--reason", "x"}
	for name, c := range map[string]struct {
		arrange func()
		args    []string
		code    int
	}{
		"none":                    {func() {}, []string{"--server", w.url}, 1},
		"flag":                    {func() {}, []string{"--server", w.url, "--token", "right"}, 0},
		"environment":             {func() { t.Setenv("FLYBALL_TOKEN", "right"); t.Setenv("FLYBALL_SERVER", w.url) }, nil, 0},
		"file":                    {func() { w.serverFile(".", "right") }, nil, 0},
		"file, of another server": {func() { w.serverFile(".", "right") }, []string{"--server", w.url + "/x"}, 1},
		"flag over file":          {func() { w.serverFile(".", "wrong") }, []string{"--token", "right"}, 0},
		"token file is a link": {func() {
			w.serverFile(".", "")
			os.Remove(".flyball/token")
			os.WriteFile("t", []byte("right"), 0o600)
			os.Symlink("../t", ".flyball/token")
		}, nil, 1},
		"token file outside": {func() {
			w.serverFile(".", "")
			os.WriteFile(".flyball/server.json", []byte(`{"url":"`+w.url+`","token_file":"../t"}`), 0o600)
		}, nil, 1},
		"server file is not JSON": {func() { w.serverFile(".", ""); os.WriteFile(".flyball/server.json", []byte(`x`), 0o600) }, nil, 1},
		"file names a far server": {func() {
			t.Setenv("FLYBALL_TOKEN", "right")
			w.serverFile(".", "")
			os.WriteFile(".flyball/server.json", []byte(`{"url":"http://192.0.2.1:1"}`), 0o600)
		}, []string{"--server", w.url}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			c.arrange()
			if _, talk, code := w.run(append(turn, c.args...)...); code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, talk)
			}
			os.Unsetenv("FLYBALL_TOKEN")
			os.Unsetenv("FLYBALL_SERVER")
		})
	}
}

// pipe is an output that tests wait on.
type pipe struct {
	mu   sync.Mutex
	text string
	more chan struct{}
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text += string(b)
	select {
	case p.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (p *pipe) await(t *testing.T, what string) {
	t.Helper()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for {
		p.mu.Lock()
		found := strings.Contains(p.text, what)
		text := p.text
		p.mu.Unlock()
		if found {
			return
		}
		select {
		case <-p.more:
		case <-limit.C:
			t.Fatalf("not within 10 s: %q in\n%s", what, text)
		}
	}
}

func (w *world) record(typ string) {
	w.t.Helper()
	if _, err := w.store.Log().Append(w.t.Context(), event.Batch{Stream: "gear/kuh", Expect: event.AnyVersion, Drafts: []event.Draft{{Type: typ, Actor: "test", Data: 1}}}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) background(args ...string) (out *pipe, stop func() int) {
	ctx, cancel := context.WithCancel(w.t.Context())
	out = &pipe{more: make(chan struct{}, 1)}
	code := make(chan int, 1)
	go func() { code <- cli.Main(ctx, cli.New(w.ops), append(args, "--server", w.url), nil, out, io.Discard) }()
	return out, func() int { cancel(); return <-code }
}

func TestWatchPrintsEachChangeOnce(t *testing.T) {
	w := start(t)
	out, stop := w.background("gear", "show", "kuh", "--watch", "-o", "json")
	out.await(t, `"state":"healthy"`)
	w.record("gear.oiled") // nothing that is shown
	w.mu.Lock()
	w.state = "broken"
	w.mu.Unlock()
	w.record("gear.broke")
	out.await(t, `"state":"broken"`)
	if code := stop(); code != 130 {
		t.Errorf("exit code %d", code)
	}
	if lines := strings.Count(out.text, "\n"); lines != 2 || strings.Contains(out.text, "\x1b") {
		t.Errorf("printed\n%s", out.text)
	}
}

func TestTail(t *testing.T) {
	w := start(t)
	w.record("gear.made")
	w.record("axle.made")
	out, stop := w.background("event", "tail", "--types", "gear.", "--after", "0")
	out.await(t, "gear.made")
	w.record("gear.oiled")
	out.await(t, "gear.oiled")
	if code := stop(); code != 130 || strings.Contains(out.text, "axle") || strings.Count(out.text, "\n") != 2 {
		t.Errorf("%d\n%s", code, out.text)
	}
}

func TestHelpTeaches(t *testing.T) {
	w := start(t)
	for args, parts := range map[string][]string{
		"--help":           {"NOUN VERB", "Look and act:", "  gear ", "judge, list, show, turn", "  log "},
		"gear --help":      {"turn        Turn a gear"},
		"gear turn --help": {"Turn a gear.", "turn GEAR [flags]", "GEAR           its name", "--reason text", "why; recorded (required)", "(slow, fast)", "--for duration", "Needs the role developer. API: POST /api/v1/gears/{gear}/turn", "--at string"},
		"gear show --help": {"flyball gear show kuh", "-w, --watch"},
	} {
		out, _, code := w.run(strings.Fields(args)...)
		for _, part := range parts {
			if code != 0 || !strings.Contains(out, part) {
				t.Errorf("flyball %s: %d, no %q in\n%s", args, code, part, out)
			}
		}
	}
}

func TestCompletion(t *testing.T) {
	w := start(t)
	t.Setenv("FLYBALL_SERVER", w.url)
	for args, want := range map[string]string{
		"__complete gear tu":                             "turn\tTurn a gear\n",
		"__complete gear show a":                         "a much longer name\n",
		"__complete gear turn kuh --how-fast ":           "slow\nfast\n",
		"__complete gear show --server http://[::1]:1 k": ":",
	} {
		fields := strings.Fields(args)
		if strings.HasSuffix(args, " ") {
			fields = append(fields, "")
		}
		if out, _, code := w.run(fields...); code != 0 || !strings.HasPrefix(out, want) {
			t.Errorf("%s: %d %q", args, code, out)
		}
	}
}

// What needs no server is listed beside what does.
func TestHelpListsVerbsAddedByHand(t *testing.T) {
	extra := &cobra.Command{Use: "event"}
	extra.AddCommand(&cobra.Command{Use: "weigh", Run: func(*cobra.Command, []string) {}})
	ops := []operation.Operation{operation.Define(operation.Spec[struct{}, struct{}]{
		Noun: "event", Verb: "list", Summary: "List events", Role: operation.Viewer,
		Handle: func(context.Context, operation.Caller, struct{}) (struct{}, error) { return struct{}{}, nil },
	})}
	c, _, err := cli.New(ops, extra).Find([]string{"event"})
	if err != nil || c.Short != "list, tail, weigh" {
		t.Errorf("help of event lists %q, %v", c.Short, err)
	}
}
