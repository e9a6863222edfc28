// Package agent is the local data plane: the process that keeps services
// running and their requests flowing on one host, whether or not anybody tells
// it to.
//
// What it should do is one contract.Document on disk. Everything else follows
// from that by a loop that may be killed at any instant:
//
//   - store.go keeps the document: compare-and-set, durable before acknowledged.
//   - lease.go lets the risky part of it lapse: a canary whose lease is not
//     renewed goes back to stable, without asking anybody.
//   - reconcile.go compares wanted with running: instances are started
//     (instance.go) under package supervise, which outlives the agent, become
//     ready (probe.go) and only then get traffic (table.go, package proxy);
//     unwanted ones lose their traffic, finish what they have and are ended.
//   - admin.go answers clients on a unix socket, as package contract says.
//   - spawn.go starts the agent itself as a supervised process, so that it comes
//     back by itself when it crashes and outlives the server that asked for it.
//
// Its directory, all of it readable by its user alone:
//
//	desired.json    the document
//	leases.json     how far each lease is
//	bins.spool      request counts nobody has acknowledged (package proxy)
//	agent.lock      held while an agent runs here
//	instances/SERVICE/ENVIRONMENT/REVISION/SLOT-ATTEMPT/
//	    instance.json   what this instance is
//	    ready           which process of it has proved ready
//	    …               the files of package supervise, output included
//	runs/N/         the agent's own supervised runs, with its log
package agent
