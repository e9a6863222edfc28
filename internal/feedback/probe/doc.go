// Package probe asks services from outside, again and again, whether they work,
// and counts each answer as one good or bad event that an objective can be
// about.
//
// What is asked, how often and what is expected is declared in git
// (resource.go). Desk.Tend (schedule.go) starts what is due, keeps what came of
// it by the minute (minutes.go), and feeds the objectives whose indicator is a
// probe (feed.go). A run that could not be made through a fault of our own is a
// gap, as is the time in which this server was down: neither good nor bad. Runs
// are signals: they are counted, not recorded in the log.
package probe
