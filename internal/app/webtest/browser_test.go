package webtest_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/flyball-dev/flyball/internal/face/api"
)

var updateScreenshots = flag.Bool("update-screenshots", false, "write the pictures in docs/images")

//go:embed testdata/axe.min.js
var axe string

// chromium finds Debian's browser.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("these tests need a browser: apt-get install -y chromium")
	return ""
}

// browser starts a browser with a new profile.
func browser(t *testing.T) context.Context {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("force-color-profile", "srgb"),
		chromedp.Env("TZ=UTC"),
	}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// tab is one tab and what went wrong in it.
type tab struct {
	context.Context
	t    *testing.T
	home string

	mu    sync.Mutex
	wrong []string
}

func (h *house) tab(t *testing.T, browser context.Context, signedIn bool) *tab {
	t.Helper()
	ctx, stop := chromedp.NewContext(browser)
	t.Cleanup(stop)
	b := &tab{Context: ctx, t: t, home: h.server.URL}
	h.do(chromedp.Listen(ctx, b.listen))
	send(b, network.Enable, network.EnableParams{})
	send(b, cdplog.Enable, cdp.Empty{})
	if signedIn {
		send(b, network.SetCookie, network.SetCookieParams{Name: api.CookieName, Value: h.token, URL: h.server.URL, Path: "/"})
	}
	return b
}

// send runs one command of the protocol.
func send[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.Context, limit)
	defer stop()
	out, err := chromedp.Call(ctx, command, params)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// limit is how long anything may take in the browser.
const limit = 60 * time.Second

// listen notes errors in the console, violations of the policy and requests
// that leave this server.
func (b *tab) listen(ev any) {
	note := func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.wrong = append(b.wrong, fmt.Sprintf(format, args...))
	}
	switch e := ev.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if o := e.ExceptionDetails.Exception; o != nil {
			text += " " + o.Description
		}
		note("exception: %s", text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			note("console: %s", e.Type)
		}
	case *cdplog.EventEntryAdded:
		// What is missing, or refused, on purpose is told of as a failed request.
		if !strings.Contains(e.Entry.Text, "status of 404") && !strings.Contains(e.Entry.Text, "status of 409") {
			note("log: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, b.home) && !strings.HasPrefix(e.Request.URL, "data:") {
			note("a request left this server: %s", e.Request.URL)
		}
	}
}

// faults is what went wrong since the last call.
func (b *tab) faults() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.wrong
	b.wrong = nil
	return out
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.Context, limit)
	defer stop()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// view sets colours and size.
func (b *tab) view(scheme string, width, height int64) {
	b.t.Helper()
	send(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 500})
	send(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// open goes to a page and waits until its charts are drawn.
func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.home + path))
	b.wait(`document.readyState === "complete" && [...document.querySelectorAll("[data-chart]")].every((c) => c.querySelector("canvas"))`)
}

// eval computes an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.Context, limit)
	defer stop()
	out, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression[:min(len(expression), 80)], err)
	}
	return out
}

// wait waits until a condition holds, over navigations too.
func (b *tab) wait(condition string) {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.Context, limit)
	defer stop()
	script := `new Promise((done) => { const look = () => (` + condition + `) ? done(true) : requestAnimationFrame(look); look(); })`
	for {
		if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise)); err == nil {
			return
		} else if ctx.Err() != nil {
			b.t.Fatalf("waiting for %s: %v", condition, err)
		}
	}
}

