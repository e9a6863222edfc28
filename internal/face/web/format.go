package web

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

// parse reads every page's template with the layout and the shared parts.
func parse(a assets) map[string]*template.Template {
	funcs := template.FuncMap{
		"asset": a.url, "state": state, "icon": icon, "word": word,
		"time": stamp("moment"), "clock": stamp("clock"), "day": stamp("day"),
		"ago": ago, "span": span, "seconds": func(s float64) string { return span(seconds(s)) },
		"count": count, "share": share, "points": points, "percent": percent, "number": number,
		"short": short, "who": who, "bar": budgetBar, "part": partBar, "spentbar": spentBar,
		"ratio": func(n int64, of float64, scale int64) float64 { return float64(n) / float64(max(1, scale)) / of }, "split": splitBar, "json": jsonText,
		"address": with, "list": func(v ...any) []any { return v }, "plural": plural, "key": rand.Text,
		"heatx": func(h int) int { return 48 + h*24 }, "heaty": func(row int) int { return row * 16 }, "add": func(a, b int) int { return a + b },
		"nonzero": func(t time.Time) bool { return !t.IsZero() }, "sentence": sentence, "target": func(d slo.Decimal) string { return strings.Replace(d.Percent(), "%", " %", 1) }, "subject": subjectLink, "alertpath": alertPath, "shownby": shownBy,
	}
	shared := template.Must(template.New("").Funcs(funcs).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html"))
	entries, err := templateFiles.ReadDir("templates")
	if err != nil {
		panic("web: embedded templates cannot be read: " + err.Error())
	}
	pages := map[string]*template.Template{}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		t := template.Must(shared.Clone())
		pages[name] = template.Must(t.ParseFS(templateFiles, "templates/"+e.Name()))
	}
	return pages
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// stamp writes a time in UTC; a script turns it into the reader's own zone,
// with the zone on hover.
func stamp(kind string) func(t time.Time) template.HTML {
	layout := map[string]string{"moment": "2 Jan 15:04", "clock": "15:04:05", "day": "2 Jan 2006"}[kind]
	return func(t time.Time) template.HTML {
		if t.IsZero() {
			return "–"
		}
		t = t.UTC()
		return template.HTML(fmt.Sprintf(`<time datetime="%s" data-as="%s" title="%s">%s</time>`,
			t.Format("2006-01-02T15:04:05Z"), kind, t.Format("2006-01-02 15:04:05 UTC"), t.Format(layout)))
	}
}

// span is a length of time in one unit: 40 s, 6 min, 3 h, 3 d.
func span(d time.Duration) string {
	if d < 0 {
		return "−" + span(-max(d, -math.MaxInt64))
	}
	units := []struct {
		size time.Duration
		name string
		from time.Duration
	}{{24 * time.Hour, "d", 36 * time.Hour}, {time.Hour, "h", 90 * time.Minute}, {time.Minute, "min", 90 * time.Second}}
	for _, u := range units {
		if d >= u.from {
			x := float64(d) / float64(u.size)
			if x < 9.5 && u.name != "min" {
				return trim(x, 1) + " " + u.name
			}
			return fmt.Sprintf("%.0f %s", x, u.name)
		}
	}
	if d > 0 && d < time.Second {
		return fmt.Sprintf("%d ms", max(1, d.Milliseconds()))
	}
	if d < 10*time.Second {
		return trim(d.Seconds(), 1) + " s"
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

func trim(x float64, digits int) string {
	s := strconv.FormatFloat(x, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// ago is the length of time since t.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return span(max(0, now.Sub(t)))
}

// count is a whole number with thousands set off.
func count(n any) string {
	var x int64
	switch v := n.(type) {
	case int:
		x = int64(v)
	case int64:
		x = v
	case float64:
		x = int64(math.Round(v))
	default:
		return fmt.Sprint(n)
	}
	s := strconv.FormatInt(x, 10)
	sign := ""
	if x < 0 {
		sign, s = "−", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// share is a ratio as a whole percentage, finer near its ends.
func share(ratio float64) string {
	return percent(ratio, 0)
}

// percent is a ratio as a percentage with at least so many digits, and two
// significant ones where it is small.
func percent(ratio float64, digits int) string {
	x := ratio * 100
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "–"
	}
	if a := math.Abs(x); a != 0 && a < 9.95 {
		digits = max(digits, min(4, 1-int(math.Floor(math.Log10(a)))))
	}
	s := trim(math.Abs(x), digits)
	if x < 0 && s != "0" {
		s = "−" + s
	}
	return s + " %"
}

// points is a share in basis points as a percentage.
func points(n int) string { return percent(float64(n)/10_000, 0) }

// number is a measurement with three significant digits, or as a power of ten.
func number(x float64) string {
	switch a := math.Abs(x); {
	case math.IsNaN(x), math.IsInf(x, 0):
		return "–"
	case a != 0 && (a >= 1e6 || a < 1e-3):
		exp := int(math.Floor(math.Log10(a)))
		return trim(x/math.Pow(10, float64(exp)), 1) + " × 10" + superscript(exp)
	case a >= 100:
		return count(x)
	case a >= 10:
		return trim(x, 1)
	}
	return trim(x, 2)
}

func superscript(n int) string {
	return strings.NewReplacer("-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴", "5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹").
		Replace(strconv.Itoa(n))
}

// short is the beginning of a commit, digest or revision's name.
func short(s string) string {
	s = strings.TrimPrefix(s, "sha256:")
	return s[:min(7, len(s))]
}

// who is an actor without the kind, which only tells machines apart.
func who(actor string) string {
	for _, kind := range []string{"user:", "token:"} {
		if name, ok := strings.CutPrefix(actor, kind); ok {
			return name
		}
	}
	if name, ok := strings.CutPrefix(actor, "controller:"); ok {
		return name + " (automatic)"
	}
	return actor
}

func plural(n int, one, many string) string {
	switch n {
	case 0:
		return "no " + many
	case 1:
		return "1 " + one
	}
	return count(n) + " " + many
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	if first := s[0]; first >= 'a' && first <= 'z' && !strings.ContainsAny(strings.Fields(s)[0], "-./_@") {
		s = strings.ToUpper(s[:1]) + s[1:]
	}
	if last, _ := utf8.DecodeLastRuneInString(s); !strings.ContainsRune(".!?…", last) {
		s += "."
	}
	return s
}

// with is the path's query with a value changed; an empty one is left out, and
// so is the cursor, which belongs to another list.
func with(p page, pairs ...string) string {
	q := url.Values{}
	for k, v := range p.Query {
		if k != "after" && k != "before" {
			q[k] = v
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Del(pairs[i])
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return p.Bare
	}
	return p.Bare + "?" + q.Encode()
}

func jsonText(v any) (string, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return string(b), err
}
