// Package calendar feeds the shifts of schedules to calendar programs, as
// iCalendar (RFC 5545) at /calendars/SCHEDULE.ics.
//
// Such programs subscribe to an address and can send a password at most: the
// token is the password of HTTP's basic authentication, whatever the user. A
// bearer token and the login cookie do too, as everywhere.
package calendar
