//go:build !linux

package site

import "errors"

// exchange is not possible at once here.
func exchange(_, _ string) error { return errors.ErrUnsupported }
