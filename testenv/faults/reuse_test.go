package faults

import (
	"context"
	"errors"
	"net"

	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dray/testenv"
)

// TestPortReuse has clients that went away after their first packet come back
// with the same ports, after another release has come. What the kernel
// remembers of the first try must not lead them to a container that has ended.
func TestPortReuse(t *testing.T) {
	f := newField(t)
	f.settled(t, "one", 1)
	h := f.Lab.Host("o1")
	gateway := net.ParseIP(f.Lab.Gateway()).To4()
	client := net.IPv4(gateway[0], gateway[1], gateway[2], 250)
	const first, clients = 21000, 8 // each container gets some of them
	for port := first; port < first+clients; port++ {
		// Nobody has the address: the container's answer finds no way back.
		if _, err := dialFrom(t.Context(), 50*time.Millisecond, client, port, h); !timedOut(err) {
			t.Errorf("port %d: %v, want no answer", port, err)
		}
	}
	f.Dray(t, 0, append([]string{deploy, "one"}, vars(f.next())...)...)
	if err := eventually(t.Context(), 20*time.Second, "the old containers have ended", func() error { return f.tidy(t.Context(), "o1", "one") }); err != nil {
		t.Fatal(err)
	}
	giveAddress(t, "draylab"+strings.Split(h.Addr, ".")[2], client)
	for port := first; port < first+clients; port++ {
		conn, err := dialFrom(t.Context(), 5*time.Second, client, port, h)
		if err != nil {
			t.Errorf("port %d: %v", port, err)
			continue
		}
		_ = conn.Close()
	}
}

// giveAddress gives a lab's bridge a second address, as long as the test takes.
func giveAddress(t *testing.T, bridge string, ip net.IP) {
	t.Helper()
	link, err := netlink.LinkByName(bridge)
	if err != nil {
		t.Fatal(err)
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(32, 32)}}
	if err := netlink.AddrAdd(link, address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netlink.AddrDel(link, address); err != nil {
			t.Error(err)
		}
	})
}

// dialFrom connects to a host's published port from an address, which need not
// be this machine's, and a port.
func dialFrom(ctx context.Context, timeout time.Duration, ip net.IP, port int, h *testenv.Host) (net.Conn, error) {
	d := net.Dialer{
		Timeout: timeout, LocalAddr: &net.TCPAddr{IP: ip, Port: port},
		Control: func(_, _ string, c syscall.RawConn) error {
			var failed error
			err := c.Control(func(fd uintptr) {
				failed = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1),
					unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
			})
			return errors.Join(err, failed)
		},
	}
	return d.DialContext(ctx, "tcp", h.Addr+":80")
}

func timedOut(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
