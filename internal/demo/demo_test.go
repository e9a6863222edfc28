package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// limit is for a machine that is busy with other tests; alone, the story takes
// three minutes.
const limit = 12 * time.Minute

// TestDemoOnce builds the binary and has it tell the story: the test of the
// whole house at work.
func TestDemoOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("the story takes minutes")
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	dir := t.TempDir()
	binary := filepath.Join(dir, "flyball")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "../../cmd/flyball").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, binary, "demo", "--once", "-o", "json", "--dir", filepath.Join(dir, "demo"))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var r Report
	if bad := json.Unmarshal(stdout.Bytes(), &r); err != nil || bad != nil {
		t.Fatalf("%v, %v\n%s\n%s", err, bad, stderr.String(), stdout.String())
	}
	if !r.OK || r.Requests.FailedByFlyball != 0 || r.Requests.Total == 0 || len(r.Steps) != len((&teller{}).chapters()) {
		t.Errorf("%s", stdout.String())
	}
	if r.Requests.FailedByDependency == 0 || r.Requests.FailedByChange["bad change: errors"] == 0 || r.Requests.FailedByChange["bad change: hanging"] == 0 {
		t.Errorf("the faults were not felt: %s", r.Requests.Tell())
	}
	for name, raw := range map[string]json.RawMessage{"incident": r.Incident, "budget": r.Budget, "dora": r.DORA} {
		if len(raw) < 10 {
			t.Errorf("%s: %s", name, raw)
		}
	}
	if left := leftOver(t, dir); left != "" {
		t.Errorf("still running:\n%s", left)
	}
}

// leftOver lists processes whose command line names the directory.
func leftOver(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var left []byte
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err == nil && bytes.Contains(line, []byte(dir)) {
			left = append(append(left, bytes.ReplaceAll(line, []byte{0}, []byte{' '})...), '\n')
		}
	}
	return string(left)
}
