// Package sqlite keeps a store in one SQLite file: the default, for one server
// on one machine.
//
// The file is in WAL mode with synchronous=FULL: a commit has been fsynced
// when it is acknowledged. One goroutine, the sequencer (writer.go), owns the
// only writing connection. It gathers the writes that wait (appends, saved
// states, leases, blobs), runs them in one transaction, and wakes all of them
// after one fsync. A write that is refused (a stale version, say) fails alone:
// every write checks first and changes after. Reads use a small pool of
// connections of their own and never wait for a writer.
//
// A file belongs to one server: a lock on FILE.lock keeps a second one out,
// and names the process that holds it. Read-only stores
// (flyball event verify-file) may be opened beside it.
//
// The driver is called directly (conn.go) rather than through database/sql,
// which halves the cost of reading an event, and keeps a caller's cancelled
// context from ever interrupting the writer.
package sqlite
