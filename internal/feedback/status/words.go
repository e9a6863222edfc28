package status

import (
	"fmt"
	"strings"
)

// list is names as a phrase.
func list(names []string) string {
	switch n := len(names); {
	case n == 0:
		return "This service"
	case n == 1:
		return names[0]
	case n <= 4:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	default:
		return fmt.Sprintf("%s, %s and %d more", names[0], names[1], n-2)
	}
}

func verb(names []string, one, many string) string {
	if len(names) > 1 {
		return many
	}
	return one
}

// headline is the title of a notice in neutral words.
func headline(names []string, s State) string { return list(names) + ": " + s.Words() }

// sentence is the first update of a notice in neutral words.
func sentence(names []string, s State) string {
	is := list(names) + " " + verb(names, "is", "are")
	switch s {
	case Major:
		return is + " not available. We are looking into it."
	case Partial:
		return is + " not available to some: many requests fail. We are looking into it."
	default:
		return is + " slower or less reliable than usual. We are looking into it."
	}
}
