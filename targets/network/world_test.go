package network

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// TestMain runs the tests in a network and a mount namespace of their own.
func TestMain(m *testing.M) {
	const mark = "DRAY_TEST_NAMESPACE"
	if os.Getenv(mark) != "" || os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Env = append(os.Environ(), mark+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := c.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// world is a host (the namespace of the test process) and a client beside it,
// on 192.0.2.0/24.
type world struct {
	t      testing.TB
	config Config
	*Networks
	client int // network namespace
}

var (
	hostAddress   = netip.MustParseAddr("192.0.2.1")
	clientAddress = netip.MustParseAddr("192.0.2.2")
)

func newWorld(t testing.TB) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	dir := t.TempDir()
	w := &world{t: t, config: Config{Dir: filepath.Join(dir, "lib"), RunDir: filepath.Join(dir, "run")}}
	lo, err := netlink.LinkByName("lo")
	w.must(err)
	w.must(netlink.LinkSetUp(lo))
	w.addClient(filepath.Join(dir, "client"))
	w.reopen()
	t.Cleanup(w.tearDown)
	return w
}

// tearDown leaves nothing in the kernel; the second time it does nothing.
func (w *world) tearDown() {
	if w.client == 0 {
		return
	}
	w.reboot()
	w.must(w.Close())
	w.must(removeLink("wire0"))
	w.must(unix.Close(w.client))
	w.must(unix.Unmount(filepath.Join(filepath.Dir(w.config.Dir), "client"), unix.MNT_DETACH))
	w.client = 0
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) addClient(path string) {
	w.t.Helper()
	fd, err := newNamespace(path)
	w.must(err)
	w.client = fd
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Flags = "wire0", net.FlagUp
	w.must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "wire1", PeerNamespace: netlink.NsFd(fd)}))
	w.must(address("wire0", hostAddress))
	w.must(inNamespace(fd, func() error {
		if err := address("wire1", clientAddress); err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Gw: hostAddress.AsSlice()})
	}))
}

func address(name string, a netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	return netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, 24))})
}

// reopen is a restart of the agent.
func (w *world) reopen() {
	w.t.Helper()
	if w.Networks != nil {
		w.must(w.Close())
	}
	n, err := Open(w.config)
	w.must(err)
	w.Networks = n
}

// reboot makes everything vanish that a reboot takes.
func (w *world) reboot() {
	w.t.Helper()
	for _, s := range w.state.Networks {
		for id := range s.Addresses {
			w.must(disconnect(filepath.Join(w.config.RunDir, id), id))
		}
		w.must(removeLink(s.Bridge))
	}
	tx := w.begin()
	tx.conn.AddTable(tx.t)
	tx.conn.DelTable(tx.t)
	w.must(tx.commit())
	w.must(closeRoutes(nil))
	w.must(netlink.ConntrackTableFlush(netlink.ConntrackTable))
}

func (w *world) attach(network, id string) Endpoint {
	w.t.Helper()
	e, err := w.Attach(context.Background(), network, id)
	w.must(err)
	return e
}

func (w *world) set(services ...Service) {
	w.t.Helper()
	w.must(w.Switch(context.Background(), Change{Set: services}))
}

// within calls f in the namespace at path.
func within(path string, f func() error) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return inNamespace(fd, f)
}

