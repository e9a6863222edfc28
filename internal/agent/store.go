package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/flyball-dev/flyball/internal/agent/contract"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// store keeps the desired document. It is not safe for concurrent use.
type store struct {
	path string
	doc  contract.Document
	text []byte // of doc, as on disk
}

// openStore reads the document; without one, generation 0 is in effect, which
// wants nothing.
func openStore(dir string) (*store, error) {
	s := &store{path: filepath.Join(dir, "desired.json")}
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &s.doc); err != nil {
		return nil, problem.New(problem.Internal, "agent.start", "%s is damaged: %w", s.path, err).
			WithNext("what runs keeps running; restore the file, or remove it and let the server write it anew")
	}
	s.text = text
	return s, nil
}

// put makes doc the document in effect, durably, and reports whether that
// changed anything.
func (s *store) put(doc contract.Document) (changed bool, err error) {
	const op = "agent.desired"
	text, err := json.Marshal(doc)
	if err != nil {
		return false, err
	}
	now := s.doc
	switch {
	case bytes.Equal(text, s.text):
		return false, nil
	case doc.Epoch < now.Epoch:
		return false, problem.New(problem.Conflict, op, "epoch %d is over; epoch %d is in effect", doc.Epoch, now.Epoch).
			WithNext("another server leads; this one must get a new lease before it writes again")
	case doc.Generation != now.Generation+1:
		return false, problem.New(problem.Conflict, op, "generation %d does not follow generation %d, which is in effect", doc.Generation, now.Generation).
			WithNext("read the document again and repeat the change on it")
	}
	if err := writeDurably(s.path, text); err != nil {
		return false, problem.New(problem.Unavailable, op, "the document could not be stored and is not in effect: %w", err)
	}
	s.doc, s.text = doc, text
	return true, nil
}

// writeDurably replaces a file; a crash leaves the old content or the new, and
// the new is on disk on return.
func writeDurably(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once renamed
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
