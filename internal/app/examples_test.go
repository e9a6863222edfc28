package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// The example of channels is valid, and has every kind of them.
func TestChannelsExample(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", "channels", "channels.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	set, findings := resource.Load(Kinds(), map[string][]byte{"channels.yaml": text})
	if set == nil || len(findings) > 0 {
		t.Fatal(findings)
	}
	push := must(pushKey(t.TempDir()))
	for kind := range notifiers(nil, push) {
		found := kind == "webhook"
		for _, o := range set.All() {
			if s, ok := o.Spec.(*channel.Spec); ok && s.Kind() == kind {
				found = true
			}
		}
		if !found {
			t.Errorf("the example has no channel of kind %s", kind)
		}
	}
}

// Keys are made once and kept for the server alone.
func TestKeys(t *testing.T) {
	dir := t.TempDir()
	first, second := must(actKey(dir)), must(actKey(dir))
	if len(first) != actKeySize || string(first) != string(second) {
		t.Error("the key of links changes")
	}
	if a, b := must(pushKey(dir)), must(pushKey(dir)); !a.Equal(b) {
		t.Error("the key of push changes")
	}
	for _, name := range []string{"act.key", "push.key"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	t.Setenv("FLYBALL_TEST_SECRET_FILE", filepath.Join(dir, "secret"))
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if v, ok := secret("FLYBALL_TEST_SECRET"); !ok || v != "s3cret" {
		t.Errorf("a secret in a file: %q", v)
	}
	for address, ok := range map[string]bool{"https://f.example.com": true, "http://f.example.com:8080/": true, "f.example.com": false, "ftp://x": false, "https://a:b@x": false, "https://x?y": false} {
		if _, err := publicURL(address); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
