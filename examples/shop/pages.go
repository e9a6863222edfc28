package main

import (
	"fmt"
	"log"
	"net/http"
	"strings"
)

type shop struct {
	stock *inventory
}

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("GET /products/{id}", s.product)
	mux.HandleFunc("GET /search", s.search)
	mux.HandleFunc("GET /cart", s.cart)
	return traced(mux)
}

func (s *shop) home(w http.ResponseWriter, r *http.Request) {
	s.list(w, r, "All products", catalogue)
}

func (s *shop) search(w http.ResponseWriter, r *http.Request) {
	query := strings.ToLower(r.URL.Query().Get("q"))
	var found []product
	for _, p := range catalogue {
		if strings.Contains(strings.ToLower(p.Name), query) {
			found = append(found, p)
		}
	}
	s.list(w, r, fmt.Sprintf("%d found", len(found)), found)
}

func (s *shop) list(w http.ResponseWriter, r *http.Request, title string, products []product) {
	left, err := s.stock.of(r.Context(), products...)
	if err != nil {
		unavailable(w, err)
		return
	}
	fmt.Fprintln(w, title)
	for _, p := range products {
		fmt.Fprintf(w, "%-22s %8s  %d left\n", p.Name, euro(p.Cents), left[p.ID])
	}
}

func (s *shop) product(w http.ResponseWriter, r *http.Request) {
	p, ok := find(r.PathValue("id"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	left, err := s.stock.of(r.Context(), p)
	if err != nil {
		unavailable(w, err)
		return
	}
	fmt.Fprintf(w, "%s\n%s\n%d left\n", p.Name, euro(p.Cents), left[p.ID])
}

func unavailable(w http.ResponseWriter, err error) {
	log.Print(err)
	w.Header().Set("Shop-Failure", "inventory")
	http.Error(w, "we cannot see our shelves right now", http.StatusServiceUnavailable)
}
