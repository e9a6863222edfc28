// Package sheet writes answers as CSV, for spreadsheets and scripts.
//
// The form is RFC 4180: lines end in CRLF, a field with a comma, a quote or a
// line break is quoted, quotes are doubled. The first line names the columns by
// the fields' names in JSON. Numbers are plain decimals with a point, times are
// RFC 3339, what is not known is empty.
//
// Spreadsheets take text that begins with =, +, -, @, a tab or a carriage
// return for a formula, whoever wrote it (OWASP, "CSV Injection"). Such text
// gets an apostrophe in front, which spreadsheets do not show; numbers stay as
// they are.
package sheet
