package cli

import (
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Table writes aligned columns to w, for hand-written commands.
func (s *Session) Table(header []string, rows [][]string) { view{s.Out, s.Colour}.table(header, rows) }

// table writes columns two spaces apart, by the width they have on a screen.
// Colour is added where a cell begins with a word for a state.
func (p view) table(header []string, rows [][]string) {
	all := rows
	if len(header) > 0 {
		all = append([][]string{header}, rows...)
	}
	var widths []int
	for _, row := range all {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], Width(tidy(cell)))
		}
	}
	for n, row := range all {
		var b strings.Builder
		for i, cell := range row {
			cell = tidy(cell)
			b.WriteString(p.paint(cell, n == 0 && len(header) > 0))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-Width(cell)+2))
			}
		}
		fmt.Fprintln(p.w, strings.TrimRight(b.String(), " "))
	}
}

// tidy keeps a cell's indentation and makes the rest one clean line.
func tidy(cell string) string {
	return strings.Repeat(" ", len(cell)-len(strings.TrimLeft(cell, " "))) + line(cell)
}

// Width is how many columns text takes on a terminal: wide and full-width
// runes two (Unicode Standard Annex 11), combining marks and joiners none.
func Width(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		default:
			n++
			if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
				n++
			}
		}
	}
	return n
}

const (
	good  = "32" // green
	risk  = "33" // yellow
	bad   = "31" // red
	faint = "2"
)

// states are the words that colour repeats.
var states = map[string]string{
	"healthy": good, "ok": good, "success": good, "succeeded": good, "promoted": good, "ready": good, "resolved": good, "plentiful": good, "pass": good, "sound": good, "on": good,
	"holding": risk, "hold": risk, "held": risk, "low": risk, "waiting": risk, "wait": risk, "awaiting": risk, "paused": risk, "running": risk, "canary": risk, "acknowledged": risk, "warning": risk,
	"failed": bad, "failure": bad, "frozen": bad, "blocked": bad, "exhausted": bad, "rolled": bad, "back": bad, "aborted": bad, "firing": bad, "open": bad, "fail": bad, "denied": bad, "error": bad,
}

func (p view) paint(cell string, heading bool) string {
	if !p.colour {
		return cell
	}
	if heading {
		return "\x1b[" + faint + "m" + cell + "\x1b[0m"
	}
	word := cell
	if i := strings.IndexFunc(cell, func(r rune) bool { return !unicode.IsLetter(r) }); i >= 0 {
		word = cell[:i]
	}
	if code, ok := states[strings.ToLower(word)]; ok {
		return "\x1b[" + code + "m" + cell + "\x1b[0m"
	}
	return cell
}
