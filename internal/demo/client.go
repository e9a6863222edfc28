package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// person is somebody with a token.
type person struct {
	name  string
	token string
}

// client asks the server as its users do.
type client struct {
	clock clock.Clock
	exe   string
	url   string
	dir   string // of the repository, where the administrator of this machine works
	http  *http.Client
}

// errMissing is the answer 404.
var errMissing = errors.New("not found")

// get reads from the API.
func (c *client) get(ctx context.Context, path string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/api/v1"+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusNotFound:
		return errMissing
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("GET %s: %s: %s", path, resp.Status, bytes.TrimSpace(body))
	}
	return json.Unmarshal(body, out)
}

// poll reads from the API until what was read will do. A server that does not
// answer is asked again.
func (c *client) poll(ctx context.Context, path string, out any, enough func() bool) error {
	var last error
	err := until(ctx, c.clock, func() bool {
		last = c.get(ctx, path, out)
		return last == nil && enough()
	})
	if err != nil && last != nil {
		err = fmt.Errorf("%w; last answer: %w", err, last)
	}
	return err
}

// refusal is a command that ended with an error.
type refusal struct {
	command string
	code    int
	message string
}

func (r refusal) Error() string {
	return fmt.Sprintf("flyball %s: exit code %d: %s", r.command, r.code, r.message)
}

// as runs the flyball command as a person; nobody is the administrator of this
// machine, who has the token in the state directory.
func (c *client) as(ctx context.Context, who *person, out any, args ...string) error {
	cmd := exec.CommandContext(ctx, c.exe, append(args, "--output=json")...)
	cmd.Dir = c.dir
	cmd.Env = environment()
	if who != nil {
		cmd.Env = environment("FLYBALL_SERVER="+c.url, "FLYBALL_TOKEN="+who.token)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return refusal{strings.Join(args[:min(2, len(args))], " "), exit.ExitCode(), strings.TrimSpace(stderr.String())}
	}
	if err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(stdout.Bytes(), out); err != nil {
		return fmt.Errorf("flyball %s: %w in %q", strings.Join(args, " "), err, stdout.String())
	}
	return nil
}

// hire makes a token for a person.
func (c *client) hire(ctx context.Context, name, role, team string) (*person, error) {
	var created struct {
		Secret string `json:"secret"`
	}
	args := []string{"token", "create", "--name=user:" + name, "--role=" + role}
	if team != "" {
		args = append(args, "--team="+team)
	}
	err := c.as(ctx, nil, &created, args...)
	return &person{name: name, token: created.Secret}, err
}
