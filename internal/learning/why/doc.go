// Package why answers for every automatic decision, from the log alone: what
// was decided, by which rule, on what evidence, caused by what, back to the
// commit. It recomputes each verdict from the inputs stored with it and says
// whether the same one comes out.
package why
