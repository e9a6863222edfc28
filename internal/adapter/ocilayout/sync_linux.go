package ocilayout

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncTree makes all that was written below dir durable: one call for the file
// system rather than one for each of what may be many small files.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
