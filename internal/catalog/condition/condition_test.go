package condition_test

import (
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/catalog/condition"
)

var language = condition.New(`severity <= 2`, map[string]condition.Type{
	"severity": condition.Whole, "service": condition.Text, "labels": condition.Words,
})

func values(severity int64, service string, labels map[string]string) map[string]any {
	return map[string]any{"severity": severity, "service": service, "labels": labels}
}

func TestHolds(t *testing.T) {
	for when, want := range map[string]bool{
		`severity <= 2`:                                        true,
		`service == "checkout" && severity == 1`:               false,
		`severity < 2.5`:                                       true,
		`"tier" in labels && labels["tier"] == "1"`:            true,
		`service.startsWith("check") || labels.tier == "none"`: true,
	} {
		got, err := language.Holds(when, values(2, "checkout", map[string]string{"tier": "1"}))
		if err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", when, got, err, want)
		}
	}
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	for when, want := range map[string]string{
		"":                              "a condition is required, such as severity <= 2",
		"severity":                      "gives a int; a condition is true or false",
		"serverity > 1":                 `column 1: undeclared reference to 'serverity'`,
		"severity > ":                   "Syntax error",
		strings.Repeat("true && ", 200): "longer than 1000 bytes",
		`service == 3`:                  "no matching overload",
	} {
		if err := language.Check(when); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q in it", when, err, want)
		}
	}
}

// Work is bounded: a condition that would take long is refused while it runs.
func TestCostIsBounded(t *testing.T) {
	list := "[" + strings.TrimSuffix(strings.Repeat("1,", 60), ",") + "]"
	when := list + ".all(a, " + list + ".all(b, " + list + ".all(c, a + b + c > 0)))"
	if _, err := language.Holds(when, values(1, "s", nil)); err == nil || !strings.Contains(err.Error(), "cost") {
		t.Errorf("%v; want a cost limit exceeded", err)
	}
}

func FuzzHolds(f *testing.F) {
	for _, s := range []string{"severity > 2", `service in ["fix"]`, "true", "1 / 0 == 1", "labels", "[1,2].all(x, [3,4].all(y, x < y))", "a.b.c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, when string) {
		if language.Check(when) == nil {
			_, _ = language.Holds(when, values(1, "s", map[string]string{"a": "b"}))
		}
	})
}
