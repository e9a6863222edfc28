// Package local runs workloads, splits traffic and reads counts on this host:
// the ports workload, traffic and measure, by way of an agent's admin socket.
//
// Client is that socket. Workloads, Router and Source are the ports; each wish
// is a compare-and-set on the agent's one desired document, written under the
// epoch of the server's lease, so that a server which has lost its lease is
// refused. Steps runs pipeline steps directly under package supervise and needs
// no agent.
package local
