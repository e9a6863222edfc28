package statuspage

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/status"
	"github.com/flyball-dev/flyball/internal/port/site"
)

//go:embed files
var embedded embed.FS

// sheet is what every template is given.
type sheet struct {
	status.View
	Root    string // the way back to the first page: "" or "../"
	Heading string
	Feed    string // of what the page is about, from the root, without extension
	Form    string // address of forms; empty when nobody can subscribe

	Component status.Shown
	Notice    status.Notice
	Months    []month
	Month     month
	Recent    []status.Notice

	Text   string // of an answer to who subscribes
	Button string // it asks with; empty for none
}

// month is a page of the history.
type month struct {
	Name    string // November 2026
	File    string // 2026-11
	Notices []status.Notice
	Work    []status.Work
}

// recentDays is how far back the first page lists what is over.
const recentDays = 15

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"at": clockTime, "iso": func(t time.Time) string { return t.UTC().Format(time.RFC3339) }, "day": func(d status.Day) string { return readable(d.Date) },
	"share": share, "percent": percent, "bars": bars, "icon": icon, "overall": overall, "paragraphs": paragraphs,
	"reverse": func(u []status.Update) []status.Update { u = slices.Clone(u); slices.Reverse(u); return u },
	"title":   func(v sheet, name string) string { c, _ := v.View.Component(name); return c.Title },
	"say":     func(p status.Phase) string { return strings.ToUpper(string(p[:1])) + string(p[1:]) },
	"missed":  missed, "count": count, "kind": func(phase string) string { return strings.ReplaceAll(phase, "_", " ") },
	"of":   func(s sheet, n status.Notice) sheet { s.Notice = n; return s },
	"sub":  func(a, b int64) int64 { return a - b },
	"days": func(d []status.Day) []status.Day { d = slices.Clone(d); slices.Reverse(d); return d },
}).ParseFS(embedded, "files/*.html"))

// Render makes the files of a page.
func Render(v status.View) (site.Files, error) {
	r := renderer{View: v, files: site.Files{}}
	css, err := embedded.ReadFile("files/style.css")
	if err != nil {
		return nil, err
	}
	r.files["style.css"] = css
	months := r.months()
	r.page("index.html", "index.html", sheet{Heading: v.Title, Feed: "feed", Recent: r.recent()})
	r.page("history/index.html", "history.html", sheet{Heading: "History", Feed: "feed", Months: months})
	for _, m := range months {
		r.page("history/"+m.File+".html", "month.html", sheet{Heading: m.Name, Feed: "feed", Month: m})
	}
	for _, g := range v.Groups {
		for _, c := range g.Components {
			mine := about(c.Name, r.all())
			r.page("components/"+c.Name+".html", "component.html", sheet{Heading: c.Title, Feed: "components/" + c.Name, Component: c, Recent: mine})
			r.feeds("components/"+c.Name, v.Title+": "+c.Title, mine, works(c.Name, v))
		}
	}
	for _, n := range r.all() {
		r.page("notices/"+n.Name+".html", "notice.html", sheet{Heading: n.Title, Feed: "feed", Notice: n})
	}
	r.feeds("feed", v.Title, r.all(), slices.Concat(v.Maintenance, v.Done))
	r.json()
	if r.err != nil {
		return nil, r.err
	}
	return r.files, site.Check(r.files)
}

// renderer keeps the first error.
type renderer struct {
	status.View
	files site.Files
	err   error
}

func (r *renderer) page(path, name string, s sheet) {
	s.View = r.View
	if strings.Contains(path, "/") {
		s.Root = "../"
	}
	if r.Subscribe != nil {
		s.Form = strings.TrimRight(r.Subscribe.Server, "/") + "/status/" + r.Name
	}
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, s); err != nil && r.err == nil {
		r.err = fmt.Errorf("%s: %w", path, err)
	}
	r.files[path] = b.Bytes()
}

// all is every notice, newest first.
func (r *renderer) all() []status.Notice {
	out := slices.Concat(r.Open, r.Past)
	slices.SortStableFunc(out, func(a, b status.Notice) int { return b.StartedAt.Compare(a.StartedAt) })
	return out
}

// recent is what ended in the last days.
func (r *renderer) recent() []status.Notice {
	since := r.Through.AddDate(0, 0, -recentDays)
	return slices.DeleteFunc(slices.Clone(r.Past), func(n status.Notice) bool { return n.ResolvedAt.Before(since) })
}

// months lists what happened by month, newest first. The present one is there
// even when nothing happened in it.
func (r *renderer) months() []month {
	var out []month
	at := func(t time.Time) *month {
		t = t.In(r.Zone)
		file := t.Format("2006-01")
		for i := range out {
			if out[i].File == file {
				return &out[i]
			}
		}
		out = append(out, month{Name: t.Format("January 2006"), File: file})
		return &out[len(out)-1]
	}
	at(r.Through)
	for _, n := range r.all() {
		m := at(n.StartedAt)
		m.Notices = append(m.Notices, n)
	}
	for _, w := range r.Done {
		m := at(w.From)
		m.Work = append(m.Work, w)
	}
	slices.SortFunc(out, func(a, b month) int { return strings.Compare(b.File, a.File) })
	return out
}

// about is the notices that were ever about a component.
func about(component string, all []status.Notice) (out []status.Notice) {
	for _, n := range all {
		if slices.Contains(n.Touched, component) {
			out = append(out, n)
		}
	}
	return out
}

// works is the maintenance of a component.
func works(component string, v status.View) (out []status.Work) {
	for _, w := range slices.Concat(v.Maintenance, v.Done) {
		if slices.Contains(w.Components, component) {
			out = append(out, w)
		}
	}
	return out
}
