package runtime

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"github.com/moby/sys/user"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dray/targets/runtime/confine"
)

// Folders of a container's run folder that are file systems of its own.
const (
	etcDir     = "etc"     // hosts, hostname, resolv.conf
	secretsDir = "secrets" // secrets that are files
)

// writeFiles writes the files that a container has for itself and returns
// them as mounts. They stay writable for it, as Docker's are: they are its
// own. So they lie in a small file system of its own, and not in the host's
// /run, which a container could fill through them.
func (e *Engine) writeFiles(b *blueprint) error {
	dir := filepath.Join(e.runDir(b.id), etcDir)
	if err := b.mountOwn(dir, "mode=755,size=1m"); err != nil {
		return err
	}
	hostname := hostnameOf(b.id, b.spec)
	resolv, err := resolvConf(b.endpoint.Nameservers)
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"hostname":    hostname + "\n",
		"hosts":       hostsFile(hostname, b.endpoint.Address, b.endpoint.Hosts),
		"resolv.conf": resolv,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return fmt.Errorf("writing /etc/%s: %w", name, err)
		}
		b.binds = append(b.binds, Mount{Source: path, Destination: "/etc/" + name})
	}
	return nil
}

// hostsFile is the text of /etc/hosts.
func hostsFile(hostname string, own netip.Addr, entries []HostEntry) string {
	var text strings.Builder
	text.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	if own.IsValid() {
		fmt.Fprintf(&text, "%s\t%s\n", own, hostname)
	} else {
		fmt.Fprintf(&text, "127.0.0.1\t%s\n", hostname)
	}
	for _, h := range entries {
		if len(h.Names) > 0 {
			fmt.Fprintf(&text, "%s\t%s\n", h.Address, strings.Join(h.Names, " "))
		}
	}
	return text.String()
}

// SetHosts replaces the names that a container with a process knows. It
// writes the file in place: the container sees that very file.
func (e *Engine) SetHosts(ctx context.Context, idOrName string, entries []HostEntry) error {
	c, err := e.find(idOrName)
	if err != nil {
		return err
	}
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	v := c.snapshot()
	if !v.live() {
		return nil // its next start asks the network anew
	}
	text := hostsFile(hostnameOf(v.ID, v.Spec), v.Address, entries)
	f, err := os.OpenFile(filepath.Join(e.runDir(v.ID), etcDir, "hosts"), os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) { // an older agent made it
		f, err = os.OpenFile(filepath.Join(e.runDir(v.ID), "hosts"), os.O_WRONLY, 0)
	}
	if err != nil {
		return fmt.Errorf("writing /etc/hosts: %w", err)
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Truncate(int64(len(text)))
	}
	return errors.Join(err, f.Close())
}

// resolvConf is the text of /etc/resolv.conf: the nameservers given, or those
// of the host that a container can reach.
func resolvConf(given []netip.Addr) (string, error) {
	if given != nil {
		var text strings.Builder
		for _, a := range given {
			fmt.Fprintf(&text, "nameserver %s\n", a)
		}
		return text.String(), nil
	}
	text, _, err := hostResolvers(resolvConfs)
	return text, err
}

// resolvConfs are where a host's nameservers may be: its own file, and, where
// that names only a resolver on the host's loopback, the lists of those behind
// systemd's, NetworkManager's and resolvconf's.
var resolvConfs = []string{
	"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf",
	"/run/NetworkManager/no-stub-resolv.conf", "/run/dnsmasq/resolv.conf",
}

// hostResolvers returns the first of the files that names a nameserver that a
// container can reach, without the others. Where none does, it returns what else
// the first one says, and the nameservers that are out of reach.
func hostResolvers(paths []string) (text string, unreachable []string, err error) {
	for i, path := range paths {
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", nil, fmt.Errorf("reading the host's nameservers: %w", err)
		}
		kept, dropped, found := reachable(string(data))
		if found {
			return kept, nil, nil
		}
		if i == 0 {
			text = kept
		}
		unreachable = append(unreachable, dropped...)
	}
	return text, unreachable, nil
}

// UnreachableResolvers names the host's nameservers where containers can reach
// none of them, because all listen on the host's loopback. It is empty where
// there is one, and where the host has none itself.
func UnreachableResolvers() ([]string, error) {
	_, unreachable, err := hostResolvers(resolvConfs)
	return unreachable, err
}

