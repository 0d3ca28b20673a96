package supervise

import (
	"bufio"
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"dray/pipeline"
	"dray/targets/runtime"
)

// diagnose says in words why nothing answers at the port of a container's
// check, as far as its listening sockets tell; otherwise it returns "".
func diagnose(c runtime.Container) string {
	check := c.Spec.Check
	if c.Pid == 0 || check == nil || check.Type == pipeline.CheckExec {
		return ""
	}
	var all []netip.AddrPort
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", c.Pid, table))
		if err != nil {
			continue // it has ended, or has no IPv6
		}
		all = append(all, readListeners(f)...)
		_ = f.Close() // only read
	}
	return explain(check.Port, all)
}

// explain compares the port that was asked for with the addresses that a
// container listens on.
func explain(port int, listeners []netip.AddrPort) string {
	var elsewhere []string
	hidden := ""
	for _, l := range listeners {
		switch {
		case int(l.Port()) != port:
			if !l.Addr().IsLoopback() {
				elsewhere = append(elsewhere, portText(int(l.Port())))
			}
		case l.Addr().IsLoopback():
			hidden = l.String()
		default:
			return "" // it does listen there: what it answers is its own affair
		}
	}
	slices.SortFunc(elsewhere, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	elsewhere = slices.Compact(elsewhere)
	switch {
	case hidden != "":
		return fmt.Sprintf("the container listens on %s only, which nothing outside it can reach; let it listen on 0.0.0.0:%d", hidden, port)
	case len(elsewhere) > 0:
		return fmt.Sprintf("the container listens on %s, not on %d", strings.Join(elsewhere, " and "), port)
	}
	return "the container listens on no TCP port"
}

// tcpListen is TCP_LISTEN of the kernel.
const tcpListen = "0A"

// readListeners reads the listening sockets of /proc/net/tcp or tcp6
// (proc_net_tcp.txt of the kernel's documentation). Lines that it does not
// understand are skipped.
func readListeners(r io.Reader) []netip.AddrPort {
	var list []netip.AddrPort
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || f[3] != tcpListen {
			continue
		}
		if a, ok := parseEndpoint(f[1]); ok {
			list = append(list, a)
		}
	}
	return list
}

// parseEndpoint reads "0100007F:1F40": the address in 32-bit words of the
// host's byte order (little-endian, on all that dray runs on), the port as a
// number.
func parseEndpoint(s string) (netip.AddrPort, bool) {
	address, port, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(address)
	number, err2 := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || err2 != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(b, 4) {
		slices.Reverse(word)
	}
	a, _ := netip.AddrFromSlice(b) // of one of its two lengths
	return netip.AddrPortFrom(a.Unmap(), uint16(number)), true
}
