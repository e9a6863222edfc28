package operation

// Page is the output of a list: a bounded part, and the cursor of the next,
// which is empty at the end.
type Page[T any] struct {
	Items []T    `json:"items" doc:"this page of the list"`
	Next  string `json:"next,omitempty" doc:"cursor of the next page, for after; absent at the end"`
}

// An output may implement the interfaces below to say how people see it; a
// terminal otherwise shows its fields. JSON is always the whole output.

// Table is an output, or an item of a Page, shown as aligned columns.
type Table interface {
	Header() []string
	Rows() [][]string
}

// Teller is an output told in a few plain lines.
type Teller interface{ Tell() string }

// Threshold is an output that answers a question of yes or no: a command whose
// output is not Met exits with 4.
type Threshold interface{ Met() bool }

// Blocker is an output that may say that policy forbids something for now: a
// command whose output is Blocked exits with 3.
type Blocker interface{ Blocked() bool }
