//go:build !linux

package ocilayout

import "syscall"

// syncTree makes all that was written below dir durable.
func syncTree(string) error { return syscall.Sync() }
