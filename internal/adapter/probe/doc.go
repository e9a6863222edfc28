// Package probe makes checks over the network from this machine: port/probe's
// adapter. probe.go has what all protocols share (time, addresses, what is our
// own fault); http.go, tcp.go, dns.go and grpc.go one protocol each.
package probe
