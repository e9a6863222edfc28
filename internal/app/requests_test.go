package app_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// follow reads events from a real server on its real database: n of them
// behind a position, as a browser that lost its connection asks for them.
func (y *yard) follow(token, last string, n int) (ids []int64) {
	y.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+y.listen+"/events", nil)
	if err != nil {
		y.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Last-Event-ID", last)
	resp, err := (&http.Client{Timeout: limit}).Do(req)
	if err != nil {
		y.t.Fatal(err)
	}
	defer resp.Body.Close()
	id, data := "", false
	for lines := bufio.NewScanner(resp.Body); len(ids) < n; {
		if !lines.Scan() {
			y.t.Fatalf("%s: the stream ended after %d of %d events: %v", resp.Status, len(ids), n, lines.Err())
		}
		switch name, value, _ := strings.Cut(lines.Text(), ":"); {
		case name == "id":
			id = strings.TrimSpace(value)
		case name == "data":
			data = true
		case lines.Text() == "" && data: // an event ends
			position, err := strconv.ParseInt(id, 10, 64)
			if err != nil {
				y.t.Fatal(err)
			}
			ids, data = append(ids, position), false
		}
	}
	return ids
}

// A follower that breaks off at any event gets what comes behind it: each event
// once, from the database, while it grows.
func TestEventsResumeFromTheDatabase(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.declare("  build: 'true'\n  files: [version.txt]\n  run: sleep 600\n")
	y.up()
	y.event("change.pushed")
	token, err := os.ReadFile(filepath.Join(y.dir, ".flyball", "token"))
	if err != nil {
		t.Fatal(err)
	}
	next := int64(1)
	for connection := range 5 {
		for _, id := range y.follow(string(token), strconv.FormatInt(next-1, 10), 1+connection%3) {
			if id != next {
				t.Fatalf("connection %d: event %d, want %d", connection, id, next)
			}
			next++
		}
	}
}

// A client that sends its request's header byte by byte is cut off, by the
// server and by the proxy: it must not hold a connection for ever.
func TestSlowHeadersAreCutOff(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.up()
	for name, address := range map[string]string{"the server": y.listen, "the proxy": y.traffic} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nX-Slow: "); err != nil {
				t.Fatal(err)
			}
			// Nothing more comes. What the other side says, if anything, is that it
			// has waited long enough; then it hangs up.
			said, err := io.ReadAll(conn)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Fatalf("still open after %s", time.Since(began))
			}
			if text := string(said); text != "" && !strings.Contains(text, " 408 ") && !strings.Contains(text, " 400 ") {
				t.Errorf("it answers %q", text)
			}
		})
	}
}
