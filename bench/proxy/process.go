package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// proc is a process under measurement, with its children.
type proc struct {
	name, version string
	addr          string // where it serves
	cmd           *exec.Cmd
}

type bench struct {
	options
	dir            string
	stable, canary string // addresses of the two revisions
	mu             sync.Mutex
	started        []*proc
	control        string // address of our proxy's control endpoint
}

// freeAddr finds an address nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// start runs a command in its own process group and waits until addr answers.
func (b *bench) start(name, addr string, cmd *exec.Cmd) (*proc, error) {
	said, err := os.Create(filepath.Join(b.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer said.Close()
	cmd.Stderr = said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &proc{name: name, addr: addr, cmd: cmd}
	b.mu.Lock()
	b.started = append(b.started, p)
	b.mu.Unlock()
	limit := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return p, conn.Close()
		}
		if time.Now().After(limit) {
			text, _ := os.ReadFile(said.Name()) // what it said, if anything
			return nil, fmt.Errorf("%s does not listen on %s: %w\n%s", name, addr, err, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stop ends every process started.
func (b *bench) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.started {
		// It may have ended by itself.
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		_ = p.cmd.Wait()
	}
	b.started = nil
}

// self is this program in another role.
func (b *bench) self(role string, args ...string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.Command(exe, append([]string{"role", role}, args...)...), nil
}

func (b *bench) backends() error {
	for _, name := range []string{"stable", "canary"} {
		addr, err := freeAddr()
		if err != nil {
			return err
		}
		cmd, err := b.self("backend", addr, name, strconv.Itoa(b.body))
		if err != nil {
			return err
		}
		if _, err := b.start(name, addr, cmd); err != nil {
			return err
		}
		if name == "stable" {
			b.stable = addr
		} else {
			b.canary = addr
		}
	}
	return nil
}

// proxies starts ours and those of the others that are installed.
func (b *bench) proxies() ([]*proc, error) {
	ours, err := b.flyball()
	if err != nil {
		return nil, err
	}
	out := []*proc{ours}
	for _, other := range []func() (*proc, error){b.nginx, b.caddy} {
		p, err := other()
		if errors.Is(err, exec.ErrNotFound) {
			fmt.Fprintln(os.Stderr, "bench/proxy: left out:", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (b *bench) flyball() (*proc, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	if b.control, err = freeAddr(); err != nil {
		return nil, err
	}
	cmd, err := b.self("flyball", addr, b.control, b.stable, b.canary, filepath.Join(b.dir, "spool"))
	if err != nil {
		return nil, err
	}
	p, err := b.start("flyball", addr, cmd)
	if err != nil {
		return nil, err
	}
	p.version = "this tree"
	return p, nil
}

func version(path, flag string) string {
	out, err := exec.Command(path, flag).CombinedOutput()
	if v := regexp.MustCompile(`\d+\.\d+[.\d]*`).Find(out); err == nil && v != nil {
		return string(v)
	}
	return "unknown"
}

func (b *bench) nginx() (*proc, error) {
	path, err := exec.LookPath("nginx")
	if err != nil {
		if path = "/usr/sbin/nginx"; exec.Command(path, "-v").Run() != nil {
			return nil, err
		}
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	prefix := filepath.Join(b.dir, "nginx")
	if err := os.MkdirAll(prefix, 0o755); err != nil {
		return nil, err
	}
	conf := filepath.Join(prefix, "nginx.conf")
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n" // the directory is ours alone
	}
	text := user + fmt.Sprintf(`daemon off; worker_processes auto; pid nginx.pid; error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi; keepalive_requests 1000000;
  upstream revisions { server %s weight=9; server %s weight=1; keepalive 128; keepalive_requests 1000000; }
  server {
    listen %s;
    location / {
      proxy_pass http://revisions; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Forwarded-Proto $scheme;
    }
  }
}
`, b.stable, b.canary, addr)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	p, err := b.start("nginx", addr, exec.Command(path, "-p", prefix, "-c", conf, "-e", "stderr"))
	if err != nil {
		return nil, err
	}
	p.version = version(path, "-v")
	return p, nil
}

func (b *bench) caddy() (*proc, error) {
	path, err := exec.LookPath("caddy")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	home := filepath.Join(b.dir, "caddy")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	conf := filepath.Join(home, "Caddyfile")
	// Debian's Caddy has no weights; nine of ten equal upstreams are the same.
	text := fmt.Sprintf(`{
	admin off
	auto_https off
	log {
		level ERROR
	}
}
http://:%s {
	bind 127.0.0.1
	reverse_proxy %s%s {
		lb_policy random
	}
}
`, port, strings.Repeat(b.stable+" ", 9), b.canary)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "run", "--config", conf, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
	p, err := b.start("caddy", addr, cmd)
	if err != nil {
		return nil, err
	}
	p.version = version(path, "version")
	return p, nil
}

// cpu is the user and system time of a process and its children.
func (p *proc) cpu() (time.Duration, error) {
	pids := []int{p.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pids[i], pids[i]))
		if err != nil {
			return 0, err
		}
		for _, f := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(f)
			if err != nil {
				return 0, err
			}
			pids = append(pids, child)
		}
	}
	var ticks int64
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		// Fields 14 and 15; the second is in parentheses and may hold spaces.
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 13 {
			return 0, fmt.Errorf("/proc/%d/stat is not as expected", pid)
		}
		for _, f := range fields[11:13] {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// ticksPerSecond is USER_HZ, 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// setWeight tells our proxy the canary's weight in basis points.
func (b *bench) setWeight(canary int) error {
	resp, err := http.Post(fmt.Sprintf("http://%s/weight?canary=%d", b.control, canary), "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		line, _ := bufio.NewReader(resp.Body).ReadString('\n')
		return fmt.Errorf("weight %d: %s %s", canary, resp.Status, line)
	}
	return nil
}
