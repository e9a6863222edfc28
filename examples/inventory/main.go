// Command inventory knows how many of each product there are. It answers
// GET /stock?ids=1,2,3 with {"1":12,"2":0,"3":4}, and takes its time: the
// warehouse's database is far away.
package main

import (
	"context"
	"encoding/json"
	"hash/fnv"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// query is how long one question to the database takes.
const query = 40 * time.Millisecond

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /stock", stock)
	server := &http.Server{Addr: os.Getenv("LISTEN"), Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		quiet, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(quiet)
	}()
	log.Printf("inventory listens at %s", server.Addr)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}

func stock(w http.ResponseWriter, r *http.Request) {
	time.Sleep(query)
	left := map[string]uint32{}
	for id := range strings.SplitSeq(r.URL.Query().Get("ids"), ",") {
		sum := fnv.New32a()
		sum.Write([]byte(id))
		left[id] = sum.Sum32() % 20
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(left)
}
