// Package house holds the order of the code: which part may know which, and
// why. The rules are data (rules.go), and three things are made from them:
//
//   - the tests of this package, which every change must pass. They read the
//     source of the whole repository (tree.go) and check what imports what
//     (imports.go), what each package and file is like (source.go), that one
//     noun names the same thing everywhere (nouns.go), that every field people
//     write in files is described (fields.go), and that no page links to
//     something that is not there (links.go);
//   - the list in ARCHITECTURE.md, written by go run ./internal/house/architecture
//     (architecture.go), which therefore cannot drift from what is checked;
//   - the answer to a newcomer's "may I import this here?": the reason stands
//     beside each rule.
//
// Nothing in Flyball imports this package. A rule that stands in the way of
// something good is changed here, with its reason, in the same commit.
package house
