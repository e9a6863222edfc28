package site_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	adapter "github.com/flyball-dev/flyball/internal/adapter/site"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/site"
	"github.com/flyball-dev/flyball/internal/port/site/sitetest"
)

// read is a directory as a web server shows it.
func read(t *testing.T, dir string) site.Files {
	out := site.Files{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == adapter.Marker {
			return err
		}
		out[path], err = os.ReadFile(filepath.Join(dir, path))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDirectory(t *testing.T) {
	sitetest.Run(t, func(t *testing.T) sitetest.Fixture {
		dir := filepath.Join(t.TempDir(), "a", "site")
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return sitetest.Fixture{
			Host: adapter.Directory{}, Target: site.Target{Directory: dir}, Nowhere: site.Target{Directory: filepath.Join(file, "below")},
			Read: func() site.Files { return read(t, dir) },
			Foreign: func() {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

// Whoever reads while a site is replaced again and again finds every file, whole.
func TestDirectoryIsNeverAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	publish := func(n byte) {
		f := site.Files{"index.html": {n}, "b.html": bytes.Repeat([]byte{n}, 1000)}
		if _, err := (adapter.Directory{}).Publish(context.Background(), site.Target{Directory: dir}, f); err != nil {
			t.Error(err)
		}
	}
	publish(0)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(stop)
		for n := range byte(50) {
			publish(n + 1)
		}
	})
	for {
		page, err := os.ReadFile(filepath.Join(dir, "b.html"))
		if err != nil || len(page) != 1000 || bytes.Count(page, page[:1]) != 1000 {
			t.Fatalf("%d bytes, %v", len(page), err)
		}
		select {
		case <-stop:
			wg.Wait()
			if got := read(t, dir)["index.html"]; !bytes.Equal(got, []byte{50}) {
				t.Errorf("at the end: %v", got)
			}
			return
		default:
		}
	}
}

// store is an object store, or WebDAV, that refuses what is not signed.
type store struct {
	mu    sync.Mutex
	files site.Files
	check func(r *http.Request, body []byte) bool
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPut || !s.check(r, body) {
		http.Error(w, "SignatureDoesNotMatch", http.StatusForbidden)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[strings.TrimPrefix(r.URL.Path, "/bucket/")] = body
}

func secrets(name string) (string, bool) {
	v, ok := map[string]string{"KEY": "AKIDEXAMPLE", "SECRET": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "TOKEN": "t0ken"}[name]
	return v, ok
}

func TestPut(t *testing.T) {
	for name, c := range map[string]struct {
		check  func(r *http.Request, body []byte) bool
		target site.Target
	}{
		"token": {func(r *http.Request, _ []byte) bool { return r.Header.Get("Authorization") == "Bearer t0ken" }, site.Target{TokenEnv: "TOKEN"}},
		"open":  {func(r *http.Request, _ []byte) bool { return r.Header.Get("Authorization") == "" }, site.Target{}},
		"s3":    {signed, site.Target{S3: &site.S3{Region: "eu-central-1", AccessKeyEnv: "KEY", SecretKeyEnv: "SECRET"}}},
	} {
		t.Run(name, func(t *testing.T) {
			sitetest.Run(t, func(t *testing.T) sitetest.Fixture {
				s := &store{files: site.Files{}, check: c.check}
				server := httptest.NewServer(s)
				t.Cleanup(server.Close)
				gone := httptest.NewServer(nil)
				gone.Close()
				c.target.Address = server.URL + "/bucket"
				return sitetest.Fixture{Host: adapter.NewPut(clock.Wall(), secrets), Target: c.target, Nowhere: site.Target{Address: gone.URL}, Keeps: true,
					Read: func() site.Files {
						s.mu.Lock()
						defer s.mu.Unlock()
						return s.files
					}}
			})
		})
	}
}

// What a store refuses is told, without secrets; a missing secret is named.
func TestPutIsRefused(t *testing.T) {
	server := httptest.NewServer(&store{check: func(*http.Request, []byte) bool { return false }})
	defer server.Close()
	put := adapter.NewPut(clock.Wall(), secrets)
	_, err := put.Publish(t.Context(), site.Target{Address: server.URL, TokenEnv: "TOKEN"}, site.Files{"index.html": nil})
	if problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "SignatureDoesNotMatch") || strings.Contains(err.Error(), "t0ken") {
		t.Error(err)
	}
	if _, err := put.Publish(t.Context(), site.Target{Address: server.URL, TokenEnv: "NONE"}, site.Files{"index.html": nil}); err == nil || !strings.Contains(err.Error(), "NONE") {
		t.Error(err)
	}
}

// signed checks an AWS Signature Version 4 as its documentation says, step by
// step ("Create a signed AWS API request").
func signed(r *http.Request, body []byte) bool {
	fields := map[string]string{}
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return false
	}
	for part := range strings.SplitSeq(rest, ", ") {
		k, v, _ := strings.Cut(part, "=")
		fields[k] = v
	}
	digest := sha256.Sum256(body)
	if r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(digest[:]) {
		return false
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || clock.Wall().Now().Sub(at).Abs() > 5*time.Minute {
		return false
	}
	canonical := r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.RawQuery + "\n"
	for name := range strings.SplitSeq(fields["SignedHeaders"], ";") {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = r.Header.Get("Content-Length")
			if value == "" {
				value = strconv.FormatInt(r.ContentLength, 10)
			}
		}
		canonical += name + ":" + strings.TrimSpace(value) + "\n"
	}
	canonical += "\n" + fields["SignedHeaders"] + "\n" + hex.EncodeToString(digest[:])
	scope := at.Format("20060102") + "/eu-central-1/s3/aws4_request"
	sum := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	want := hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+at.Format("20060102T150405Z")+"\n"+scope+"\n"+hex.EncodeToString(sum[:])))
	return fields["Credential"] == "AKIDEXAMPLE/"+scope && fields["Signature"] == want
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
