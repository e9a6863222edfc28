// Package web is the face for browsers: pages rendered on the server that work
// without JavaScript for reading, and stay up to date with it.
//
// Each page answers its question in its first line, in words, then shows the
// picture, then the facts. A page reads states and events; whatever it changes
// goes through an operation, with the caller's own permission and audited like
// any other call.
//
// A tour:
//
//   - web.go has the Options, the routes and the headers; visit.go is one
//     request on its way to a page or an error.
//   - now.go, service.go, change.go, rollout.go, objective.go, incident.go,
//     insight.go, policy.go, audit.go, why.go and search.go are the pages, one
//     file and one template for each noun.
//   - form.go makes a page for every operation from its declaration, and takes
//     what the forms on other pages send.
//   - format.go writes numbers, shares and times for people; tone.go gives each
//     state its word, icon and colour; chart.go and svg.go draw.
//   - templates/ and static/ are embedded. static/third_party holds htmx
//     (0BSD) and uPlot (MIT), unchanged, with their licences.
//
// The Content-Security-Policy allows this server's own files and nothing else:
// no inline script or style, no eval, no other host.
package web
