// Package supervise runs one command under one tiny process that outlives
// whoever asked for it.
//
// A run is a directory:
//
//	spec.json     what to run; written once, before anything starts
//	lock          held (POSIX record lock) by the supervisor while it lives
//	status.json   how it is; replaced atomically (write, fsync, rename, fsync)
//	output.log    what it prints; older parts are output.log.<first offset>
//	cancel        a wish to end it, with the reason
//	supervisor.log what went wrong in the supervisor itself; normally empty
//	home, tmp     HOME and TMPDIR, unless the spec says otherwise
//
// Start writes the spec and executes this same binary as "supervise DIR" in a
// session of its own, so that the death of server, agent or terminal does not
// reach it. Whoever comes later finds the run by its directory: the lock says
// whether the supervisor lives (a process id alone could have been recycled),
// the status says the rest. Two concurrent Starts may execute two supervisors,
// but only the holder of the lock acts, and only on a run that has not ended.
//
// The command gets a process group of its own, standard input from /dev/null
// and an environment made of the spec alone plus PATH, HOME and TMPDIR. To end
// it, the group gets SIGTERM and after the grace SIGKILL; when the command has
// ended, so is whatever it left behind. On Linux that includes descendants that
// left the group, and the command is killed when its supervisor is.
//
// A run without a restart policy happens at most once: if its supervisor is
// killed, it is lost and stays so. A run with one is restarted with exponential
// back-off, by its supervisor after a crash and by the next Start after the
// supervisor's own death.
package supervise
