// Package sitetest is the suite that every site.Host passes, tried on the real
// thing: what readers of the target get.
package sitetest

import (
	"bytes"
	"maps"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/site"
)

// Fixture is a host with a target that is empty at first.
type Fixture struct {
	Host   site.Host
	Target site.Target
	// Read is what readers of the target get.
	Read func() site.Files
	// Keeps says that what a site no longer has stays: the host cannot list.
	Keeps bool
	// Nowhere is a target that cannot be reached.
	Nowhere site.Target
	// Foreign puts something into a target that was not published; nil where
	// that does no harm.
	Foreign func()
}

// Run runs the suite.
func Run(t *testing.T, fixture func(t *testing.T) Fixture) {
	first := site.Files{"index.html": []byte("<p>one"), "style.css": []byte("p{}"), "notices/n1.html": []byte("<p>ä\n"), "empty.txt": {}}
	second := site.Files{"index.html": []byte("<p>two"), "style.css": []byte("p{}"), "notices/n2.html": []byte("<p>2")}
	publish := func(t *testing.T, f Fixture, files site.Files) site.Receipt {
		t.Helper()
		r, err := f.Host.Publish(t.Context(), f.Target, files)
		if err != nil {
			t.Fatal(err)
		}
		if r.Files != len(files) {
			t.Errorf("the receipt says %d files of %d", r.Files, len(files))
		}
		return r
	}
	same := func(t *testing.T, got, want site.Files) {
		t.Helper()
		if !maps.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("readers get %q, want %q", got, want)
		}
	}
	t.Run("what is published is read", func(t *testing.T) {
		f := fixture(t)
		publish(t, f, first)
		same(t, f.Read(), first)
		publish(t, f, second)
		want := maps.Clone(second)
		if f.Keeps {
			for name, data := range first {
				if _, ok := want[name]; !ok {
					want[name] = data
				}
			}
		}
		same(t, f.Read(), want)
	})
	t.Run("again changes nothing", func(t *testing.T) {
		f := fixture(t)
		one := publish(t, f, first)
		two := publish(t, f, first)
		if !f.Keeps && (two.Written != 0 || two.Version != one.Version) {
			t.Errorf("the second time: %+v, after %+v", two, one)
		}
		same(t, f.Read(), first)
	})
	t.Run("bad paths are refused", func(t *testing.T) {
		f := fixture(t)
		for _, name := range []string{"../x", "/x", "a//b", "", ".git/config", "a\\b", "a/../../b"} {
			if _, err := f.Host.Publish(t.Context(), f.Target, site.Files{name: nil}); problem.KindOf(err) != problem.Invalid {
				t.Errorf("%q: %v", name, err)
			}
		}
		if _, err := f.Host.Publish(t.Context(), f.Target, nil); problem.KindOf(err) != problem.Invalid {
			t.Errorf("nothing: %v", err)
		}
	})
	t.Run("nowhere", func(t *testing.T) {
		f := fixture(t)
		_, err := f.Host.Publish(t.Context(), f.Nowhere, first)
		if k := problem.KindOf(err); k != problem.Unavailable {
			t.Errorf("%s: %v", k, err)
		}
	})
	t.Run("what is not ours stays", func(t *testing.T) {
		f := fixture(t)
		if f.Foreign == nil {
			t.Skip("it does no harm there")
		}
		f.Foreign()
		before := f.Read()
		if _, err := f.Host.Publish(t.Context(), f.Target, first); problem.KindOf(err) != problem.Conflict {
			t.Errorf("over what is not ours: %v", err)
		}
		same(t, f.Read(), before)
	})
}