// serve answers in a container: TCP and UDP, on the port, "ID FROM" and then
// what it is sent, line by line, until the test or stop ends it.
func (w *world) serve(e Endpoint, id string, port int) (stop func()) {
	w.t.Helper()
	var l net.Listener
	var u net.PacketConn
	w.must(within(e.NetnsPath, func() (err error) {
		if l, err = net.Listen("tcp4", fmt.Sprintf(":%d", port)); err != nil {
			return err
		}
		u, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
		return err
	}))
	var g errgroup.Group
	g.Go(func() error { return serveTCP(l, id) })
	g.Go(func() error { return serveUDP(u, id) })
	stop = sync.OnceFunc(func() {
		l.Close()
		u.Close()
		if err := g.Wait(); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

func serveTCP(l net.Listener, id string) error {
	var g errgroup.Group
	for {
		c, err := l.Accept()
		if err != nil {
			return g.Wait()
		}
		g.Go(func() error {
			defer c.Close()
			if _, err := fmt.Fprintf(c, "%s %s\n", id, c.RemoteAddr()); err != nil {
				return nil // the client has gone
			}
			_, _ = io.Copy(c, c) // until the client has gone
			return nil
		})
	}
}

func serveUDP(u net.PacketConn, id string) error {
	b := make([]byte, 1500)
	for {
		_, from, err := u.ReadFrom(b)
		if err != nil {
			return nil // closed
		}
		if _, err := u.WriteTo([]byte(id+" "+from.String()), from); err != nil {
			return nil
		}
	}
}

// dial connects from a namespace.
func dial(ns int, network, to string) (net.Conn, error) {
	return dialFor(ns, network, to, 2*time.Second)
}

func dialFor(ns int, network, to string, patience time.Duration) (net.Conn, error) {
	var c net.Conn
	f := func() (err error) {
		c, err = net.DialTimeout(network, to, patience)
		return err
	}
	if ns == host {
		err := f()
		return c, err
	}
	err := inNamespace(ns, f)
	return c, err
}

// connectFrom asks the published port from a port of the client's choice, and
// returns the id of the container that answers.
func (w *world) connectFrom(network string, port int, timeout time.Duration) (id string, err error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: clientAddress.AsSlice(), Port: port}, Timeout: timeout}
	if network == "udp" {
		dialer.LocalAddr = &net.UDPAddr{IP: clientAddress.AsSlice(), Port: port}
	}
	var c net.Conn
	err = inNamespace(w.client, func() (err error) {
		c, err = dialer.DialContext(w.t.Context(), network, published)
		return err
	})
	if err != nil {
		return "", err
	}
	defer c.Close()
	id, _, err = greeting(c)
	return id, err
}

// deafen drops all that comes to the client until hear is called.
func (w *world) deafen() (hear func()) {
	w.t.Helper()
	return w.foreignRules(w.client, nftables.ChainHookInput, drop())
}

// trackAnyway has the host track connections without dray's table, as its own
// firewall would.
func (w *world) trackAnyway() {
	w.t.Helper()
	w.foreignRules(host, nftables.ChainHookInput, rule(known(), accept()))
}

// foreignRules adds a table with one rule to a namespace. It is gone with the
// test, or when remove is called.
func (w *world) foreignRules(ns int, hook *nftables.ChainHook, exprs []expr.Any) (remove func()) {
	w.t.Helper()
	table := &nftables.Table{Name: "foreign", Family: nftables.TableFamilyIPv4}
	there := func(f func(c *nftables.Conn) error) {
		w.t.Helper()
		inside := func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			if err := f(c); err != nil {
				return err
			}
			return c.Flush()
		}
		if ns == host {
			w.must(inside())
		} else {
			w.must(inNamespace(ns, inside))
		}
	}
	there(func(c *nftables.Conn) error {
		c.AddTable(table)
		chain := c.AddChain(&nftables.Chain{Name: "input", Table: table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityFilter})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exprs})
		return nil
	})
	remove = sync.OnceFunc(func() {
		there(func(c *nftables.Conn) error { c.DelTable(table); return nil })
	})
	w.t.Cleanup(remove)
	return remove
}

// flush takes dray's table away while the agent is not there.
func (w *world) flush() {
	w.t.Helper()
	c, err := nftables.New()
	w.must(err)
	c.DelTable(newTable().t)
	w.must(c.Flush())
}

const host = -1

// ask returns the id of the container that answers, and the client's address
// as it saw it.
func ask(ns int, network, to string) (id, from string, err error) {
	c, err := dial(ns, network, to)
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	return greeting(c)
}

func greeting(c net.Conn) (id, from string, err error) {
	if err := c.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return "", "", err
	}
	if c.RemoteAddr().Network() == "udp" {
		if _, err := c.Write([]byte("?")); err != nil {
			return "", "", err
		}
	}
	b := make([]byte, 200)
	size, err := c.Read(b)
	if err != nil {
		return "", "", err
	}
	line, _, _ := strings.Cut(string(b[:size]), "\n")
	id, from, _ = strings.Cut(strings.TrimSpace(line), " ")
	return id, from, nil
}

// from opens a container's namespace for dial.
func (w *world) from(e Endpoint) int {
	w.t.Helper()
	fd, err := unix.Open(e.NetnsPath, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	w.must(err)
	w.t.Cleanup(func() { unix.Close(fd) })
	return fd
}

var errRefused = unix.ECONNREFUSED
