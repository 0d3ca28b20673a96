package network

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// inside is the name of a container's interface, in its namespace.
const inside = "eth0"

// outside is the name of its other end, on the host.
func outside(containerID string) string {
	sum := sha256.Sum256([]byte(containerID))
	return "vdray" + hex.EncodeToString(sum[:4])
}

// connect makes the namespace, and the pair of interfaces from the bridge into
// it, unless both are there.
func connect(e Endpoint, bridge, containerID string) error {
	name := outside(containerID)
	if isNamespace(e.NetnsPath) {
		if _, err := netlink.LinkByName(name); err == nil {
			return nil // the pair exists as long as both ends do
		}
	}
	if err := disconnect(e.NetnsPath, containerID); err != nil {
		return err
	}
	br, err := netlink.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("finding bridge %s: %w", bridge, err)
	}
	namespace, err := newNamespace(e.NetnsPath)
	if err != nil {
		return err
	}
	defer unix.Close(namespace)
	if err := plugIn(namespace, name, br, e.Address); err != nil {
		return err
	}
	return inNamespace(namespace, func() error { return configure(e) })
}

// plugIn makes a pair of interfaces, one end in the namespace, one at the
// bridge.
func plugIn(namespace int, name string, bridge netlink.Link, address netip.Addr) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.MasterIndex, attrs.Flags = name, bridge.Attrs().MTU, bridge.Attrs().Index, net.FlagUp
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: inside, PeerNamespace: netlink.NsFd(namespace), PeerHardwareAddr: hardwareAddr(address)}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("making interface %s: %w", name, err)
	}
	link, err := netlink.LinkByName(name)
	if err == nil {
		// With br_netfilter loaded, translation happens in the bridge, and what
		// a container sends to itself by a service leaves where it came in.
		err = netlink.LinkSetHairpin(link, true)
	}
	if err == nil {
		err = netlink.NeighSet(permanent(bridge, address))
	}
	if err != nil {
		return fmt.Errorf("connecting %s to bridge %s: %w", name, bridge.Attrs().Name, err)
	}
	return nil
}

// permanent says where an address is, once and for all: nothing is asked by
// ARP, so no other container can answer.
func permanent(link netlink.Link, a netip.Addr) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: hardwareAddr(a)}
}

// forgetNeighbour takes the address from those that the bridge reaches.
func forgetNeighbour(bridge string, a netip.Addr) error {
	link, err := netlink.LinkByName(bridge)
	if err == nil {
		err = netlink.NeighDel(permanent(link, a))
	}
	if err != nil && !missingLink(err) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("forgetting %v: %w", a, err)
	}
	return nil
}

// configure brings the interfaces of a container's namespace up. It is called
// inside it.
func configure(e Endpoint) error {
	if err := setSysctls(
		sysctl{"net/ipv6/conf/" + inside + "/disable_ipv6", "1", true},
		// As in Docker: services that are not root may listen on port 80.
		sysctl{"net/ipv4/ip_unprivileged_port_start", "0", true},
		sysctl{"net/ipv4/ping_group_range", "0 2147483647", true},
	); err != nil {
		return err
	}
	for _, name := range []string{"lo", inside} {
		link, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(link)
		}
		if err != nil {
			return fmt.Errorf("bringing %s up: %w", name, err)
		}
		if name == inside {
			err = addressAndRoutes(link, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func addressAndRoutes(link netlink.Link, e Endpoint) error {
	own := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(e.Address, 32))}
	if err := netlink.AddrReplace(link, own); err != nil {
		return fmt.Errorf("giving %v to %s: %w", e.Address, inside, err)
	}
	if err := netlink.NeighSet(permanent(link, e.Gateway)); err != nil {
		return fmt.Errorf("fixing the hardware address of %v: %w", e.Gateway, err)
	}
	gateway := net.IP(e.Gateway.AsSlice())
	routes := []*netlink.Route{
		{LinkIndex: link.Attrs().Index, Dst: ipNet(netip.PrefixFrom(e.Gateway, 32)), Scope: netlink.SCOPE_LINK, Src: own.IP},
		{LinkIndex: link.Attrs().Index, Gw: gateway, Src: own.IP},
	}
	for _, r := range routes {
		if err := netlink.RouteReplace(r); err != nil {
			return fmt.Errorf("routing through %v: %w", e.Gateway, err)
		}
	}
	return nil
}

// disconnect removes both, as far as they exist.
func disconnect(path, containerID string) error {
	if err := removeLink(outside(containerID)); err != nil {
		return err
	}
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // not mounted; not there
		return fmt.Errorf("unmounting %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// isNamespace says whether a namespace is mounted at the path.
func isNamespace(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

// newNamespace makes a network namespace, mounts it at path and returns a
// descriptor of it.
func newNamespace(path string) (int, error) {
	fd := -1
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
		target, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
		if err != nil {
			return err
		}
		target.Close() // nothing was written
		const own = "/proc/thread-self/ns/net"
		if err := unix.Mount(own, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting network namespace at %s: %w", path, err)
		}
		fd, err = unix.Open(own, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// inNamespace calls f with the thread in the namespace.
func inNamespace(fd int, f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering a network namespace: %w", err)
		}
		return f()
	})
}

// onOwnThread calls f on a thread that is not used again. It is never the
// main thread: that one can't end, and would stay in f's namespace, where
// /proc/self is looked up.
func onOwnThread(f func() error) error {
	var g errgroup.Group
	g.Go(func() error {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			return onOwnThread(f)
		}
		return f() // still locked: the thread ends with the goroutine
	})
	return g.Wait()
}
