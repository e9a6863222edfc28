package webtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/flyball-dev/flyball/internal/app"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/port/traffic"
)

// walk is an incident led from a phone, step by step.
type walk struct {
	*story
	*tab
	path   string // of the incident's page
	name   string
	canary rollout.Rollout // what moves when it begins
}

// startWalk is a company on a quiet day with a canary under way, and somebody
// with a phone.
func startWalk(t *testing.T) *walk {
	begin := ending.Add(-30 * time.Minute)
	s := &story{house: newHouse(t, begin), ctx: context.Background(), counted: begin}
	*s.world = world{shares: map[string]int{}, splits: map[string][]traffic.Share{}, rates: map[string]float64{"checkout": 30},
		base: map[string]float64{"checkout": 0.0003}, slow: map[string]int64{}, defects: map[string]defect{}}
	applier := &catalog.Applier{Log: s.store.Log(), Reader: s.store.States(), Sync: s.sync, Registry: app.Kinds()}
	_, err := applier.Apply(s.ctx, "user:ana", "flyball", commit("company"), map[string][]byte{"flyball/company.yaml": []byte(company)})
	s.do(err)
	s.do(s.watcher.Declare(s.ctx, begin))
	s.do(s.controls.Start(s.ctx))
	s.ship("checkout", "first version", "ana", 0, defect{})
	w := &walk{story: s}
	w.canary.Rollout = s.push("checkout", "gift cards", "ana", time.Hour) + "-prod-1"
	for w.canary.Weight == 0 && s.clock.Now().Before(ending.Add(time.Hour)) {
		s.fine(s.clock.Now().Add(time.Second))
		w.canary, _, err = rollout.Get(s.ctx, s.store.States(), w.canary.Rollout)
		s.do(err)
	}
	s.fine(s.clock.Now().Add(10 * time.Second))
	s.open()
	w.tab = s.tab(t, browser(t), true)
	w.view(schemes[0], 380, 780)
	return w
}

// TestWalk leads an incident on a screen 380 px wide: from the page to its end,
// and on to the published postmortem.
func TestWalk(t *testing.T) {
	w := startWalk(t)
	w.alerted()
	w.openPage()
	w.acknowledge()
	w.command()
	w.note("the new gift card form is not validated")
	w.update("Paying with a gift card fails. We are taking the change back.")
	w.task("tell the shops")
	w.taskDone()
	w.blame("the stack trace names it")
	w.rollback()
	w.resolve("the gift card form is gone")
	w.writeUp()
	for _, f := range w.faults() {
		if strings.Contains(f, "/operations/action-item.close") {
			continue // refused, as it should be
		}
		t.Error(f)
	}
}

// alerted has a sender report an alert.
func (w *walk) alerted() { w.alert("") }

// alert posts as one would to an Alertmanager.
func (w *walk) alert(more string) {
	w.tab.t.Helper()
	report := `[{"labels":{"alertname":"GiftCards","service":"checkout","severity":"critical"},"annotations":{"summary":"one payment in five fails"},"startsAt":"` + w.clock.Now().Format(time.RFC3339) + `"` + more + `}]`
	res, err := http.Post(w.server.URL+"/api/v2/alerts", "application/json", strings.NewReader(report))
	w.house.do(err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		w.tab.t.Fatalf("the alert was answered with %s", res.Status)
	}
	w.settle()
}

// openPage follows the link in the page that came.
func (w *walk) openPage() {
	w.tab.t.Helper()
	var page struct {
		Type string
		Data incident.PageData
	}
	for _, m := range w.world.paged {
		w.house.do(json.Unmarshal(m.Body, &page))
	}
	const web = "https://flyball.example"
	if page.Type != incident.PageOpened || page.Data.Service != "checkout" || !strings.HasPrefix(page.Data.URL, web+"/incidents/") {
		w.tab.t.Fatalf("the last page is %+v", page)
	}
	w.path, w.name = strings.TrimPrefix(page.Data.URL, web), page.Data.Incident
	w.tab.open(w.path)
	w.shows("h1", "one payment in five fails", "nobody has it yet")
	w.shows(".lead", "Most suspect is checkout "+w.canary.Revision[:7], "it took 5 %")
	w.fits("opened")
}

func (w *walk) acknowledge() {
	w.press(`form[action$="incident.ack"] button`)
	w.shows("h1", "ana has it")
}

func (w *walk) command() {
	w.press(`[data-role="commander"] button`)
	w.shows("h1", "ana is in command")
}

func (w *walk) note(text string) {
	w.tab.t.Helper()
	w.say(text, "Note")
	w.shows(".timeline .said", text)
}

