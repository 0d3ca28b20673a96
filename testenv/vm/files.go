package vm

// user is the login with passwordless sudo; root has the same key.
const user = "deploy"

// files are the image's own, beside what Debian's packages put there.
var files = map[string]string{
	"etc/fstab": "/dev/vda / ext4 errors=remount-ro 0 1\n",
	"etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
	// Nobody can be asked: the network ends at QEMU.
	"etc/resolv.conf": "",
	"etc/systemd/network/10-wire.network": `[Match]
Driver=virtio_net

[Network]
Address=` + guestAddress + `/24
Gateway=10.0.2.2
LinkLocalAddressing=no
IPv6AcceptRA=no
`,
	"etc/ssh/sshd_config.d/hardened.conf": `PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
DisableForwarding yes
UseDNS no
`,
	"etc/sudoers.d/deploy": user + " ALL=(ALL:ALL) NOPASSWD: ALL\n",
}

const guestAddress = "10.0.2.15"

// setup runs in the image: it adds the user, and switches off what would only
// keep a processor busy that is emulated.
const setup = `
useradd --create-home --shell /bin/bash ` + user + `
chmod 440 /etc/sudoers.d/deploy
rm -f /etc/ssh/ssh_host_* /etc/hostname /etc/machine-id
systemctl enable systemd-networkd ssh
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap \
	fstrim.timer getty@tty1 serial-getty@ttyS0 systemd-timesyncd systemd-networkd-wait-online
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
`

// init is the initial RAM disk's: it mounts the root file system, makes the
// machine the one that it is, and hands over.
const initScript = `#!/bin/busybox sh
PATH=/bin
/bin/busybox mkdir -p /proc /dev /new
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for module in /early/*; do /bin/busybox insmod "$module"; done
n=0
until /bin/busybox mount -t ext4 /dev/vda /new 2>/dev/null; do
	n=$((n + 1))
	[ $n -lt 100 ] || { echo "no root file system on /dev/vda"; exec /bin/busybox reboot -f; }
	/bin/busybox usleep 100000
done
/bin/busybox cp -a /own/. /new/
/bin/busybox umount /proc
exec /bin/busybox switch_root /new /sbin/init
`
