package house

import (
	"fmt"
	"go/ast"
	"go/scanner"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// CheckClock reports calls of the wall clock outside the clock's own package.
// Tests are free: they wait for real processes.
func CheckClock(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.code() {
		if !within(f.Dir, "internal") || within(f.Dir, ClockRoom) {
			continue
		}
		name := importName(f, "time")
		ast.Inspect(f.AST, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || name == "" {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && x.Name == name && slices.Contains(WallClock, s.Sel.Name) {
				out = append(out, Finding{t.at(s.Pos()), "time." + s.Sel.Name + " reads the wall clock; take a clock.Clock, or the moment as an argument"})
			}
			return true
		})
		if name == "." {
			out = append(out, Finding{t.at(f.AST.Package), "a dot import of time hides the wall clock"})
		}
	}
	return out
}

// importName is the name by which a file knows a package, or nothing.
func importName(f *File, imported string) string {
	for i, known := range f.Imports {
		if known.Path == imported {
			if n := f.AST.Imports[i].Name; n != nil {
				return n.Name
			}
			return path.Base(imported)
		}
	}
	return ""
}

// CheckInit reports functions that run by being imported.
func CheckInit(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Files {
		for _, d := range f.AST.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				out = append(out, Finding{t.at(fn.Pos()), "init runs by being imported; list what there is in internal/app/house.go"})
			}
		}
	}
	return out
}

// CheckPackages reports packages with a name that says nothing, with a folder
// named otherwise, or without a comment a newcomer would thank for.
func CheckPackages(t *Tree) []Finding {
	var out []Finding
	for _, dir := range t.packages() {
		name, comment := "", ""
		for _, f := range t.code() {
			if f.Dir != dir {
				continue
			}
			name = f.AST.Name.Name
			if f.AST.Doc != nil {
				comment += f.AST.Doc.Text()
			}
		}
		if slices.Contains(NoNames, name) || slices.Contains(NoNames, path.Base(dir)) {
			out = append(out, Finding{dir, "the name " + name + " says nothing of what is inside"})
		}
		if name != "main" && name != path.Base(dir) {
			out = append(out, Finding{dir, "package " + name + " lies in a folder of another name"})
		}
		if n := sentences(comment); n < 2 && name != "main" || n < 1 {
			out = append(out, Finding{dir, fmt.Sprintf("its package comment has %d sentences; say what it is, and how it works or what to read first", n)})
		}
	}
	return out
}

// sentences counts sentences: what ends in a full stop, a colon before a
// list, or a question mark, followed by a space, a line or the end.
func sentences(text string) int {
	n := 0
	words := strings.Fields(text)
	for _, w := range words {
		if strings.HasSuffix(w, ".") || strings.HasSuffix(w, "?") || strings.HasSuffix(w, ":") || strings.HasSuffix(w, ".)") {
			n++
		}
	}
	return n
}

// CheckSize reports files and interfaces that have grown too large, and a
// kernel that has.
func CheckSize(t *Tree) []Finding {
	var out []Finding
	kernel := 0
	for _, f := range t.Files {
		if n := strings.Count(string(f.Source), "\n"); n > FileLines {
			out = append(out, Finding{f.Path, fmt.Sprintf("%d lines; at most %d: give its parts files of their own", n, FileLines)})
		}
		if !f.Test && within(f.Dir, "internal/kernel") {
			kernel += codeLines(f.Source)
		}
		if !f.Test {
			out = append(out, largeInterfaces(t, f)...)
		}
	}
	if kernel >= KernelLines {
		out = append(out, Finding{"internal/kernel", fmt.Sprintf("%d lines of code; below %d: what only one subject needs belongs there", kernel, KernelLines)})
	}
	return out
}

// largeInterfaces reports interfaces that declare too many methods.
func largeInterfaces(t *Tree, f *File) []Finding {
	var out []Finding
	ast.Inspect(f.AST, func(n ast.Node) bool {
		s, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		i, ok := s.Type.(*ast.InterfaceType)
		if !ok {
			return true
		}
		methods := 0
		for _, m := range i.Methods.List {
			methods += len(m.Names)
		}
		if methods > InterfaceMethods {
			out = append(out, Finding{t.at(s.Pos()), fmt.Sprintf("interface %s declares %d methods; at most %d", s.Name.Name, methods, InterfaceMethods)})
		}
		return true
	})
	return out
}

// KernelSize is the number of lines of code of the kernel.
func KernelSize(t *Tree) int {
	n := 0
	for _, f := range t.code() {
		if within(f.Dir, "internal/kernel") {
			n += codeLines(f.Source)
		}
	}
	return n
}

// codeLines counts the lines that hold more than blanks and comments.
func codeLines(source []byte) int {
	fset := token.NewFileSet()
	file := fset.AddFile("", fset.Base(), len(source))
	var s scanner.Scanner
	s.Init(file, source, func(token.Position, string) {}, 0)
	n, last := 0, 0
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return n
		}
		if tok == token.SEMICOLON && text == "\n" {
			continue
		}
		first := file.Line(pos)
		end := first + strings.Count(text, "\n")
		n += end - max(first-1, last)
		last = max(last, end)
	}
}

// Events lists the values of all constants named Event… that name an event.
func Events(t *Tree) map[string]string {
	out := map[string]string{}
	for _, f := range t.code() {
		if !within(f.Dir, "internal") {
			continue
		}
		for _, d := range f.AST.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				for i, name := range v.Names {
					if text := constant(v, i); strings.HasPrefix(name.Name, "Event") && strings.Contains(text, ".") {
						out[text] = t.at(name.Pos())
					}
				}
			}
		}
	}
	return out
}

func constant(v *ast.ValueSpec, i int) string {
	if i >= len(v.Values) {
		return ""
	}
	lit, ok := v.Values[i].(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return text
}
