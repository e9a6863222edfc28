package agent

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Instances listen below the range from which Linux and macOS take the ports of
// outgoing connections, so that none of those gets in their way between two
// starts.
const (
	firstPort = 20_000
	lastPort  = 29_999
)

// freePort finds a loopback port that nobody listens on and no instance has,
// running or not.
func (a *agent) freePort() (int, error) {
	taken := map[int]bool{}
	for _, i := range a.instances {
		taken[i.Port] = true
	}
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if !taken[port] && portFree(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("found no free port between %d and %d", firstPort, lastPort)
}

// portFree tries on all addresses: an instance may listen on any.
func portFree(port int) bool {
	for _, host := range []string{"127.0.0.1", ""} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
