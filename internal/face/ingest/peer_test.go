package ingest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/sqlite"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/ingest"
	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/feedback/maintenance"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// pair is our face of Alertmanager's API beside a real Alertmanager.
type pair struct {
	t       *testing.T
	r       *rand.Rand
	servers [2]string // addresses: ours, theirs
	config  string    // of amtool

	shown, suppressed int
}

const patience = 20 * time.Second

type everybody struct{}

func (everybody) Authenticate(context.Context, string) (operation.Caller, error) {
	return operation.Caller{Name: "user:ana", Grants: []operation.Grant{{Role: operation.Admin}}}, nil
}

// newFace is a face over a store of its own, and its intake, which is yet to be
// loaded.
func newFace(t *testing.T) (address string, intake *alert.Intake) {
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "flyball.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	states := projection.NewRunner(store.Log(), store.States(), append(alert.Projections(), catalog.Projection(), maintenance.Projection())...)
	intake = &alert.Intake{Log: store.Log(), Reader: store.States(), Clock: clock.Wall(), Sync: states.CatchUp}
	face, err := api.New(api.Options{Log: store.Log(), Logger: slog.New(slog.DiscardHandler), Authenticator: everybody{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { face.Close() })
	server := httptest.NewServer(ingest.New(ingest.Options{API: face, Intake: intake, Clock: clock.Wall()}))
	t.Cleanup(server.Close)
	return server.URL, intake
}

func newPair(t *testing.T) *pair {
	p := &pair{t: t}
	dir := t.TempDir()
	server, intake := newFace(t)
	p.ok(intake.Load(t.Context()))
	p.servers = [2]string{strings.TrimPrefix(server, "http://"), p.alertmanager(dir)}
	p.config = filepath.Join(dir, "amtool.yml")
	p.ok(os.WriteFile(p.config, []byte("authorization: {credentials: any}\n"), 0o600))
	return p
}

func (p *pair) ok(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// alertmanager starts Debian's. It says itself where it listens.
func (p *pair) alertmanager(dir string) string {
	config := filepath.Join(dir, "alertmanager.yml")
	p.ok(os.WriteFile(config, []byte("route: {receiver: nobody, group_by: [service, environment]}\nreceivers: [{name: nobody}]\n"), 0o600))
	for range 5 { // an address found free may be taken before it is used
		l, err := net.Listen("tcp", "127.0.0.1:0")
		p.ok(err)
		address := l.Addr().String()
		p.ok(l.Close())
		var said bytes.Buffer
		cmd := exec.Command("prometheus-alertmanager", "--config.file", config, "--storage.path", filepath.Join(dir, "alertmanager"),
			"--web.listen-address", address, "--cluster.listen-address", "", "--log.level", "error")
		cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &said, &said, time.Second
		p.ok(cmd.Start())
		gone := make(chan error, 1)
		go func() { gone <- cmd.Wait() }()
		up := p.until(func() bool {
			if len(gone) > 0 {
				return true
			}
			res, err := http.Get("http://" + address + "/-/ready")
			if err != nil {
				return false
			}
			res.Body.Close()
			return res.StatusCode == http.StatusOK
		})
		if up && len(gone) == 0 {
			p.t.Cleanup(func() { cmd.Process.Kill(); <-gone })
			return address
		}
		cmd.Process.Kill()
		p.t.Logf("alertmanager: %v\n%s", <-gone, said.String())
	}
	p.t.Fatal("alertmanager does not start")
	return ""
}

// until asks again until something is so, and reports whether it ever was.
func (p *pair) until(so func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !so() {
		select {
		case <-tick.C:
		case <-limit:
			return false
		}
	}
	return true
}

// post sends one body to both, who have to take it or refuse it alike.
func (p *pair) post(path string, body any) {
	p.t.Helper()
	b, err := json.Marshal(body)
	p.ok(err)
	var status [2]int
	var said [2]string
	for n, server := range p.servers {
		req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+server+path, bytes.NewReader(b))
		p.ok(err)
		req.Header.Set("Content-Type", "application/json")
		if n == 0 && path != "/api/v2/alerts" {
			req.Header.Set("Authorization", "Bearer any")
		}
		res, err := http.DefaultClient.Do(req)
		p.ok(err)
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		status[n], said[n] = res.StatusCode, string(text)
	}
	if (status[0] < 300) != (status[1] < 300) {
		p.t.Errorf("POST %s %s: ours %d %s, theirs %d %s", path, b, status[0], said[0], status[1], said[1])
	}
}

func (p *pair) get(n int, path string, into any) {
	p.t.Helper()
	res, err := http.Get("http://" + p.servers[n] + path)
	p.ok(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	p.ok(err)
	if res.StatusCode != http.StatusOK {
		p.t.Fatalf("GET %s of %d: %s %s", path, n, res.Status, text)
	}
	p.ok(json.Unmarshal(text, into))
}

type shownAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Fingerprint string            `json:"fingerprint"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	Status      struct {
		State      string   `json:"state"`
		SilencedBy []string `json:"silencedBy"`
	} `json:"status"`
}

// line is an alert as it should be shown by both; silences by their comments.
func (a shownAlert) line(comments map[string]string) string {
	var by []string
	for _, id := range a.Status.SilencedBy {
		by = append(by, comments[id])
	}
	slices.Sort(by)
	b, _ := json.Marshal([]any{a.Labels, a.Annotations, a.Fingerprint, a.StartsAt.UTC().Format(time.RFC3339), a.EndsAt.UTC().Format(time.RFC3339), a.Status.State, by})
	return string(b)
}

func (p *pair) comments(n int) map[string]string {
	var list []struct{ ID, Comment string }
	p.get(n, "/api/v2/silences", &list)
	out := map[string]string{}
	for _, s := range list {
		out[s.ID] = s.Comment
	}
	return out
}

// alerts lists what a server shows for a query, in order.
func (p *pair) alerts(n int, query string) []string {
	var list []shownAlert
	p.get(n, "/api/v2/alerts"+query, &list)
	comments := p.comments(n)
	out := []string{}
	for _, a := range list {
		out = append(out, a.line(comments))
	}
	slices.Sort(out)
	return out
}

// groups lists groups with their alerts, in order.
func (p *pair) groups(n int) []string {
	var list []struct {
		Labels map[string]string
		Alerts []shownAlert
	}
	p.get(n, "/api/v2/alerts/groups", &list)
	out := []string{}
	for _, g := range list {
		var of []string
		for _, a := range g.Alerts {
			of = append(of, a.Fingerprint)
		}
		slices.Sort(of)
		labels, _ := json.Marshal(g.Labels)
		out = append(out, string(labels)+" "+strings.Join(of, " "))
	}
	slices.Sort(out)
	return out
}

// agree waits until both show the same: their group dispatcher is not at once.
func (p *pair) agree(what string, of func(n int) []string) []string {
	p.t.Helper()
	var ours, theirs []string
	if !p.until(func() bool {
		ours, theirs = of(0), of(1)
		return slices.Equal(ours, theirs)
	}) {
		p.t.Fatalf("%s\nonly ours: %s\nonly theirs: %s", what, without(ours, theirs), without(theirs, ours))
	}
	return ours
}

func without(a, b []string) string {
	only := slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
	return strings.Join(only[:min(len(only), 5)], "\n  ")
}

var (
	labelNames  = []string{"alertname", "severity", "instance", "zone"}
	labelValues = []string{"a", "b", "ab", "a.b", "web-1", "web-2", "ä", `q"q`, `b\s`, "x y", "", "a,b", "{a}"}
	patterns    = []string{"a", "a|b", "a.*", ".*", "", ".+", "web-[0-9]", "A", "(?i)A", "a\\.b", `q"q`, "[ab]+", "ä", "x.y", `b\\s`}
)

func pick(r *rand.Rand, of []string) string { return of[r.IntN(len(of))] }

func (p *pair) labels() map[string]string {
	out := map[string]string{"service": pick(p.r, []string{"checkout", "search", "stock"}), "environment": pick(p.r, []string{"prod", "test"}), "n": fmt.Sprint(p.r.IntN(40))}
	for _, name := range labelNames {
		if p.r.IntN(3) > 0 {
			out[name] = pick(p.r, labelValues)
		}
	}
	return out
}

// matcher is a random condition on a label.
func (p *pair) matcher() map[string]any {
	name := pick(p.r, append([]string{"service", "environment", "absent"}, labelNames...))
	regex := p.r.IntN(2) == 0
	value := pick(p.r, append([]string{"checkout", "prod"}, labelValues...))
	if regex {
		value = pick(p.r, append([]string{"checkout|search", "pro."}, patterns...))
	}
	return map[string]any{"name": name, "value": value, "isRegex": regex, "isEqual": p.r.IntN(5) > 0}
}

func written(m map[string]any) string {
	operator := map[[2]bool]string{{false, true}: "=", {false, false}: "!=", {true, true}: "=~", {true, false}: "!~"}[[2]bool{m["isRegex"].(bool), m["isEqual"].(bool)}]
	value := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(m["value"].(string))
	return m["name"].(string) + operator + `"` + value + `"`
}

func (p *pair) query() string {
	q := url.Values{}
	for range p.r.IntN(3) {
		q.Add("filter", written(p.matcher()))
	}
	for _, name := range []string{"active", "silenced"} {
		if p.r.IntN(4) == 0 {
			q.Set(name, "false")
		}
	}
	return "?" + q.Encode()
}

// TestBesideAlertmanager: the same alerts and silences go to both, and both
// show the same alerts, groups, states and silences, whatever is asked.
func TestBesideAlertmanager(t *testing.T) {
	p := newPair(t)
	for seed := range uint64(8) {
		p.r = rand.New(rand.NewPCG(seed, 4))
		p.round(seed)
	}
	if p.suppressed < 50 || p.shown-p.suppressed < 50 {
		t.Errorf("%d alerts were compared, of which %d were suppressed: too few of one kind", p.shown, p.suppressed)
	}
	p.amtool()
	t.Logf("%d alerts, of which %d suppressed", p.shown, p.suppressed)
}

func (p *pair) round(seed uint64) {
	now := time.Now().UTC()
	var alerts []map[string]any
	for range 60 {
		labels := p.labels()
		labels["seed"] = fmt.Sprint(seed)
		starts := now.Add(-time.Duration(p.r.IntN(7200)) * time.Second).Truncate(time.Second)
		a := map[string]any{"labels": labels, "annotations": map[string]string{"summary": pick(p.r, labelValues)}, "startsAt": starts, "generatorURL": "http://x.example/g"}
		switch p.r.IntN(5) {
		case 0: // it was over before it was heard of
			a["endsAt"] = starts
		case 1: // it is over soon
			a["endsAt"] = now.Add(time.Second).Truncate(time.Second)
		default:
			a["endsAt"] = now.Add(time.Hour).Truncate(time.Second)
		}
		alerts = append(alerts, a)
	}
	p.post("/api/v2/alerts", alerts)
	for n := range 6 {
		matchers := []map[string]any{{"name": "seed", "value": fmt.Sprint(seed), "isRegex": false, "isEqual": true}}
		for range 1 + p.r.IntN(2) {
			matchers = append(matchers, p.matcher())
		}
		p.post("/api/v2/silences", map[string]any{"matchers": matchers, "startsAt": now, "endsAt": now.Add(time.Hour), "createdBy": "ana", "comment": fmt.Sprintf("%d/%d", seed, n)})
	}
	p.agree("silences", func(n int) []string { return slices.Sorted(mapValues(p.comments(n))) })
	shown := p.agree(fmt.Sprint("seed ", seed), func(n int) []string { return p.alerts(n, "") })
	p.shown += len(shown)
	p.suppressed += strings.Count(strings.Join(shown, "\n"), `"suppressed"`)
	for range 15 {
		query := p.query()
		p.agree(fmt.Sprint("seed ", seed, " ", query), func(n int) []string { return p.alerts(n, query) })
	}
	p.agree(fmt.Sprint("groups of seed ", seed), p.groups)
	for _, a := range alerts[:20] { // they end, or are over already
		a["endsAt"] = time.Now().UTC()
	}
	p.post("/api/v2/alerts", alerts[:20])
	p.agree(fmt.Sprint("ended, seed ", seed), func(n int) []string { return p.alerts(n, "") })
}

func mapValues(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

// amtool, the real client, is answered the same by both.
func (p *pair) amtool() {
	run := func(n int, args ...string) string {
		ctx, cancel := context.WithTimeout(p.t.Context(), patience)
		defer cancel()
		base := []string{"--alertmanager.url", "http://" + p.servers[n]}
		if n == 0 {
			base = append(base, "--http.config.file", p.config)
		}
		out, err := exec.CommandContext(ctx, "amtool", append(base, args...)...).CombinedOutput()
		if err != nil {
			return err.Error() + ": " + string(out)
		}
		return string(out)
	}
	for n := range p.servers {
		run(n, "silence", "add", "--author", "ana", "--comment", "by amtool", "service=stock", `instance=~"web-.*"`)
	}
	p.agree("silences by amtool", func(n int) []string { return slices.Sorted(mapValues(p.comments(n))) })
	for _, args := range [][]string{
		{"alert", "query"}, {"alert", "query", "--silenced"}, {"alert", "query", "service=checkout"}, {"alert", "query", "instance=~web-.*", "environment!=test"}, {"alert", "query", "nothing=here"},
	} {
		p.agree("amtool "+strings.Join(args, " "), func(n int) []string {
			lines := strings.Split(strings.TrimSpace(run(n, args...)), "\n")
			slices.Sort(lines)
			return lines
		})
	}
}