// reachable drops the nameservers on loopback from a resolv.conf, and says
// whether others remain.
func reachable(resolv string) (text string, dropped []string, found bool) {
	var kept strings.Builder
	lines := bufio.NewScanner(strings.NewReader(resolv))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 2 && fields[0] == "nameserver" {
			zoneless, _, _ := strings.Cut(fields[1], "%")
			a, err := netip.ParseAddr(zoneless)
			if err != nil || a.IsLoopback() {
				dropped = append(dropped, fields[1])
				continue
			}
			found = true
		}
		if len(fields) > 0 && !strings.HasPrefix(fields[0], "#") && !strings.HasPrefix(fields[0], ";") {
			kept.WriteString(lines.Text() + "\n")
		}
	}
	return kept.String(), dropped, found
}

// writeSecrets fetches the values of secrets. Those that are files go to a
// tmpfs of this container's, so that they never reach a disk.
func (e *Engine) writeSecrets(b *blueprint) error {
	dir := filepath.Join(e.runDir(b.id), secretsDir)
	mounted := false
	for i, use := range b.spec.Secrets {
		value, err := e.Secrets.Value(use.Version)
		if err != nil {
			return fmt.Errorf("fetching secret %s: %w", firstOf(use.Env, use.File), err)
		}
		if use.Env != "" {
			b.secrets = append(b.secrets, use.Env+"="+value.Reveal())
		}
		if use.File == "" {
			continue
		}
		if !mounted {
			if err := b.mountOwn(dir, "mode=700,size=16m"); err != nil {
				return err
			}
			mounted = true
		}
		path := filepath.Join(dir, strconv.Itoa(i))
		if err := os.WriteFile(path, []byte(value.Reveal()), 0o400); err != nil {
			return fmt.Errorf("writing secret %s: %w", use.File, err)
		}
		if err := os.Chown(path, int(b.user.UID), int(b.user.GID)); err != nil {
			return fmt.Errorf("writing secret %s: %w", use.File, err)
		}
		b.binds = append(b.binds, Mount{Source: path, Destination: use.File, ReadOnly: true})
	}
	return nil
}

// mountOwn makes a folder that is a file system in memory, the container's own.
func (b blueprint) mountOwn(dir, options string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	options = strings.Join(confine.FormatMount([]string{options}, b.confined.labels.Mount), ",")
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		return fmt.Errorf("mounting a tmpfs on %s: %w", dir, err)
	}
	return nil
}

// maxUserFile bounds /etc/passwd and /etc/group, which an image wrote.
const maxUserFile = 4 << 20

// userOf finds the user that the text names ("", "app", "1000", "app:staff",
// "1000:1000") in the files of a root file system, as Docker does.
func userOf(rootfs, text string) (specs.User, error) {
	passwd, err := readInRoot(rootfs, "/etc/passwd")
	if err != nil {
		return specs.User{}, err
	}
	group, err := readInRoot(rootfs, "/etc/group")
	if err != nil {
		return specs.User{}, err
	}
	found, err := user.GetExecUser(text, nil, strings.NewReader(passwd), strings.NewReader(group))
	if err != nil {
		return specs.User{}, fmt.Errorf("finding the user %q in the image: %w", text, err)
	}
	u := specs.User{UID: uint32(found.Uid), GID: uint32(found.Gid)}
	for _, gid := range found.Sgids {
		u.AdditionalGids = append(u.AdditionalGids, uint32(gid))
	}
	return u, nil
}

// readInRoot reads a regular file of a root file system that may be hostile:
// links are resolved inside it, and nothing but a file is opened. A missing
// one is empty.
func readInRoot(rootfs, path string) (string, error) {
	handle, err := pathrs.OpenInRoot(rootfs, path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("opening %s in the image: %w", path, err)
	}
	defer handle.Close()
	info, err := handle.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxUserFile {
		return "", fmt.Errorf("%s in the image is not a file of a reasonable size", path)
	}
	f, err := pathrs.Reopen(handle, unix.O_RDONLY)
	if err != nil {
		return "", fmt.Errorf("opening %s in the image: %w", path, err)
	}
	defer f.Close()
	data := make([]byte, info.Size())
	n, err := f.ReadAt(data, 0)
	if n < len(data) && err != nil {
		return "", fmt.Errorf("reading %s in the image: %w", path, err)
	}
	return string(data), nil
}
