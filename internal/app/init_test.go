package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// init does not declare a service twice, nor a team or environment that other
// files of the repository declare.
func TestInitBesideWhatIsDeclared(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.write("Procfile", "web: ./serve\n")
	y.write("flyball/shop.yaml", "apiVersion: flyball.dev/v1\nkind: Service\nmetadata: {name: web}\nspec: {team: owners, run: ./web}\n---\napiVersion: flyball.dev/v1\nkind: Team\nmetadata: {name: owners}\nspec: {}\n---\napiVersion: flyball.dev/v1\nkind: Environment\nmetadata: {name: staging}\nspec: {}\n")
	_, errs, code := y.run("init", "--name", "web", "--run", "./serve")
	if code == 0 {
		t.Error("a second declaration of the same service was written")
	}
	y.says(errs, "flyball/shop.yaml:1", "declares the service web already", "next:", "flyball validate flyball/")
	target := filepath.Join(y.dir, "flyball", "service.yaml")
	if _, err := os.Stat(target); err == nil {
		t.Fatal("flyball/service.yaml was written all the same")
	}

	if _, errs, code = y.run("init", "--name", "api", "--run", "./serve", "--traffic", "20/s"); code != 0 {
		t.Fatalf("another service: exit code %d: %s", code, errs)
	}
	y.says(errs, "api in staging: a healthy change takes about", "one that fails every request is taken back after")
	text, err := os.ReadFile(target)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(text); strings.Contains(s, "kind: Team") || strings.Contains(s, "kind: Environment") {
		t.Errorf("declared again:\n%s", s)
	}
	if out, errs, code := y.run("validate", "flyball"); code != 0 {
		t.Errorf("validate: exit code %d: %s %s", code, out, errs)
	}
}

// A canary that cannot be convicted in the least times of its steps is said to be so.
func TestValidateWarnsOfCanariesThatCannotBeJudged(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.write("flyball/service.yaml", `apiVersion: flyball.dev/v1
kind: Service
metadata: {name: web}
spec: {team: owners, run: ./web, traffic: 1/s, rollout: {steps: [5%, 50%], stepDuration: 5s}}
---
{apiVersion: flyball.dev/v1, kind: Team, metadata: {name: owners}, spec: {}}
---
{apiVersion: flyball.dev/v1, kind: Environment, metadata: {name: prod}, spec: {}}
`)
	out, errs, code := y.run("validate", "flyball")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	y.says(out, "warning: web in prod: at this traffic even a change that fails every request cannot be proven worse", "2 × 5 s", "stepDuration")
}
