package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// message is one dispatched server-sent event, read as a browser reads it.
type message struct {
	id   string
	data api.Record
}

type listener struct {
	t      *testing.T
	lines  *bufio.Scanner
	lastID string
	beats  int
	close  func()
}

func (f *fixture) listen(query, lastID string) *listener {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	req, _ := http.NewRequestWithContext(ctx, "GET", f.url+"/events"+query, nil)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		f.t.Fatal(err)
	}
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		f.t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	l := &listener{t: f.t, lines: bufio.NewScanner(res.Body), lastID: lastID}
	l.close = func() { cancel(); res.Body.Close() }
	f.t.Cleanup(l.close)
	return l
}

// block reads up to an empty line; ok is false at the end of the stream.
func (l *listener) block() (m message, dispatched, ok bool) {
	for l.lines.Scan() {
		name, value, _ := strings.Cut(l.lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case l.lines.Text() == "":
			m.id = l.lastID
			return m, dispatched, true
		case name == "":
			l.beats++
		case name == "id":
			l.lastID = value
		case name == "data":
			dispatched = true
			if err := json.Unmarshal([]byte(value), &m.data); err != nil {
				l.t.Fatal(err)
			}
		}
	}
	return m, false, false
}

// next is the next message; it fails the test at the end of the stream.
func (l *listener) next() message {
	l.t.Helper()
	for {
		m, dispatched, ok := l.block()
		if !ok {
			l.t.Fatalf("the stream ended: %v", l.lines.Err())
		}
		if dispatched {
			return m
		}
	}
}

func (f *fixture) append(n int, typ, subject string) {
	f.t.Helper()
	for i := range n {
		_, err := f.store.Log().Append(context.Background(), event.Batch{Stream: subject, Expect: event.AnyVersion,
			Drafts: []event.Draft{{Type: typ, Actor: "test", Data: map[string]int{"n": i}}}})
		if err != nil {
			f.t.Error(err)
		}
	}
}

// TestResumeIsExact breaks the connection at random places while events are
// being recorded: every event arrives once, in order.
func TestResumeIsExact(t *testing.T) {
	f := start(t)
	const total = 2000
	go func() {
		for i := range total / 10 {
			f.append(10, "thing.done", fmt.Sprintf("thing/%d", i))
		}
	}()
	random := rand.New(rand.NewPCG(1, 2))
	lastID, seen, connections := "0", int64(0), 0
	for seen < total {
		connections++
		l := f.listen("", lastID)
		for range random.IntN(100) {
			m := l.next()
			if seen++; m.data.Position != seen || m.id != strconv.FormatInt(seen, 10) {
				t.Fatalf("connection %d: got position %d with id %s, want %d", connections, m.data.Position, m.id, seen)
			}
			if seen == total {
				break
			}
		}
		lastID = l.lastID
		l.close()
	}
	t.Logf("%d events over %d connections", total, connections)
}

