package main

import (
	"fmt"
	"net/http"
	"strings"
)

// cart is what a visitor means to buy.
type cart struct {
	items []product
}

// cartOf reads the cart from the visitor's cookie; nil without one.
func cartOf(r *http.Request) *cart {
	cookie, err := r.Cookie("cart")
	if err != nil {
		return nil
	}
	c := &cart{}
	for id := range strings.SplitSeq(cookie.Value, ".") {
		if p, ok := find(id); ok {
			c.items = append(c.items, p)
		}
	}
	return c
}

func (c *cart) total() int {
	sum := 0
	for _, p := range c.items {
		sum += p.Cents
	}
	return sum
}

func (s *shop) cart(w http.ResponseWriter, r *http.Request) {
	c := cartOf(r)
	if c == nil {
		fmt.Fprintln(w, "Your cart is empty")
		return
	}
	for _, p := range c.items {
		fmt.Fprintf(w, "%-22s %8s\n", p.Name, euro(p.Cents))
	}
	fmt.Fprintf(w, "%-22s %8s\n", "Total", euro(c.total()))
}
