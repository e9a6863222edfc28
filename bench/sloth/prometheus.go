package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/flyball-dev/flyball/bench/stage"
)

// prometheus is Debian's, over the block.
type prometheus struct {
	cmd  *exec.Cmd
	addr string
}

func startPrometheus(ctx context.Context, dir string) (*prometheus, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &prometheus{addr: l.Addr().String()}
	if err := l.Close(); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {scrape_interval: 1h}\n"), 0o644); err != nil {
		return nil, err
	}
	p.cmd = exec.CommandContext(ctx, "prometheus", "--config.file", config, "--storage.tsdb.path", dir, "--storage.tsdb.retention.time", "90d",
		"--web.listen-address", p.addr, "--log.level", "error")
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, stage.Until(ctx, func() (bool, error) {
		res, err := http.Get("http://" + p.addr + "/-/ready")
		if err != nil {
			return false, nil
		}
		return res.StatusCode == http.StatusOK, res.Body.Close()
	})
}

func (p *prometheus) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed
}

// query evaluates an expression at a time; the value is that of the first
// series, NaN without one.
func (p *prometheus) query(ctx context.Context, expr string, at time.Time) (float64, error) {
	form := url.Values{"query": {expr}, "time": {strconv.FormatInt(at.Unix(), 10)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.addr+"/api/v1/query", strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	var body struct {
		Status string
		Data   struct{ Result []struct{ Value [2]any } }
	}
	if err := json.Unmarshal(text, &body); err != nil || body.Status != "success" {
		return 0, fmt.Errorf("%s: %s", expr, text)
	}
	if len(body.Data.Result) == 0 {
		return math.NaN(), nil
	}
	value, _ := body.Data.Result[0].Value[1].(string)
	return strconv.ParseFloat(value, 64)
}

// evaluate is the processor time of every rule of n objectives, once.
func (p *prometheus) evaluate(ctx context.Context, n, services int, at time.Time) (time.Duration, error) {
	before, err := stage.CPU(p.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	for i := range n {
		for _, expr := range expressions(objective(i), fmt.Sprintf("svc-%03d", i%services)) {
			if _, err := p.query(ctx, expr, at); err != nil {
				return 0, err
			}
		}
	}
	after, err := stage.CPU(p.cmd.Process.Pid)
	return after - before, err
}

// mistakes prints what Sloth's rule says of thirty days, beside what happened.
func mistakes(ctx context.Context, p *prometheus, truths []truth, at time.Time) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "service\trequests in 30 d\tfailed\ttrue error ratio\tSloth's rule says\tof the truth")
	for s := range min(len(truths), 3) {
		t := truths[s].between(at.Add(-history), at)
		v, err := p.query(ctx, thirtyDays(fmt.Sprintf("svc-%03d", s)), at)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "svc-%03d\t%d\t%d\t%.4f %%\t%.4f %%\t%.2f×\n", s, t.total, t.bad, 100*t.ratio(), 100*v, v/t.ratio())
	}
	return out.Flush()
}
