package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The binary carries the time zones: machines without them must read
// "Europe/Berlin" too.
func TestZonesAreBuiltIn(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Fields(string(out)), "time/tzdata") {
		t.Error("time/tzdata is not part of the binary")
	}
}
