// Package load has small clients that watch a service from outside while
// something is done to it: HTTP at a constant rate, TCP connections that are
// held open, and UDP echoes. Each is bounded in count and time, counts what
// fails, and says how long answers took.
//
//	run, err := load.Start(ctx, &load.HTTP{URL: "http://10.210.0.11/", Rate: 200, KeepAlive: true})
//	… deploy …
//	report := run.Stop()
//	if report.Failed > 0 { t.Error(report) }
//
// The rate is open: request n is due n/rate after the start whether or not the
// ones before it are answered, and its latency counts from when it was due. A
// server that stalls is thus seen in every request that it should have had.
//
// A target must be on the loopback or in a lab (10.210.0.0/16); there is no
// way to aim these clients at anything else.
package load

import (
	"fmt"
	"net"
	"net/netip"
)

var labs = netip.MustParsePrefix("10.210.0.0/16")

// own refuses an address that is not this machine's or a lab's: host:port,
// with an IP address or "localhost".
func own(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("reading the target's address: %w", err)
	}
	if host == "localhost" {
		return nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("reading the target's address: %w", err)
	}
	if !ip.IsLoopback() && !labs.Contains(ip) {
		return fmt.Errorf("%s is neither on the loopback nor in a lab", address)
	}
	return nil
}
