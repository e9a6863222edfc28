// Package traffic is the port to whatever splits requests between revisions of
// a service: the local agent's proxy, or a Gateway API HTTPRoute.
//
// The contract, which traffictest checks of every adapter:
//
//   - Shift replaces a service's whole split at once; there is never a moment
//     with half of the old and half of the new. It is durable on return, and
//     repeating it changes nothing but renews its lease.
//   - Weights are basis points (1/100 of a percent) and sum to 10,000. Over many
//     requests the shares are met closely; which request goes where is random.
//   - A split with a lease is risky by declaration. Unless refreshed it lapses:
//     all traffic goes to the stable revision, by the data plane's own act, even
//     when no control plane is alive. A lapse is final for that split: Refresh
//     is then a conflict, and only another Shift moves traffic again.
//   - Requests in flight on a revision whose share becomes zero are finished.
//
// Errors are problems, as in package workload.
package traffic
