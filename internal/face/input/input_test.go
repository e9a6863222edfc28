package input_test

import (
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/face/input"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

type everything struct {
	Name    string         `json:"name" arg:"1"`
	On      bool           `json:"on"`
	N       int            `json:"n"`
	Small   int8           `json:"small"`
	U       uint16         `json:"u"`
	X       float64        `json:"x"`
	Wait    time.Duration  `json:"wait"`
	At      time.Time      `json:"when"`
	Maybe   *int64         `json:"maybe"`
	Tags    []string       `json:"tags"`
	Counts  []int          `json:"counts"`
	Role    operation.Role `json:"role"`
	Limit   int            `json:"limit"`
	Nested  *nested        `json:"nested"`
	Ignored string
}

type nested struct {
	A string `json:"a"`
}

var op = operation.Define(operation.Spec[everything, struct{}]{Noun: "thing", Verb: "do"})

func decoded(t *testing.T, query string) (*everything, error) {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	in := op.NewInput().(*everything)
	return in, input.Values(op, in, values)
}

func TestValues(t *testing.T) {
	five := int64(5)
	got, err := decoded(t, "name=a&on=true&n=-3&small=127&u=7&x=0.5&wait=90s&when=2026-01-02T03:04:05.5Z&maybe=5&tags=a,b&tags=c&counts=1,2&role=admin&limit=10")
	want := &everything{Name: "a", On: true, N: -3, Small: 127, U: 7, X: .5, Wait: 90 * time.Second, At: time.Date(2026, 1, 2, 3, 4, 5, 5e8, time.UTC),
		Maybe: &five, Tags: []string{"a", "b", "c"}, Counts: []int{1, 2}, Role: operation.Admin, Limit: 10}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestBadValuesNameTheirField(t *testing.T) {
	for query, message := range map[string]string{
		"on=perhaps":          `on: "perhaps" is not true or false`,
		"n=1.5":               `n: "1.5" is not a whole number`,
		"small=128":           `small: "128" is not a whole number`,
		"u=-1":                `u: "-1" is not a whole number`,
		"x=NaN":               `x: "NaN" is not a number`,
		"x=1e999":             `x: "1e999" is not a number`,
		"wait=5":              `wait: "5" is not a duration; write it like 90s, 15m or 2h`,
		"when=today":          `when: "today" is not a time; write it like 2026-11-21T09:30:00Z`,
		"maybe=x":             `maybe: "x" is not a whole number`,
		"counts=1,x":          `counts: "x" is not a whole number`,
		"role=king":           `role: "king" is not a role`,
		"nested=x":            `nested: can only be sent in a JSON body`,
		"name=a&name=b":       `name: takes one value, not 2`,
		"limit=2000":          `limit: must be between 0 (the default) and 1000`,
		"nmae=x":              `nmae: is not a field of this operation; did you mean name?`,
		"Ignored=x":           `Ignored: is not a field of this operation`,
		"n=x&wait=x&unknown=": `unknown: is not a field of this operation`,
	} {
		if _, err := decoded(t, query); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: %v\nwant %s", query, err, message)
		}
	}
}

func TestJSON(t *testing.T) {
	in := op.NewInput().(*everything)
	if err := input.JSON(op, in, []byte(`{"wait":"2h","nested":{"a":"x"},"tags":["a,b"]}`)); err != nil || in.Wait != 2*time.Hour || in.Nested.A != "x" || in.Tags[0] != "a,b" {
		t.Errorf("%+v, %v", in, err)
	}
	for body, message := range map[string]string{
		`{"nested":{"b":1}}`: `nested: unknown field "b"`,
		`{"n":"1"}`:          `n: must be a whole number, not a JSON string`,
		`{"tags":"a"}`:       `tags: must be a list, not a JSON string`,
		`"x"`:                `must be one JSON object, not a JSON string`,
		`{`:                  `unexpected end of JSON input`,
	} {
		if err := input.JSON(op, op.NewInput(), []byte(body)); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: %v\nwant %s", body, err, message)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"promote", "pause", "list", "show"}
	for word, want := range map[string]string{"promte": "promote", "psuae": "pause", "lst": "list", "shwo": "show", "explode": "", "": "", "PROMOTE": "promote"} {
		if got := input.Nearest(word, words); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

// FuzzValues decodes any query without panic, and what it accepts survives the
// way to a query, and to a JSON body, and back.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{"", "name=a&n=1&x=.5", "tags=a,b&tags=&counts=1", "wait=1h1m&when=2026-01-02T03:04:05%2B02:00", "limit=9999", "%zz=1", "maybe=0&role=admin&small=-128"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		in := op.NewInput().(*everything)
		if input.Values(op, in, values) != nil || !in.At.IsZero() {
			return
		}
		if y := in.At.Year(); y < 0 || y > 9999 {
			return
		}
		back, err := input.Query(op, in, nil)
		if err != nil {
			t.Fatalf("%q: %v", query, err)
		}
		again := op.NewInput().(*everything)
		if err := input.Values(op, again, back); err != nil {
			t.Fatalf("%q became %q: %v", query, back.Encode(), err)
		}
		members, err := input.Object(op, in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := json.Marshal(members)
		sent := op.NewInput().(*everything)
		if err := input.JSON(op, sent, body); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if a, b := text(t, in), text(t, sent); a != b {
			t.Fatalf("as JSON %s\nbecame  %s", a, b)
		}
		if a, b := text(t, in), text(t, again); a != b {
			t.Fatalf("as query %s\nbecame   %s", a, b)
		}
	})
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "null", "[]")
}

// FuzzJSON decodes any body without panic.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"n":1,"wait":"1h","nested":{"a":""}}`, `{"n":1e99}`, "[", `{"maybe":null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		input.JSON(op, op.NewInput(), body)
	})
}
