package webtest_test

import (
	"strings"
	"testing"
)

// The page says who is on call now and shows the week in the schedule's zone,
// through a night in which clocks change.
func TestOncallPage(t *testing.T) {
	h := storied(t)
	_, body := h.get(h.client(false), "/oncall")
	for _, want := range []string{
		"Nobody is on call for 1 of 2 schedules.",
		"Nobody is on call for nights until Fri 20:00.",
		"Dana is on call for payments until Mon 23 Nov 09:00.",
		`<th scope="row">Fri 20 Nov <span class="tag">today</span></th>`,
		`<span class="num">09:00–15:00</span> <strong>`,
		`href="/oncall?from=2026-11-23"`, `href="/calendars/payments.ics"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	_, body = h.get(h.client(false), "/oncall?from=2027-03-28")
	if !strings.Contains(body, "Sun 28 Mar") || strings.Contains(body, "today") {
		t.Error("the week of 28 March 2027 is not shown")
	}
	if status, _ := h.get(h.client(false), "/oncall?from=someday"); status != 422 {
		t.Errorf("a day that is none: status %d", status)
	}
}
