package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// resourceStream is where resources are applied.
const resourceStream = "resources"

// applied remembers what was applied at a start, so that the next start need not
// read and compare ten thousand resources of which none has changed. It is a
// hint: without it, everything is read.
type applied struct {
	file string // in the state directory
	mark string // of the program, and of the files and where they are from
}

// appliedFrom makes the mark of files. Another program may read the same files
// otherwise.
func appliedFrom(state, dir, commit string, files map[string][]byte) applied {
	h := sha256.New()
	if path, err := os.Executable(); err == nil {
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintf(h, "%d %d\n", info.Size(), info.ModTime().UnixNano())
		}
	}
	fmt.Fprintf(h, "%q %q\n", dir, commit)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%q %x\n", name, sha256.Sum256(files[name]))
	}
	return applied{file: filepath.Join(state, "applied"), mark: hex.EncodeToString(h.Sum(nil))}
}

// line is what the file says once the files are applied and nothing else was.
func (p applied) line(ctx context.Context, a *App) (string, error) {
	version, err := a.log.Version(ctx, resourceStream)
	return fmt.Sprintf("%s %d\n", p.mark, version), err
}

// still reports whether the files are applied, and nothing has been since.
func (p applied) still(ctx context.Context, a *App) (bool, error) {
	was, err := os.ReadFile(p.file)
	if err != nil {
		return false, nil
	}
	line, err := p.line(ctx, a)
	return string(was) == line, err
}

// note remembers that the files were applied just now.
func (p applied) note(ctx context.Context, a *App) error {
	line, err := p.line(ctx, a)
	if err != nil {
		return err
	}
	return os.WriteFile(p.file, []byte(line), 0o600)
}