func (b *tab) picture(file string) {
	b.t.Helper()
	png := send(b, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng}).Data
	png, err := small(png)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o755)
	}
	if err == nil {
		err = os.WriteFile(file, png, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

var schemes = []string{"light", "dark"}

var widths = []int64{380, 820, 1280}

// TestEveryPageInTheBrowser looks at every page in both colours and at three
// widths: nothing breaks the policy, leaves this server, complains in the
// console or scrolls sideways, and axe-core finds no fault. FLYBALL_PAGES looks
// at the pages whose names begin with it only.
func TestEveryPageInTheBrowser(t *testing.T) {
	h := storied(t)
	b := h.tab(t, browser(t), true)
	only := os.Getenv("FLYBALL_PAGES")
	for _, p := range h.pages() {
		if !strings.HasPrefix(p.name, only) {
			continue
		}
		b.view("light", 1280, 900)
		b.open(p.path)
		for _, scheme := range schemes {
			for _, width := range widths {
				b.view(scheme, width, 900)
				b.look(p, scheme, width)
			}
		}
		for _, f := range b.faults() {
			t.Errorf("%s: %s", p.path, f)
		}
	}
}

// look looks at the page as it is. FLYBALL_PICTURES is a directory to which it
// then writes what it sees.
func (b *tab) look(p shown, scheme string, width int64) {
	b.t.Helper()
	over := eval[int](b, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(document.documentElement.scrollWidth - document.documentElement.clientWidth))))`)
	if over > 0 {
		b.t.Errorf("%s %s %d: the page is %d pixels too wide: %s", p.path, scheme, width, over, eval[string](b, widest))
	}
	// The dark page is the same page in other colours.
	b.accessible(fmt.Sprintf("%s %s %d", p.path, scheme, width), scheme == "dark")
	if pictures := os.Getenv("FLYBALL_PICTURES"); pictures != "" {
		b.view(scheme, width, max(900, min(eval[int64](b, `document.documentElement.scrollHeight`), 4000)))
		b.picture(filepath.Join(pictures, fmt.Sprintf("%s-%s-%d.png", p.name, scheme, width)))
	}
}

const widest = `(() => { const w = document.documentElement.clientWidth; return [...document.querySelectorAll("main *, header *")].filter((e) => e.getBoundingClientRect().right > w + 1 && !e.closest(".scroll, nav, pre, details")).slice(0, 4).map((e) => e.tagName + "." + e.className + " " + (e.textContent || "").slice(0, 40)).join(" | "); })()`

// accessible runs axe-core on the page, all of it or what is about colours. The
// browser's own world evaluates it, so the policy need not allow it.
func (b *tab) accessible(where string, colours bool) {
	b.t.Helper()
	if !eval[bool](b, `"axe" in window`) {
		eval[bool](b, axe+`; true`)
	}
	rules := `["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]`
	if colours {
		rules = `{type: "rule", values: ["color-contrast", "link-in-text-block"]}`
	}
	text := eval[string](b, `axe.run(document, {resultTypes: ["violations"], runOnly: `+rules+`})
		.then((r) => JSON.stringify(r.violations.map((v) => v.id + ": " + v.help + " " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + (n.any[0] || n.all[0] || n.none[0] || {}).message).join(" ; "))))`)
	var found []string
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		b.t.Fatal(err)
	}
	for _, f := range found {
		b.t.Errorf("%s: axe: %s", where, f)
	}
}

// TestByKeyboard walks through the pages without a pointer.
func TestByKeyboard(t *testing.T) {
	h := storied(t)
	b := h.tab(t, browser(t), true)
	b.view("light", 1280, 900)
	b.open("/")
	focus := func() string {
		return eval[string](b, `(() => { const e = document.activeElement; return (e.textContent || e.id || e.tagName).trim().slice(0, 40); })()`)
	}
	press := func(keys ...string) {
		for _, k := range keys {
			b.do(chromedp.KeyEvent(k))
		}
	}
	press("\t")
	if got := focus(); got != "Skip to the content" {
		t.Errorf("the first tab goes to %q, want the skip link", got)
	}
	press("\r")
	if got := eval[string](b, `document.activeElement.id`); got != "main" {
		t.Errorf("the skip link leads to %q, want main", got)
	}
	for _, step := range []struct{ keys, path string }{
		{"gs", "/services"}, {"gc", "/changes"}, {"gr", "/rollouts"}, {"go", "/objectives"}, {"gi", "/incidents"},
		{"gd", "/insights"}, {"gp", "/policies"}, {"ga", "/audit"}, {"?", "/keys"}, {"gn", "/"},
	} {
		press(strings.Split(step.keys, "")...)
		b.wait(fmt.Sprintf(`location.pathname === %q && document.readyState === "complete" && document.getElementById("q") !== null`, step.path))
	}
	press("g", "r")
	b.wait(`location.pathname === "/rollouts" && document.readyState === "complete"`)
	press("j", "j", "k", "\r")
	b.wait(`location.pathname.startsWith("/rollouts/") && document.readyState === "complete"`)
	press("/")
	if got := eval[string](b, `document.activeElement.id`); got != "q" {
		t.Errorf("/ leads to %q, want the search field", got)
	}
	// The protocol sends the character by itself, which a keyboard would not.
	eval[string](b, `document.getElementById("q").value = ""`)
	b.do(chromedp.SendKeys("#q", "gift\r"))
	b.wait(`location.pathname === "/search" && document.body.textContent.includes("gift cards")`)
	b.everyStopShows("/")
	b.everyStopShows("/operations/override.grant")
	for _, f := range b.faults() {
		t.Error(f)
	}
}

