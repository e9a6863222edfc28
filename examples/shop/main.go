// Command shop is a small storefront: a catalogue with what is in stock, a
// search, and a cart that travels in a cookie.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &shop{stock: newInventory(os.Getenv("INVENTORY_URL"))}
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		quiet, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(quiet); err != nil {
			log.Printf("some requests did not end: %v", err)
		}
	}()
	log.Printf("shop %s listens at %s", os.Getenv("FLYBALL_REVISION"), server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-done
}

// traced says which revision answers, and turns a panic into an answer.
func traced(next http.Handler) http.Handler {
	revision := os.Getenv("FLYBALL_REVISION")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Shop-Revision", revision)
		defer func() {
			if p := recover(); p != nil {
				log.Printf("%s %s: panic: %v", r.Method, r.URL.Path, p)
				http.Error(w, "something went wrong on our side", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}