func (w *walk) update(text string) {
	w.say(text, "Update")
	w.shows(".timeline .said", "update: "+text)
	w.shows("#h-updates + p", text)
}

func (w *walk) task(text string) {
	w.say(text, "Task")
	w.shows(".task", text, "to do")
}

func (w *walk) taskDone() {
	w.press(`.task button`)
	w.shows(".task", "done")
}

func (w *walk) blame(how string) {
	w.press(`.suspects .blame summary`)
	w.tab.do(chromedp.SendKeys(`.suspects .blame input[name="reason"]:not([type="hidden"])`, how+"\r"))
	w.shows(".suspects", "Named as the cause: "+how, "100 of 100")
}

// rollback presses one button at the most suspect change, and watches it go.
func (w *walk) rollback() {
	w.press(`.suspects li:first-child form[action$="rollout.abort"] button`)
	w.shows(".timeline", "rollout.abort_requested")
	w.settle()
	r, _, err := rollout.Get(w.ctx, w.store.States(), w.canary.Rollout)
	w.house.do(err)
	if r.Outcome != "aborted" {
		w.tab.t.Fatalf("after the button was pressed, %s has the outcome %q", r.Rollout, r.Outcome)
	}
	w.shows(".suspects", "taken back") // the page follows by itself
}

// resolve is refused while the alert fires; then it is the end.
func (w *walk) resolve(how string) {
	w.end(how)
	w.shows(`[role="alert"]`, "alert still fires")
	w.fine(w.clock.Now().Add(time.Minute))
	w.alert(`,"endsAt":"` + w.clock.Now().Format(time.RFC3339) + `"`)
	w.tab.open(w.path)
	w.shows("h1", "users are no longer hurt")
	w.end(how)
	w.shows("h1", "resolved by ana")
	w.shows(".verdict", strings.ToUpper(how[:1])+how[1:])
	w.fits("resolved")
}

func (w *walk) end(how string) {
	w.press("#resolve")
	w.tab.do(chromedp.SendKeys("#ended", how))
	w.press(`form[action$="incident.resolve"] button`)
}

// say writes into the one input and presses one of the buttons beside it.
func (w *walk) say(text, button string) {
	w.tab.do(chromedp.SendKeys("#note", text))
	n := map[string]int{"Note": 1, "Task": 2, "Update": 3}[button]
	w.press(fmt.Sprintf(".say-it button:nth-of-type(%d)", n))
}

// press presses something with a thumb: it is in view, nothing lies over it, and
// it is large enough.
func (w *walk) press(selector string) {
	w.tab.t.Helper()
	q := fmt.Sprintf("document.querySelector(%q)", selector)
	w.wait(`document.readyState === "complete" && ` + q + ` !== null && ` + q + `.checkVisibility()`)
	got := eval[struct {
		Height, Width float64
		Covered       bool
	}](w.tab, `(() => { const e = `+q+`; e.scrollIntoView({block: "nearest"}); const r = e.getBoundingClientRect();
		return {Height: r.height, Width: r.width, Covered: !e.contains(document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2))}; })()`)
	if got.Height < 44 || got.Width < 44 || got.Covered {
		w.tab.t.Errorf("%s is %.0f × %.0f px, covered: %t", selector, got.Width, got.Height, got.Covered)
	}
	w.tab.do(chromedp.Click(selector))
}

// shows waits until what a selector finds holds all of the texts.
func (w *walk) shows(selector string, texts ...string) {
	w.tab.t.Helper()
	b, err := json.Marshal(texts)
	w.house.do(err)
	w.wait(fmt.Sprintf(`((all) => %s.every((t) => all.includes(t)))([...document.querySelectorAll(%q)].map((e) => e.textContent).join("\n"))`, b, selector))
	w.settle()
}

// fits looks at the page as it is: nothing is too wide, too small for a thumb or
// out of reach for those who do not see it. FLYBALL_PICTURES is a directory for
// what it looks like.
func (w *walk) fits(name string) {
	w.tab.t.Helper()
	for _, scheme := range schemes {
		w.view(scheme, 380, 780)
		w.look(shown{"walk-" + name, w.path}, scheme, 380)
		w.view(scheme, 380, 780)
	}
	w.view(schemes[0], 380, 780)
	for _, small := range eval[[]string](w.tab, `[...document.querySelectorAll("main button, main summary, main select, main input:not([type=hidden]):not([type=checkbox]), header nav a")]
		.filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 44 && !e.closest("details details")).map((e) => (e.textContent || e.name) + " " + e.getBoundingClientRect().height)`) {
		w.tab.t.Errorf("%s: too small for a thumb: %s", name, small)
	}
}
