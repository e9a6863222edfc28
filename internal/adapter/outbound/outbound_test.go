package outbound_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/flyball-dev/flyball/internal/adapter/outbound"
)

func TestAddresses(t *testing.T) {
	for address, want := range map[string][2]bool{ // public, declared
		"8.8.8.8":                {true, true},
		"2606:4700::1111":        {true, true},
		"127.0.0.1":              {false, true},
		"::1":                    {false, true},
		"::ffff:127.0.0.1":       {false, true},
		"10.1.2.3":               {false, true},
		"172.31.0.1":             {false, true},
		"172.32.0.1":             {true, true},
		"192.168.0.1":            {false, true},
		"fd00::1":                {false, true},
		"169.254.169.254":        {false, false},
		"::ffff:169.254.169.254": {false, false},
		"fe80::1%eth0":           {false, false},
		"100.64.0.1":             {false, false},
		"0.0.0.0":                {false, false},
		"::":                     {false, false},
		"224.0.0.1":              {false, false},
		"255.255.255.255":        {false, false},
		"64:ff9b::7f00:1":        {false, false},
		"2002:7f00:1::":          {false, false},
		"::7f00:1":               {false, false},
		"2001:db8::1":            {false, false},
		"2001:0:4136:e378::":     {false, false},
		"198.19.255.255":         {false, false},
		"fd00:ec2::254":          {false, false},
		"fd20:ce::254":           {false, false},
		"100.100.100.200":        {false, false},
		"192.0.0.192":            {false, false},
		"168.63.129.16":          {false, false},
	} {
		a := netip.MustParseAddr(address)
		if got := [2]bool{outbound.Public(a), outbound.Declared(a)}; got != want {
			t.Errorf("%s: public, declared = %v, want %v", address, got, want)
		}
	}
}

// What is forbidden is so for everybody, also behind a translator of addresses.
func TestForbidden(t *testing.T) {
	for address, want := range map[string]bool{
		"169.254.169.254": true, "fe80::1": true, "::ffff:169.254.169.254": true, "224.0.0.1": true, "0.0.0.0": true, "::": true,
		"fd00:ec2::254": true, "fd20:ce::254": true, "100.100.100.200": true, "192.0.0.192": true, "168.63.129.16": true,
		"64:ff9b::169.254.169.254": true, "64:ff9b::100.100.100.200": true, "64:ff9b::c000:c0": true, "64:ff9b:1::a9fe:a9fe": true,
		"2002:a9fe:a9fe::1": true, "::169.254.169.254": true,
		"127.0.0.1": false, "::1": false, "10.0.0.1": false, "fd00::1": false, "100.64.0.1": false, "8.8.8.8": false,
		"64:ff9b::8.8.8.8": false, "192.0.2.1": false, "fd00:ec2::253": false,
	} {
		a := netip.MustParseAddr(address)
		if got := outbound.Forbidden(a); got != want || outbound.Anywhere(a) == want {
			t.Errorf("%s: forbidden %t, want %t", address, got, want)
		}
	}
}

func TestControl(t *testing.T) {
	d := net.Dialer{Control: outbound.Control(outbound.Anywhere)}
	for _, address := range []string{"169.254.169.254:80", "100.100.100.200:80", "[fd00:ec2::254]:80", "[64:ff9b::a9fe:a9fe]:80"} {
		if c, err := d.DialContext(context.Background(), "tcp", address); !errors.Is(err, outbound.ErrAddress) {
			t.Errorf("%s: %v, %v", address, c, err)
		}
	}
}
