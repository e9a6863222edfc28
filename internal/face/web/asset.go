package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var staticFiles embed.FS

//go:embed templates/*.html
var templateFiles embed.FS

// assets are the files a page links to. A file's address holds its digest, so
// that a browser may keep it for good.
type assets struct {
	byName map[string]string // static/app.css → /static/DIGEST/app.css
	byPath map[string]asset
}

type asset struct {
	body []byte
	kind string
}

func newAssets() assets {
	a := assets{byName: map[string]string{}, byPath: map[string]asset{}}
	err := fs.WalkDir(staticFiles, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := staticFiles.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		at := "/static/" + hex.EncodeToString(sum[:6]) + "/" + path.Base(name)
		a.byName[strings.TrimPrefix(name, "static/")] = at
		a.byPath[at] = asset{body, kindOf(name)}
		return nil
	})
	if err != nil {
		panic("web: embedded files cannot be read: " + err.Error())
	}
	return a
}

func kindOf(name string) string {
	kinds := map[string]string{".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
	if k, ok := kinds[path.Ext(name)]; ok {
		return k + "; charset=utf-8"
	}
	return "text/plain; charset=utf-8"
}

// url is the address of a file; a template that names one that does not exist
// fails.
func (a assets) url(name string) (string, error) {
	at, ok := a.byName[name]
	if !ok {
		return "", fs.ErrNotExist
	}
	return at, nil
}

// ServeHTTP serves the files.
func (a assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := a.byPath[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	// A client that went away needs no file.
	_, _ = w.Write(f.body)
}
