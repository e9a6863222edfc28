package house

import (
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode"
)

var (
	linkPattern = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	pathPattern = regexp.MustCompile("`((?:internal|cmd|bench|docs|examples)/[A-Za-z0-9_./-]*)`")
	codePattern = regexp.MustCompile("`[^`]*`")
)

// CheckLinks reports links between pages, and paths of the repository named in
// them, that lead nowhere. Addresses of other sites are not followed.
func CheckLinks(root fs.FS) ([]Finding, error) {
	var out []Finding
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && skipped(d.Name()) {
			return fs.SkipDir
		}
		if d.IsDir() || path.Ext(p) != ".md" {
			return nil
		}
		text, err := fs.ReadFile(root, p)
		if err != nil {
			return err
		}
		out = append(out, checkPage(root, p, string(text))...)
		return nil
	})
	return out, err
}

func checkPage(root fs.FS, page, text string) []Finding {
	var out []Finding
	fenced := false
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		if fenced {
			continue
		}
		where := fmt.Sprintf("%s:%d", page, i+1)
		for _, m := range linkPattern.FindAllStringSubmatch(codePattern.ReplaceAllString(line, "``"), -1) {
			if what := broken(root, page, m[1]); what != "" {
				out = append(out, Finding{where, what})
			}
		}
		for _, m := range pathPattern.FindAllStringSubmatch(line, -1) {
			if _, err := fs.Stat(root, path.Clean(m[1])); err != nil {
				out = append(out, Finding{where, "there is no " + m[1]})
			}
		}
	}
	return out
}

// broken says what is wrong with a link, or nothing.
func broken(root fs.FS, page, link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return "the link " + link + " cannot be read"
	}
	if u.Scheme != "" {
		return ""
	}
	target := page
	if u.Path != "" {
		target = path.Join(path.Dir(page), u.Path)
	}
	if _, err := fs.Stat(root, target); err != nil {
		return "the link " + link + " leads nowhere"
	}
	if u.Fragment == "" || path.Ext(target) != ".md" {
		return ""
	}
	text, err := fs.ReadFile(root, target)
	if err != nil {
		return "the link " + link + " leads to what cannot be read"
	}
	for _, line := range strings.Split(string(text), "\n") {
		if title := strings.TrimLeft(line, "#"); title != line && anchor(title) == u.Fragment {
			return ""
		}
	}
	return "the link " + link + " names a heading that " + target + " does not have"
}

// anchor is the name by which a heading is linked to.
func anchor(title string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(title)) {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			b.WriteRune(r)
		case r == ' ':
			b.WriteByte('-')
		}
	}
	return b.String()
}
