// Package workload is the port to whatever runs programs: the local agent's
// supervised processes, or Kubernetes Deployments and Jobs.
//
// Two things are run. A Revision is a version of a service that should stay
// up: so many instances, each ready before it counts, restarted when it dies,
// drained when it goes. A step is a command of a pipeline that runs once, ends
// with an exit code and leaves its output.
//
// The contract, which workloadtest checks of every adapter:
//
//   - Every call says what is wanted, not what to do: Ensure, Remove, Restart,
//     Start and Cancel may be repeated with the same arguments, after any
//     crash, and take effect once. They return when the wish is durable, not
//     when it has come true; Observe tells how far it has come.
//   - What was ensured keeps running while the caller is down.
//   - Observe reports; it never changes anything. A revision that was never
//     ensured, or is entirely gone, is not listed.
//   - A revision past its readiness deadline is failed, with the reason and the
//     last lines it printed. It is still supervised and becomes ready if it
//     recovers: giving up is the caller's decision.
//   - A step is never run twice under one id. A step whose supervisor was lost
//     (a power cut, say) is Lost, not run again.
//
// Errors are problems: invalid for a bad argument, notfound for a reference
// that is not there, conflict for a wish that contradicts another, unavailable
// when the runtime cannot be reached (the same call may succeed later).
package workload
