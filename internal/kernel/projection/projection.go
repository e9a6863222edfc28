// Package projection computes what is shown from what happened.
//
// A projection is keyed: Keys says which states an event touches, and Apply
// folds the event into each. States, their declared indexes and the cursor are
// stored in one transaction, so that ten million events need neither memory
// nor a replay at start. Folding one event at a time and folding everything
// from scratch give the same states; Equal in this package's tests, and in
// those of every subject, says so. A projection stops on an error rather than
// skip an event: a wrong number is worse than none.
package projection

import (
	"context"
	"fmt"

	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// Projection is a fold of the log into keyed states. Make one with Define.
type Projection struct {
	Name    string   // unique, such as "rollout"
	Version int      // raise it when the fold changes: the states are rebuilt
	Types   []string // event types or prefixes it folds, as in event.Query

	keys    func(event.Event) []string
	apply   func(key string, state any, e event.Event) (any, error)
	decode  func([]byte) (any, error)
	indexes func(key string, state any) []Index
}

// Index makes states findable: List by name and value, in order of Sort.
type Index struct {
	Name  string // such as "service"
	Value string // such as "checkout"
	Sort  string // order within the value; equal sorts fall back to the key
}

// Fold is what a subject declares about its state of type S.
type Fold[S any] struct {
	Name    string
	Version int
	Types   []string
	// Keys names the states an event touches; none skips it.
	Keys func(event.Event) []string
	// Apply is pure: the state after the event. It must not keep or change
	// anything reachable from the state it was given other than by returning it.
	Apply func(key string, state S, e event.Event) (S, error)
	// Indexes of a state; may be nil.
	Indexes func(key string, state S) []Index
}

// Define makes a Projection from a typed fold.
func Define[S any](f Fold[S]) *Projection {
	p := &Projection{Name: f.Name, Version: f.Version, Types: f.Types, keys: f.Keys}
	p.apply = func(key string, state any, e event.Event) (any, error) {
		s, _ := state.(S)
		return f.Apply(key, s, e)
	}
	p.decode = func(b []byte) (any, error) {
		var s S
		if len(b) == 0 {
			return s, nil
		}
		err := event.Unmarshal(b, &s)
		return s, err
	}
	p.indexes = func(key string, state any) []Index {
		if f.Indexes == nil {
			return nil
		}
		return f.Indexes(key, state.(S))
	}
	return p
}

// Keys names the states an event touches, none when its type is not folded.
func (p *Projection) Keys(e event.Event) []string {
	if !event.Matches(p.Types, e.Type) {
		return nil
	}
	return p.keys(e)
}

// Row is one stored state.
type Row struct {
	Key     string
	State   []byte // JSON
	Indexes []Index
}

// Filter selects rows of one projection.
type Filter struct {
	Index  string // empty: all rows in order of key
	Value  string // value of the index
	After  string // cursor returned by the page before
	Limit  int    // at most this many, 0 is 100, never more than MaxPage
	Newest bool   // descending order
}

// MaxPage is the most rows a page holds.
const MaxPage = 1000

// Page is a bounded part of a list.
type Page struct {
	Rows []Row
	Next string // cursor of the next page, empty at the end
}

// Store keeps states. Implementations are safe for concurrent use, by several
// processes where the store behind allows it. Callers must not change the
// bytes they are given.
type Store interface {
	// Cursor is the position a projection has folded up to. When the stored
	// version differs from the one given, all its states are dropped first and
	// the answer is 0.
	Cursor(ctx context.Context, name string, version int) (int64, error)
	// Load returns the stored states of the keys; absent ones are left out.
	Load(ctx context.Context, name string, keys []string) (map[string][]byte, error)
	// Save stores rows and moves the cursor, in one transaction. It fails with
	// problem.Conflict when the stored cursor or version is another one: then
	// somebody else has folded meanwhile.
	Save(ctx context.Context, name string, m Move, rows []Row) error
	// List returns a page of rows, with Key and State. It fails with
	// problem.Invalid when the filter's cursor is not one it returned.
	List(ctx context.Context, name string, f Filter) (Page, error)
	// Replace drops a projection's states and gives it those of another, with
	// cursor and version, in one transaction; the other is gone afterwards.
	Replace(ctx context.Context, name, by string) error
}

// Move is a step of a projection's cursor.
type Move struct {
	Version  int   // of the projection
	From, To int64 // positions folded up to, before and after
}

// Reader reads states at one moment, live or past.
type Reader interface {
	Load(ctx context.Context, name string, keys []string) (map[string][]byte, error)
	List(ctx context.Context, name string, f Filter) (Page, error)
}

// Get reads one state. ok is false when nothing was folded for the key.
func Get[S any](ctx context.Context, r Reader, name, key string) (state S, ok bool, err error) {
	m, err := r.Load(ctx, name, []string{key})
	if err != nil {
		return state, false, err
	}
	b, ok := m[key]
	if !ok {
		return state, false, nil
	}
	if err := event.Unmarshal(b, &state); err != nil {
		return state, false, fmt.Errorf("projection %s, key %s: %w", name, key, err)
	}
	return state, true, nil
}

// List reads a page of states and the cursor of the next.
func List[S any](ctx context.Context, r Reader, name string, f Filter) (states []S, next string, err error) {
	page, err := r.List(ctx, name, f)
	if err != nil {
		return nil, "", err
	}
	states = make([]S, len(page.Rows))
	for i, row := range page.Rows {
		if err := event.Unmarshal(row.State, &states[i]); err != nil {
			return nil, "", fmt.Errorf("projection %s, key %s: %w", name, row.Key, err)
		}
	}
	return states, page.Next, nil
}
