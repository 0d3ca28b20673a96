// Package vm makes a real server on this machine: Debian with systemd as
// process 1, cgroup version 2 with all its controllers and a kernel of its
// own, under QEMU. It is for what a lab host (package testenv) can't show,
// because that shares this machine's kernel and hierarchies. It takes seconds
// where the machine can virtualise, and a minute where QEMU has to emulate.
//
//	m := vm.New(t, vm.Options{})
//	m.Exec(ctx, "systemctl is-system-running")
//	m.Reset(ctx) // the power fails
//
// What a machine is made of:
//
//	cache folder/vm/KEY/   root.ext4, vmlinuz, early/*.ko: made once, in two
//	                       minutes, by debootstrap and from a kernel package,
//	                       neither of which touches this machine's own system
//	a folder of its own    ssh_config, known_hosts, id_ed25519, host_key,
//	                       initrd, console.log, monitor
//
// The image has no keys. What makes a machine an individual, keys and host
// name, travels in its initial RAM disk, which copies it to the root file
// system at each boot. The machine writes to a snapshot that is gone when
// QEMU ends; a reboot does not end QEMU.
//
// The network is QEMU's own (user mode): the guest reaches nobody, and is
// reached at ports of 127.0.0.1 alone.
//
// Sources: QEMU's manual (invocation), initramfs buffer format and kernel
// parameters (kernel documentation), modules.dep(5), systemd.network(5).
package vm
