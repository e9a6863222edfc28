package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"
)

// Tree is the parsed source of a repository.
type Tree struct {
	Files []*File
	fset  *token.FileSet
}

// File is one Go file.
type File struct {
	Path    string // below the root, with slashes
	Dir     string // folder, which is the package's path
	Test    bool   // its name ends in _test.go
	Source  []byte
	AST     *ast.File
	Imports []Import
}

// Import is one import of a file.
type Import struct {
	Path string
	Line int
}

// Finding is one breach of a rule.
type Finding struct {
	Where string // FILE:LINE or a folder
	What  string
}

// String is the finding on one line.
func (f Finding) String() string { return f.Where + ": " + f.What }

// Load parses every Go file below a root, testdata and hidden folders apart.
func Load(root fs.FS) (*Tree, error) {
	t := &Tree{fset: token.NewFileSet()}
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipped(d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(p) != ".go" {
			return nil
		}
		source, err := fs.ReadFile(root, p)
		if err != nil {
			return err
		}
		f, err := t.parse(p, source)
		if err != nil {
			return err
		}
		t.Files = append(t.Files, f)
		return nil
	})
	return t, err
}

// skipped reports whether a folder holds nothing that is built here.
func skipped(name string) bool {
	switch name {
	case "testdata", "vendor", "node_modules", "dist", "bin":
		return true
	}
	return len(name) > 1 && strings.HasPrefix(name, ".")
}

func (t *Tree) parse(p string, source []byte) (*File, error) {
	parsed, err := parser.ParseFile(t.fset, p, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	f := &File{Path: p, Dir: path.Dir(p), Test: strings.HasSuffix(p, "_test.go"), Source: source, AST: parsed}
	for _, i := range parsed.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return nil, err
		}
		f.Imports = append(f.Imports, Import{Path: name, Line: t.line(i.Pos())})
	}
	return f, nil
}

func (t *Tree) line(p token.Pos) int { return t.fset.Position(p).Line }

// at is where a node stands.
func (t *Tree) at(p token.Pos) string {
	q := t.fset.Position(p)
	return q.Filename + ":" + strconv.Itoa(q.Line)
}

// proves reports whether a file is only there to test: a test, or part of a
// conformance suite.
func (f *File) proves() bool { return f.Test || strings.HasSuffix(f.Dir, "test") }

// code lists the files that are not tests.
func (t *Tree) code() []*File {
	var out []*File
	for _, f := range t.Files {
		if !f.Test {
			out = append(out, f)
		}
	}
	return out
}

// packages lists the folders that hold code, in order.
func (t *Tree) packages() []string {
	seen := map[string]bool{}
	var out []string
	for _, f := range t.code() {
		if !seen[f.Dir] {
			seen[f.Dir] = true
			out = append(out, f.Dir)
		}
	}
	sort.Strings(out)
	return out
}

// within reports whether a folder is another one or lies below it.
func within(dir, room string) bool { return dir == room || strings.HasPrefix(dir, room+"/") }
