package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, path, cookie string) (int, string) {
	t.Helper()
	warehouse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"1":3,"2":5}`) }))
	defer warehouse.Close()
	s := &shop{stock: newInventory(warehouse.URL)}
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: "cart", Value: cookie})
	}
	w := httptest.NewRecorder()
	s.routes().ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(body)
}

func TestPages(t *testing.T) {
	for _, c := range []struct{ path, cookie, want string }{
		{"/", "", "3 left"},
		{"/products/2", "", "5 left"},
		{"/search?q=governor", "", "2 found"},
		{"/cart", "1.3", "€153.50"},
	} {
		if code, body := get(t, c.path, c.cookie); code != http.StatusOK || !strings.Contains(body, c.want) {
			t.Errorf("GET %s: %d %q; want %q in it", c.path, code, body, c.want)
		}
	}
}
