package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fileServer serves a folder from a process of its own: whoever else serves the
// files of a status page.
const fileServerEnv = "FLYBALL_TEST_SERVES"

// serveFiles is that process; it says its address and stays until it is killed.
func serveFiles(dir string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	_ = http.Serve(l, http.FileServer(http.Dir(dir)))
}

// fileServer starts it and gives its address.
func fileServer(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fileServerEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + strings.TrimSpace(line)
}

// kill ends the server as a crash does, and waits until it is gone.
func (y *yard) kill() {
	y.t.Helper()
	raw, err := os.ReadFile(filepath.Join(y.dir, ".flyball", "server.json"))
	if err != nil {
		y.t.Fatal(err)
	}
	var server struct{ Pid int }
	if err := json.Unmarshal(raw, &server); err != nil || server.Pid <= 1 {
		y.t.Fatal(err, server)
	}
	if err := syscall.Kill(server.Pid, syscall.SIGKILL); err != nil {
		y.t.Fatal(err)
	}
	y.until("the server is gone", func() bool {
		c, err := net.Dial("tcp", y.listen)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

// until waits for what no event tells of.
func (y *yard) until(what string, holds func() bool) {
	y.t.Helper()
	ctx, cancel := context.WithTimeout(y.t.Context(), limit)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			y.t.Fatal("not within the limit: " + what)
		case <-again.C:
		}
	}
}

// get is what an address serves, empty for anything but a success.
func get(url string) string {
	res, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// What users were told stays readable when the server is killed: the page is
// files that somebody else serves.
func TestStatusPageOutlivesTheServer(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	public := filepath.Join(t.TempDir(), "site")
	y.declare("  run: sleep 600\n", `---
apiVersion: flyball.dev/v1
kind: StatusPage
metadata: {name: public}
spec:
  title: Acme status
  url: https://status.acme.example
  components: [{name: pay, title: Payments}, {name: shop, title: The shop, service: web}]
  publish: [{directory: `+public+`}, {git: `+filepath.Join(y.dir, "..", "pages.git")+`}]
`)
	y.git("init", "--quiet", "--bare", filepath.Join(y.dir, "..", "pages.git"))
	y.up()
	y.until("the page is written", func() bool { _, err := os.Stat(filepath.Join(public, "index.html")); return err == nil })
	elsewhere := fileServer(t, public)
	y.says(get(elsewhere+"/"), "Acme status", "Everything is operational.", "The shop")

	out, errs, code := y.run("statuspage", "post", "public", "--title", "Payments <fail>", "--text", "We are looking into it.", "--component", "pay=major_outage")
	if code != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	y.until("the notice is written", func() bool { return strings.Contains(get(elsewhere+"/"), "There is a major outage.") })
	// The server itself serves the same to everybody.
	y.until("the server serves it", func() bool {
		return strings.Contains(get("http://"+y.listen+"/status/public/"), "There is a major outage.")
	})
	y.says(get("http://"+y.listen+"/status/"), "Acme status")
	if own, other := get("http://"+y.listen+"/status/public/notices/n1.html"), get(elsewhere+"/notices/n1.html"); own != other || own == "" {
		t.Errorf("served here\n%s\nand there\n%s", own, other)
	}
	y.await([]string{"succeeded", "Payments <fail>"}, "statuspage", "show", "public")

	folder := filepath.Join(t.TempDir(), "out")
	if out, errs, code := y.run("statuspage", "render", "public", "--out", folder); code != 0 || !strings.Contains(out, "files in") {
		t.Errorf("render: %d %s%s", code, out, errs)
	}
	rendered, err := os.ReadFile(filepath.Join(folder, "index.html"))
	if err != nil || string(rendered) != get(elsewhere+"/") {
		t.Errorf("rendered another page: %v\n%s", err, rendered)
	}

	y.kill()
	y.says(get(elsewhere+"/"), "There is a major outage.", "Payments &lt;fail&gt;", "We are looking into it.")
	y.says(get(elsewhere+"/components/pay.html"), "major outage")
	y.says(get(elsewhere+"/feed.atom"), "Payments &lt;fail&gt;", "https://status.acme.example/notices/n1.html")
	y.says(get(elsewhere+"/api/v2/status.json"), `"indicator": "critical"`)
}
