package outbound

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// special are the blocks of the IANA special-purpose registries (RFC 6890 and
// its successors) that net/netip has no predicate for. Those that embed an
// IPv4 address are here because it could be a private one.
var special = prefixes(
	"0.0.0.0/8",       // this network
	"100.64.0.0/10",   // shared by carriers
	"192.0.0.0/24",    // protocol assignments
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // 6to4 relays, deprecated
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"240.0.0.0/4",     // reserved, and broadcast
	"::/96",           // IPv4-compatible, deprecated
	"64:ff9b::/96",    // NAT64, embeds IPv4
	"64:ff9b:1::/48",  // local NAT64
	"100::/64",        // discard
	"2001::/23",       // protocol assignments, Teredo
	"2001:db8::/32",   // documentation
	"2002::/16",       // 6to4, embeds IPv4
	"3fff::/20",       // documentation
	"fec0::/10",       // site-local, deprecated
)

// metadata are the addresses at which clouds tell a machine its credentials and
// that are not link-local, so that no predicate finds them.
var metadata = prefixes(
	"fd00:ec2::254/128",      // AWS
	"fd20:ce::254/128",       // Google
	"fd00:c1::a9fe:a9fe/128", // Oracle
	"100.100.100.200/32",     // Alibaba
	"192.0.0.192/32",         // Oracle
	"168.63.129.16/32",       // Azure: a public address that answers on its machines only
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func within(a netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

var (
	nat64     = prefixes("64:ff9b::/96", "64:ff9b:1::/48", "::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

// embedded is the IPv4 address that a translator would make of an IPv6 address
// (RFC 6052, 3056); the address itself when it holds none.
func embedded(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	b := a.As16()
	switch {
	case within(a, nat64):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

// Forbidden reports whether an address is one that nothing may be sent to,
// wherever it was declared: link-local, multicast, unspecified, or where a cloud
// keeps the credentials of its machines, also behind a translator of addresses.
func Forbidden(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	inner := embedded(a)
	for _, b := range []netip.Addr{a, inner} {
		if b.IsLinkLocalUnicast() || b.IsMulticast() || within(b, metadata) {
			return true
		}
	}
	return a.IsUnspecified()
}

// Public reports whether an address is one of the open internet.
func Public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return a.IsGlobalUnicast() && !a.IsPrivate() && !within(a, special) && !Forbidden(a)
}

// Declared reports whether an address may be reached for a target declared in
// git: what is public, this machine, or a private network.
func Declared(a netip.Addr) bool {
	a = a.Unmap()
	return Public(a) || (a.IsLoopback() || a.IsPrivate()) && !Forbidden(a)
}

// ErrAddress says that an address is none that may be connected to.
var ErrAddress = errors.New("is not an address that may be connected to")

// Control is for a net.Dialer: it sees the address that is about to be connected
// to, whatever the name was that led there, and refuses those that allowed does
// not report, with ErrAddress.
func Control(allowed func(netip.Addr) bool) func(network, address string, c syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		a, err := netip.ParseAddr(host)
		if err != nil {
			return err
		}
		if !allowed(a) {
			return fmt.Errorf("%s %w", a, ErrAddress)
		}
		return nil
	}
}

// Anywhere allows all that is not Forbidden: for probes and scrapes, which go
// only where files in git send them.
func Anywhere(a netip.Addr) bool { return !Forbidden(a) }
