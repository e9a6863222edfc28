package web

import (
	"net/http"

	"github.com/flyball-dev/flyball/internal/face/api"
)

// maxForm bounds a form's body in bytes.
const maxForm = 64 << 10

type signBody struct {
	Lead  string
	To    string
	Wrong string
}

func (s *site) signInPage(w http.ResponseWriter, r *http.Request) {
	s.signPage(w, r, signBody{To: here(r.URL.Query().Get("to"))})
}

func (s *site) signPage(w http.ResponseWriter, r *http.Request, b signBody) {
	b.Lead = "Sign in with a token."
	p := page{Template: "sign", Title: "Sign in", Body: b, Now: s.o.Clock.Now(), Version: s.o.Version, Query: r.URL.Query()}
	if b.Wrong != "" {
		p.Status = http.StatusUnauthorized
	}
	s.write(w, r, p)
}

func (s *site) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		s.fail(w, r, err)
		return
	}
	to := here(r.PostForm.Get("to"))
	if _, err := s.o.API.SignIn(w, r, r.PostForm.Get("token")); err != nil {
		p := api.Describe(err)
		s.signPage(w, r, signBody{To: to, Wrong: p.Detail})
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (s *site) signOut(w http.ResponseWriter, r *http.Request) {
	s.o.API.SignOut(w, r)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// themeName is the cookie with the visitor's choice of colours; without it the
// system's preference counts.
const themeName = "flyball_theme"

func themeOf(r *http.Request) string {
	c, err := r.Cookie(themeName)
	if err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}

func (s *site) theme(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		s.fail(w, r, err)
		return
	}
	c := &http.Cookie{Name: themeName, Value: r.PostForm.Get("to"), Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode}
	if c.Value != "light" && c.Value != "dark" {
		c.Value, c.MaxAge = "", -1
	}
	http.SetCookie(w, c)
	http.Redirect(w, r, here(r.PostForm.Get("back")), http.StatusSeeOther)
}

func (s *site) keys(*visit) (page, error) {
	return page{Template: "keys", Title: "Keys"}, nil
}
