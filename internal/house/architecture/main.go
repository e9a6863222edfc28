// Command architecture writes the list of rooms and rules into ARCHITECTURE.md.
// It is run from the root of the repository; a test says when it is due.
package main

import (
	"fmt"
	"os"

	"github.com/flyball-dev/flyball/internal/house"
)

func main() {
	if err := run("ARCHITECTURE.md"); err != nil {
		fmt.Fprintln(os.Stderr, "architecture:", err)
		os.Exit(1)
	}
}

func run(file string) error {
	tree, err := house.Load(os.DirFS("."))
	if err != nil {
		return err
	}
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := house.Rewrite(string(page), tree)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}