func TestFiltersAndStart(t *testing.T) {
	f := start(t)
	f.append(3, "thing.done", "thing/1")
	f.append(2, "other.done", "other/1")
	f.append(1, "thing.done", "thing/2")
	f.append(600, "other.done", "other/1") // more than one read's worth to pass over
	f.append(1, "thing.lost", "thing/1")
	for query, want := range map[string]string{
		"?after=0&types=thing.":                                "1 2 3 6 607",
		"?after=0&types=thing.done":                            "1 2 3 6",
		"?after=0&types=thing.lost,thing.done&subject=thing/1": "1 2 3 607",
		"?after=2&subject=thing/1":                             "3 607",
		"?after=606":                                           "607",
	} {
		l := f.listen(query, "")
		var got []string
		for range strings.Fields(want) {
			got = append(got, l.next().id)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	l := f.listen("?types=thing.", "") // only what is yet to come
	f.append(1, "other.done", "other/1")
	f.append(1, "thing.done", "thing/9")
	if m := l.next(); m.data.Position != 609 || m.data.Subject != "thing/9" || m.data.Actor != "test" {
		t.Errorf("got %+v", m)
	}
	for _, bad := range []struct {
		query, lastID string
		status        int
	}{{"?after=-1", "", 409}, {"?after=610", "", 409}, {"", "700", 409}, {"", "x", 422}, {"?type=thing.", "", 422}, {"?after=x", "", 422}} {
		var headers []string
		if bad.lastID != "" {
			headers = append(headers, "Last-Event-ID: "+bad.lastID)
		}
		if r := f.do("GET", "/events"+bad.query, "", headers...); r.status != bad.status {
			t.Errorf("%+v: %d %s", bad, r.status, r.body)
		}
	}
}

// TestSignsOfLife moves the resume position along although nothing matched.
func TestSignsOfLife(t *testing.T) {
	virtual := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	f := start(t, func(o *api.Options) { o.Clock = virtual })
	l := f.listen("?types=thing.", "")
	if _, _, ok := l.block(); !ok || l.lastID != "0" {
		t.Fatalf("the stream starts with id %q", l.lastID)
	}
	f.append(5, "other.done", "other/1")
	ids := make(chan string, 1000)
	go func() {
		for {
			_, dispatched, ok := l.block()
			if !ok {
				return
			}
			if dispatched || l.beats == 0 {
				t.Error("something else than a sign of life came")
			}
			ids <- l.lastID
		}
	}()
	f.until("a sign of life at position 5", func() bool {
		virtual.Advance(15 * time.Second)
		select {
		case id := <-ids:
			return id == "5"
		default:
			return false
		}
	})
}

func TestStreamsAreBoundedAndEndWithTheServer(t *testing.T) {
	f := start(t, func(o *api.Options) { o.Limits = api.Limits{Streams: 2, InFlight: 2} })
	a, b := f.listen("", ""), f.listen("", "")
	if r := f.do("GET", "/events", ""); r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Errorf("third stream: %d", r.status)
	}
	if r := f.do("GET", "/api/v1/widgets", ""); r.status != 200 {
		t.Errorf("streams take the place of requests: %d", r.status)
	}
	a.block() // the opening
	a.close()
	f.until("the place is free", func() bool {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", f.url+"/events", nil)
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == 200
	})
	f.api.Close()
	for ok := true; ok; {
		_, _, ok = b.block()
	}
}

func TestEventOperations(t *testing.T) {
	f := start(t)
	f.append(5, "thing.done", "thing/1")
	f.append(5, "other.done", "other/1")
	var page struct {
		Items []api.Record
		Next  string
	}
	var got []int64
	for next := ""; ; next = page.Next {
		r := f.do("GET", "/api/v1/events?types=thing.&limit=2&after="+next, "")
		page.Next = ""
		if err := json.Unmarshal([]byte(r.body), &page); err != nil || r.status != 200 {
			t.Fatal(r.status, err)
		}
		for _, e := range page.Items {
			got = append(got, e.Position)
		}
		if page.Next == "" {
			break
		}
	}
	if fmt.Sprint(got) != "[1 2 3 4 5]" {
		t.Errorf("pages hold %v", got)
	}
	if r := f.do("GET", "/api/v1/events?last=3", ""); strings.Count(r.body, `"position"`) != 3 || !strings.Contains(r.body, `"position":10`) {
		t.Errorf("last 3: %s", r.body)
	}
	if r := f.do("GET", "/api/v1/events/3", ""); r.status != 200 || !strings.Contains(r.body, `"hash"`) {
		t.Errorf("show: %d %s", r.status, r.body)
	}
	for path, status := range map[string]int{"/api/v1/events/0": 422, "/api/v1/events/-1": 404, "/api/v1/events/11": 404, "/api/v1/events/x": 422, "/api/v1/events?after=x": 422} {
		if r := f.do("GET", path, ""); r.status != status {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	if r := f.do("POST", "/api/v1/events/2/erase", `{"reason":"a password"}`, bearer("admin")); r.status != 200 {
		t.Errorf("erase: %d %s", r.status, r.body)
	}
	if r := f.do("GET", "/api/v1/events/2", ""); !strings.Contains(r.body, `"erased":true`) || strings.Contains(r.body, `"data"`) {
		t.Errorf("erased: %s", r.body)
	}
	if r := f.do("GET", "/api/v1/events/verify", ""); !strings.HasPrefix(r.body, `{"sound":true,"events":12,"erased":1,"head":"`) {
		t.Errorf("verify: %s", r.body)
	}
}
