package operation

// Limit is how many rows a page has: what was asked for, the standard number
// when nothing was, and never more than most.
func Limit(asked, standard, most int) int {
	if asked <= 0 {
		return standard
	}
	return min(asked, most)
}
