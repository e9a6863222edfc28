package webtest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
)

// writeUp leads the resolved incident to a published postmortem: lessons, an
// action item that is closed by a change, review, publication.
func (w *walk) writeUp() {
	w.tab.t.Helper()
	pm := postmortem.Name(w.name)
	w.press(`.writeup a[href="/postmortems/` + pm + `"]`)
	w.shows(".verdict", "draft", "or worse is written up")
	w.shows("#timeline", "the incident was opened", "the commander")
	w.shows("#factors", "What let it pass review")
	w.fits("postmortem-draft")
	w.press(`#lessons a.edit`)
	w.fill(`#text`, "A form without validation takes anything.\n\n- Limits belong to the `server`.")
	w.fits("postmortem-form")
	w.press(`form.write button.primary`)
	w.shows("#lessons li code", "server")
	w.press(`a[href^="/operations/action-item.add"]`)
	w.fill(`#f-title`, "Validate gift cards on the server")
	w.fill(`#f-kind`, "prevent")
	w.fill(`#f-owner`, "payments")
	w.fill(`#f-due`, w.clock.Now().AddDate(0, 0, 7).Format(time.DateOnly))
	w.press(`form.form button.primary`)
	w.shows("#action-items", "Validate gift cards on the server", "to do")
	w.press(`a[href^="/operations/action-item.close"]`)
	w.fill(`#f-change`, "checkout-0000000")
	w.press(`form.form button.primary`)
	w.shows(`[role="alert"]`, "There is no change named checkout-0000000")
	w.fill(`#f-change`, w.push("checkout", "gift cards are validated", "ana", time.Hour))
	w.press(`form.form button.primary`)
	w.shows("#action-items", "closed", "gift cards are validated")
	for _, verb := range []string{"submit", "approve", "publish"} {
		w.press(`form[action="/operations/postmortem.` + verb + `"] button`)
	}
	w.shows(".verdict", "published", "dition 1")
	w.fits("postmortem-published")
	d, err := postmortem.Get(w.ctx, w.store.States(), pm)
	w.house.do(err)
	if d.State != postmortem.StatePublished || d.Edition != 1 || !strings.Contains(d.Section(postmortem.SectionLessons).Text, "takes anything") {
		w.tab.t.Errorf("%s is %s, edition %d, lessons %q", pm, d.State, d.Edition, d.Section(postmortem.SectionLessons).Text)
	}
}

// fill sets a field of a form.
func (w *walk) fill(selector, text string) {
	w.tab.t.Helper()
	w.wait(fmt.Sprintf(`document.readyState === "complete" && document.querySelector(%q)`, selector))
	eval[bool](w.tab, fmt.Sprintf(`(document.querySelector(%q).value = %q, true)`, selector, text))
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
