// Package testenv makes real hosts on one machine: network, mount, pid, uts,
// ipc and cgroup namespaces over the machine's root file system, each host
// with its own disk, its own init and its own hardened OpenSSH server, on a
// bridge that only this machine reaches.
//
// A Lab is a set of such hosts. New gives a test one that ends with the test;
// Up makes one that outlives the process, and Load finds it again (cmd/lab is
// a thin shell over these). A Host is started, stopped, rebooted, cut off,
// filled up, and looked into with Exec and Processes; everything else is done
// to it over SSH, as to any host.
//
//	lab := testenv.New(t, testenv.Options{Hosts: []string{"d1", "p1"}})
//	t.Setenv("DRAY_SSH_CONFIG", lab.SSHConfig)
//	lab.Host("p1").Reboot(ctx)
//
// What a host is made of:
//
//	state folder/NAME/          lab.json, lock, ssh_config, known_hosts, id_ed25519
//	state folder/NAME/HOST/     disk (or disk.img), console.log
//	/sys/fs/cgroup/*/dray-lab-NAME/HOST    its groups, bound over its own /sys/fs/cgroup
//	draylabN, 10.210.N.1/24     the bridge of the lab; hosts are .11, .12, …
//	dlabNhM                     the machine's end of host 10.210.N.M's cable
//
// The machine's routing is not touched: a host has no default route, the
// bridge does not forward whatever the machine's ip_forward says, and an
// unreachable route beneath the bridge's own keeps packets for a lab address
// from leaving by the machine's default route while the bridge is down.
//
// Namespaces here are a way to have many hosts, not a wall around them: a
// host's root is this machine's root.
//
// Not here: the registry that serves base images (testenv/mirror), clients
// that load a service (testenv/load), and anything about dray itself.
package testenv
