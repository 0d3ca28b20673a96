// Package inside is what runs as the first process of a lab host, between
// the clone that gave it its namespaces and the exec of its init.
//
// The lab starts a host by running its own executable again with Arg0 as
// argv[0]. Importing this package is enough: its init function sees that
// name, takes a Config from file descriptor 3, builds the host's file systems
// and network, and becomes init. What goes wrong is written to descriptor 4,
// which the exec closes: an end of file without a word is success.
//
// An init function, and not a call in main, because the executable is most
// often somebody's test binary. The package imports little, so that it is
// initialised before whatever else such a binary links.
//
// This package knows nothing of labs, of the machine's side of the network or
// of the machine's cgroups: see package testenv.
package inside

// Arg0 is the argv[0] that turns an executable into a host's first process.
const Arg0 = "dray-lab-host"

// Inits that a host can have as process 1.
const (
	InitBusybox = "busybox"
	InitSystemd = "systemd"
)

// Config is all that a host's first process is told. It travels as JSON.
type Config struct {
	Name string // host name
	Dir  string // the host's folder on the machine; holds Root and the disk

	// DiskImage is an ext4 image file to be the host's disk; empty: the folder
	// Dir/disk is.
	DiskImage string

	// Layer is a folder that is copied onto the disk before its first boot, over
	// the machine's root; empty: none.
	Layer string

	Address string // of eth0, with prefix length: 10.210.0.11/24
	Etc     Etc
	Init    string

	// Cgroups are the host's own groups on the machine, each to be bound at
	// /sys/fs/cgroup/Name; an empty Name is the whole of /sys/fs/cgroup.
	Cgroups []Cgroup
}

// Cgroup is one hierarchy's group of this host.
type Cgroup struct {
	Name string // folder below /sys/fs/cgroup inside the host
	Path string // the group's folder on the machine
	V2   bool
}

// Etc is what makes the machine's /etc the host's own at its first boot.
type Etc struct {
	User         string            // login with passwordless sudo
	AuthorizeKey string            // one authorized_keys line, for User and root
	HostKey      string            // PEM, OpenSSH format
	Hosts        map[string]string // name → address, for /etc/hosts
	Forwarding   bool              // sshd forwards: a jump host
	OnlyFrom     string            // the only address that sshd lets in; empty: all
	Start        []Script          // run at boot, in the order of their names
}

// Script is a start script: /etc/rc2.d/Name, called with "start".
type Script struct{ Name, Text string }
