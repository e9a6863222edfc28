package api

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// CookieName is the login cookie, which holds a token.
const CookieName = "flyball_token"

// Anonymous is who reads on this machine without a token.
var Anonymous = operation.Caller{Name: "anonymous", Grants: []operation.Grant{{Role: operation.Viewer}}}

// Caller says who sent a request. A bearer token counts first, then the login
// cookie, with which a write must come from a page of this very server. Who
// reads from this machine needs neither and is a viewer.
func (a *API) Caller(r *http.Request) (operation.Caller, error) {
	return a.caller(r, r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// caller is Caller for a request that only reads, or not: a question may be
// asked by POST.
func (a *API) caller(r *http.Request, read bool) (operation.Caller, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return operation.Caller{}, unauthorized("the Authorization header must be Bearer and a token")
		}
		return a.authenticate(r, strings.TrimSpace(token))
	}
	if cookie, err := r.Cookie(CookieName); err == nil && cookie.Value != "" {
		if !read && !sameOrigin(r) {
			return operation.Caller{}, problem.New(problem.Denied, "api.authenticate", "a write with the login cookie must come from a page of this server").
				WithNext("reload the page, or send the token as a bearer token")
		}
		caller, err := a.authenticate(r, cookie.Value)
		if err == nil || !read || !Local(r) || Status(err) != http.StatusUnauthorized {
			return caller, err
		}
	}
	if read && Local(r) {
		return Anonymous, nil
	}
	if read {
		return operation.Caller{}, unauthorized("reading from another machine needs a token")
	}
	return operation.Caller{}, unauthorized("every write needs a token")
}

func (a *API) authenticate(r *http.Request, token string) (operation.Caller, error) {
	if a.o.Authenticator == nil || token == "" || len(token) > 4096 {
		return operation.Caller{}, unauthorized("the token is not known")
	}
	caller, err := a.o.Authenticator.Authenticate(r.Context(), token)
	if problem.KindOf(err) == problem.Denied {
		err = WithStatus(http.StatusUnauthorized, err)
	}
	return caller, err
}

func unauthorized(message string) error {
	return WithStatus(http.StatusUnauthorized, problem.New(problem.Denied, "api.authenticate", "%s", message).
		WithNext("send a token: Authorization: Bearer TOKEN, FLYBALL_TOKEN for the command line; an admin makes one with flyball token create"))
}

// Local reports whether the request was made on this machine, by nobody on
// behalf of another: a reverse proxy's requests are not local.
func Local(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	if err != nil || ip == nil || !ip.IsLoopback() {
		return false
	}
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	return true
}

// sameOrigin reports whether a browser sent the request from one of our own
// pages, by Fetch Metadata and, for browsers without it, by Origin. A request
// that says neither is refused: only browsers hold the cookie.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	u, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// SignIn checks a token and gives the browser the login cookie for it. The
// request must come from a page of this server.
func (a *API) SignIn(w http.ResponseWriter, r *http.Request, token string) (operation.Caller, error) {
	if !sameOrigin(r) {
		return operation.Caller{}, problem.New(problem.Denied, "api.signin", "signing in must start on a page of this server").WithNext("open the login page and try again")
	}
	caller, err := a.authenticate(r, strings.TrimSpace(token))
	if err == nil {
		a.cookie(w, r, strings.TrimSpace(token), 30*24*3600)
	}
	return caller, err
}

// SignOut takes the login cookie back.
func (a *API) SignOut(w http.ResponseWriter, r *http.Request) { a.cookie(w, r, "", -1) }

func (a *API) cookie(w http.ResponseWriter, r *http.Request, token string, seconds int) {
	http.SetCookie(w, &http.Cookie{
		Name: CookieName, Value: token, Path: "/", MaxAge: seconds,
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	})
}