// everyStopShows tabs through a page: each stop is in view and has a visible
// focus, and every link and control is reached.
func (b *tab) everyStopShows(path string) {
	b.t.Helper()
	b.open(path)
	wanted := eval[int](b, `[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary")].filter((e) => e.checkVisibility()).length`)
	seen := map[string]bool{}
	for range wanted + 30 {
		b.do(chromedp.KeyEvent("\t"))
		stop := eval[struct {
			Tag     string
			Visible bool
			At      string
		}](b, `(() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
			return {Tag: e.tagName, Visible: r.bottom > 0 && r.top < innerHeight && (s.outlineStyle !== "none" || e.tagName === "BODY"), At: [...document.querySelectorAll("*")].indexOf(e) + ""}; })()`)
		if stop.Tag == "BODY" {
			continue
		}
		if !stop.Visible {
			b.t.Errorf("%s: the focus on %s %s cannot be seen", path, stop.Tag, stop.At)
		}
		seen[stop.At] = true
	}
	if len(seen) < wanted {
		b.t.Errorf("%s: %d of %d links and controls are reached by keyboard", path, len(seen), wanted)
	}
}

// TestSignIn signs in with the token behind the #, as flyball up prints it,
// and does something.
func TestSignIn(t *testing.T) {
	h := changed(t)
	b := h.tab(t, browser(t), false)
	b.view("light", 1280, 900)
	b.do(chromedp.Navigate(h.server.URL + "/sign-in?to=/incidents#" + url.PathEscape(h.token)))
	b.wait(`location.pathname === "/incidents" && location.hash === "" && document.querySelector(".who").textContent.includes("ana")`)
	var incident string
	for _, p := range h.pages() {
		if p.name == "incident" {
			incident = p.path
		}
	}
	b.open(incident)
	b.do(chromedp.SendKeys("#note", "the copy is done\r"))
	b.wait(`document.querySelector(".timeline").textContent.includes("the copy is done")`)
	for _, f := range b.faults() {
		t.Error(f)
	}
}

// TestLive has an open page show what happens, without a reload and without
// losing what somebody is writing.
func TestLive(t *testing.T) {
	h := changed(t)
	b := h.tab(t, browser(t), true)
	b.view("light", 1280, 900)
	i := slices.IndexFunc(h.pages(), func(p shown) bool { return p.name == "incident" })
	b.open(h.pages()[i].path)
	eval[string](b, `window.still = "here"`)
	b.do(chromedp.Click("#resolve"), chromedp.SendKeys("#ended", "half a sent"))
	story := &story{house: h, ctx: context.Background(), counted: h.clock.Now()}
	story.append("incident/search.prod", noteOf(story, "said elsewhere"))
	eval[bool](b, `document.getElementById("ended").blur(); true`)
	b.wait(`document.querySelector(".timeline").textContent.includes("said elsewhere")`)
	if got := eval[string](b, `window.still + " " + document.getElementById("ended").value`); got != "here half a sent" {
		t.Errorf("after the update the page holds %q", got)
	}
	for _, f := range b.faults() {
		t.Error(f)
	}
}

// TestScreenshots makes the pictures of the README.
func TestScreenshots(t *testing.T) {
	if !*updateScreenshots {
		t.Skip("only with -update-screenshots")
	}
	h := storied(t)
	b := h.tab(t, browser(t), true)
	for _, name := range []string{"now", "service", "change", "rollout", "objective", "incident"} {
		i := slices.IndexFunc(h.pages(), func(p shown) bool { return p.name == name })
		for _, scheme := range schemes {
			b.view(scheme, 1280, 860)
			b.open(h.pages()[i].path)
			file := filepath.Join("..", "..", "..", "docs", "images", name+"-"+scheme+".png")
			b.picture(file)
			if info, err := os.Stat(file); err != nil || info.Size() > 150_000 {
				t.Errorf("%s: %v, or larger than 150 kB", file, err)
			}
		}
	}
}
