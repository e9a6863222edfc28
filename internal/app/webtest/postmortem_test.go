package webtest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
)

// TestPostmortemOnAPhone leads a resolved incident to a published postmortem,
// on a screen 380 pixels wide.
func TestPostmortemOnAPhone(t *testing.T) {
	h := changed(t)
	name := h.trouble()
	b := h.tab(t, browser(t), true)
	b.view("light", 380, 800)
	b.writeUp(h, name)
	for _, f := range b.faults() {
		if !strings.Contains(f, "/operations/action-item.close") { // refused, as it should be
			t.Error(f)
		}
	}
}

// trouble is an incident of checkout that was resolved.
func (h *house) trouble() string {
	h.t.Helper()
	head, err := h.store.Log().Head(h.t.Context())
	h.do(err)
	now := h.clock.Now()
	place := incident.Place{Incident: fmt.Sprintf("inc-checkout-%d", head.Position), Service: "checkout", Team: "payments", Environment: "prod"}
	fact := func(typ string, ago time.Duration, data any) {
		_, err := h.store.Log().Append(h.t.Context(), event.Batch{Stream: "incident/" + place.Incident, Expect: event.AnyVersion, Drafts: []event.Draft{{
			Type: typ, Subject: "incident/" + place.Incident, Actor: "user:dana", Time: now.Add(-ago), Data: data}}})
		h.do(err)
	}
	fact(incident.EventOpened, time.Hour, incident.Opened{Place: place, Severity: 3, Title: "carts are slow", Began: now.Add(-time.Hour)})
	fact(incident.EventAcknowledged, 50*time.Minute, incident.Said{Place: place, Reason: "mine"})
	fact(incident.EventResolved, 20*time.Minute, incident.Said{Place: place, Reason: "dana restarted redis"})
	h.do(h.sync(h.t.Context()))
	return place.Incident
}

// writeUp writes an incident up in the browser: draft, lessons, an action item
// that is closed by a change, review, publication.
func (b *tab) writeUp(h *house, name string) {
	b.t.Helper()
	pm := postmortem.Name(name)
	b.open("/incidents/" + name)
	if eval[bool](b, `!!document.querySelector('form[action="/operations/postmortem.draft"]')`) {
		b.press(`form[action="/operations/postmortem.draft"] button`)
	}
	b.wait(`document.querySelector('a[href="/postmortems/` + pm + `"]')`)
	b.press(`a[href="/postmortems/` + pm + `"]`)
	b.wait(`location.pathname === "/postmortems/` + pm + `" && document.querySelector("#lessons a.edit")`)
	b.narrow("the draft")
	b.press(`#lessons a.edit`)
	b.fill(`#text`, "A cache without a timeout waits for ever.\n\n- Limits belong to the `client`.")
	b.narrow("the form")
	b.press(`form.write button.primary`)
	b.wait(`!document.querySelector("form.write") && document.querySelector("#lessons li code")`)
	b.press(`a[href^="/operations/action-item.add"]`)
	b.fill(`#f-title`, "A timeout for redis")
	b.fill(`#f-kind`, "prevent")
	b.fill(`#f-owner`, "payments")
	b.fill(`#f-due`, h.clock.Now().AddDate(0, 0, 7).Format(time.DateOnly))
	b.press(`form.form button.primary`)
	b.wait(`document.querySelector('a[href^="/operations/action-item.close"]')`)
	b.press(`a[href^="/operations/action-item.close"]`)
	b.fill(`#f-change`, "checkout-0000000")
	b.press(`form.form button.primary`)
	b.wait(`document.querySelector("[role=alert]") && document.querySelector("[role=alert]").textContent.includes("There is no change named checkout-0000000")`)
	b.fill(`#f-change`, h.fix())
	b.press(`form.form button.primary`)
	b.wait(`location.pathname.startsWith("/postmortems/") && document.querySelector("#action-items .state.good")`)
	for _, verb := range []string{"submit", "approve", "publish"} {
		form := `form[action="/operations/postmortem.` + verb + `"] button`
		b.wait(`document.querySelector('` + form + `')`)
		b.press(form)
	}
	b.wait(`document.querySelector(".verdict .state") && document.querySelector(".verdict .state").textContent === "published"`)
	b.narrow("the postmortem")
	d, err := postmortem.Get(b.Context, h.store.States(), pm)
	h.do(err)
	if d.State != postmortem.StatePublished || d.Edition != 1 || !strings.Contains(d.Section(postmortem.SectionLessons).Text, "waits for ever") {
		b.t.Errorf("%s is %s, edition %d, lessons %q", pm, d.State, d.Edition, d.Section(postmortem.SectionLessons).Text)
	}
}

