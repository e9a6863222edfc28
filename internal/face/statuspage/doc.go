// Package statuspage turns a status page (internal/feedback/status) into files
// that any web server can serve: plain HTML and CSS without a script, feeds and
// JSON, in one folder with relative links.
//
// The same facts give the same bytes, so that a file's ETag changes only when
// what it says does; no page says when it was written, but up to when uptime was
// counted, which is the last full hour. What is in the files is what
// status.View has, which holds nothing that is not meant for everybody.
//
// Beside the pages there are an Atom feed (RFC 4287) and a calendar (RFC 5545)
// of everything and of each component; the JSON of Statuspage's API, version 2,
// at its own paths below api/v2/, so that existing clients can read it; and the
// days behind the bars as uptime.json.
//
// handler.go serves the same files at /status/PAGE/, to everybody.
package statuspage
