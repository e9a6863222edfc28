// Package oncall says who is on call, and whom to page next while nobody
// answers.
//
// A Schedule is layers of rotations, each in the local time of a zone. Who is
// on call is arithmetic on what the clocks on the wall show, and only its
// results are mapped to instants: a start takes the first instant at which the
// clocks can show it, an end the last. So when clocks change, shifts overlap and
// never leave a gap (package time alone gives 01:30 or 03:30 for a 02:30 that
// does not exist, without saying which).
//
// A tour: resource.go has the kinds and value.go their values; zone.go maps
// local time to instants; rotation.go turns one layer into shifts, shift.go puts
// the layers together, coverage.go looks for holes; file.go reads plain files;
// ical.go and icalread.go write and read calendars (RFC 5545). events.go and
// state.go are overrides and swaps, operations.go what people do. policy.go is
// the kind EscalationPolicy, standing.go finds whom one would page now, and
// decide.go whom to page next; package incident pages them.
package oncall