// fix is a change that was pushed to main after everything else.
func (h *house) fix() string {
	const name = "checkout-c0ffee0"
	// Told a second time, it is the same fact.
	_, err := h.store.Log().Append(h.t.Context(), event.Batch{Stream: "note/" + name, Expect: event.AnyVersion, Drafts: []event.Draft{{ID: name, Type: "change.pushed", Subject: "change/" + name, Actor: "user:ana", Time: h.clock.Now(),
		Data: map[string]any{"change": name, "service": "checkout", "branch": "main", "commit": "c0ffee0", "commits": []map[string]string{{"sha": "c0ffee0", "subject": "a timeout for redis"}}}}}})
	h.do(err)
	h.do(h.sync(h.t.Context()))
	return name
}

// press clicks what a selector finds, once it is there.
func (b *tab) press(selector string) {
	b.t.Helper()
	b.wait(fmt.Sprintf(`document.readyState === "complete" && document.querySelector(%q)`, selector))
	eval[bool](b, fmt.Sprintf(`(document.querySelector(%q).click(), true)`, selector))
}

// fill writes into a field.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	b.wait(fmt.Sprintf(`document.readyState === "complete" && document.querySelector(%q)`, selector))
	eval[bool](b, fmt.Sprintf(`(document.querySelector(%q).value = %q, true)`, selector, text))
}

// narrow checks that nothing is wider than the screen.
func (b *tab) narrow(what string) {
	b.t.Helper()
	if over := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		b.t.Errorf("%s is %d pixels too wide: %s", what, over, eval[string](b, widest))
	}
}

// TestPostmortemForms: two people write in one section, without a script; the
// second is told what stands there now, and loses nothing.
func TestPostmortemForms(t *testing.T) {
	h := changed(t)
	list, _, err := projection.List[postmortem.Postmortem](t.Context(), h.store.States(), postmortem.ProjectionName, projection.Filter{Index: "service", Value: "accounts", Limit: 1})
	h.do(err)
	name, c, base := list[0].Postmortem, h.client(true), list[0].Section("badly").Version
	send := func(base int, text string) string {
		t.Helper()
		status, _, body := h.post(c, "/operations/postmortem.edit", "same-origin", url.Values{"postmortem": {name}, "section": {"badly"}, "base": {strconv.Itoa(base)}, "text": {text}, "_back": {"/postmortems/" + name}})
		if status == http.StatusSeeOther {
			_, body = h.get(c, "/postmortems/"+name)
		} else if status != http.StatusConflict {
			t.Errorf("status %d", status)
		}
		return body
	}
	if body := send(base, fmt.Sprintf("The <b>page</b> came late, %d.", base)); !strings.Contains(body, fmt.Sprintf("The &lt;b&gt;page&lt;/b&gt; came late, %d.", base)) {
		t.Error("what was written is not on the page")
	}
	body := send(base, "Nobody answered.")
	for _, want := range []string{"came late", "Nobody answered.", fmt.Sprintf("--base %d", base+1)} {
		if !strings.Contains(body, want) {
			t.Errorf("the refusal does not say %q", want)
		}
	}
	if body := send(base+1, "The page came late.\r\nNobody answered."); !strings.Contains(body, "The page came late. Nobody answered.") {
		t.Error("both texts together were not taken")
	}
}
