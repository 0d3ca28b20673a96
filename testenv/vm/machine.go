package vm

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Options say what a machine is like. The zero value is for use.
type Options struct {
	Name   string       // default vm1
	Memory int          // MiB; default 1024
	CPUs   int          // default 1: emulated ones that wait for each other stall where processors are scarce
	Logger *slog.Logger // default: discards
}

// Machine is one virtual machine that runs.
type Machine struct {
	Name       string
	Dir        string // its folder on this machine
	SSHConfig  string // ssh_config(5) with an entry of its name, user deploy
	KnownHosts string
	KeyFile    string // the private key that it lets in, as deploy and as root

	ports    map[int]int // guest port → port of 127.0.0.1
	memory   int
	cpus     int
	emulator *emulator
	log      *slog.Logger
}

// published are the guest's TCP ports that can be reached. QEMU has no way
// back for UDP into a network that is cut off.
var published = []int{22, 80}

// New boots a machine that ends with the test, and fails the test where there
// can be none: who calls it was asked for one. The first one ever takes some
// minutes more.
func New(t testing.TB, o Options) *Machine {
	t.Helper()
	if err := Missing(); err != nil {
		t.Fatal("there can be no virtual machine here: ", err)
	}
	dir, err := os.MkdirTemp("", "drayvm") // short: a socket lives there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
	m, err := Start(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the console's end:\n%s", m.Console())
		}
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// bootLimit is how long a machine may take until its SSH server answers.
const bootLimit = 5 * time.Minute

// Start boots a machine whose files are in dir, an empty folder with a short
// name, and returns when its SSH server answers. The machine ends with Stop,
// and with this process.
func Start(ctx context.Context, dir string, o Options) (*Machine, error) {
	m := &Machine{
		Name: o.Name, Dir: dir, SSHConfig: filepath.Join(dir, "ssh_config"), KnownHosts: filepath.Join(dir, "known_hosts"),
		KeyFile: filepath.Join(dir, "id_ed25519"), ports: map[int]int{}, memory: o.Memory, cpus: o.CPUs, log: o.Logger,
	}
	if m.Name == "" {
		m.Name = "vm1"
	}
	if m.memory == 0 {
		m.memory = 1024
	}
	if m.cpus == 0 {
		m.cpus = 1
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	image, err := image(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.furnish(ctx, image); err != nil {
		return nil, fmt.Errorf("preparing virtual machine %s: %w", m.Name, err)
	}
	if m.emulator, err = m.powerOn(image); err != nil {
		return nil, fmt.Errorf("starting virtual machine %s: %w", m.Name, err)
	}
	began := time.Now()
	if err := m.waitForSSH(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("booting virtual machine %s: %w; its console's end:\n%s", m.Name, err, m.Console()), m.Stop())
	}
	m.log.Info("virtual machine is up", "name", m.Name, "took", time.Since(began))
	return m, nil
}

// furnish makes keys, the client's files, and the initial RAM disk.
func (m *Machine) furnish(ctx context.Context, image string) error {
	for _, port := range published {
		n, err := freePort()
		if err != nil {
			return err
		}
		m.ports[port] = n
	}
	hostKey := filepath.Join(m.Dir, "host_key")
	for _, key := range []string{m.KeyFile, hostKey} {
		if err := run(ctx, m.Dir, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", m.Name, "-f", key); err != nil {
			return err
		}
	}
	login, err := os.ReadFile(m.KeyFile + ".pub")
	if err != nil {
		return err
	}
	private, err := os.ReadFile(hostKey)
	if err != nil {
		return err
	}
	public, err := os.ReadFile(hostKey + ".pub")
	if err != nil {
		return err
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	disk, err := initrd(image, []entry{
		{"etc/hostname", 0o644, 0, []byte(m.Name + "\n")},
		{"etc/machine-id", 0o444, 0, []byte(hex.EncodeToString(id) + "\n")},
		{"etc/ssh/ssh_host_ed25519_key", 0o600, 0, private},
		{"root", os.ModeDir | 0o700, 0, nil},
		{"root/.ssh", os.ModeDir | 0o700, 0, nil},
		{"root/.ssh/authorized_keys", 0o600, 0, login},
		{"home/" + user, os.ModeDir | 0o755, userID, nil},
		{"home/" + user + "/.ssh", os.ModeDir | 0o700, userID, nil},
		{"home/" + user + "/.ssh/authorized_keys", 0o600, userID, login},
	})
	if err != nil {
		return err
	}
	config := fmt.Sprintf("Host %s\n  HostName 127.0.0.1\n  Port %d\n  User %s\n  IdentityFile %s\n  IdentitiesOnly yes\n  UserKnownHostsFile %s\n  StrictHostKeyChecking yes\n  ServerAliveInterval 30\n", // an emulated machine can fall silent
		m.Name, m.ports[22], user, m.KeyFile, m.KnownHosts)
	return errors.Join(
		os.WriteFile(filepath.Join(m.Dir, "initrd"), disk, 0o600),
		os.WriteFile(m.SSHConfig, []byte(config), 0o644),
		os.WriteFile(m.KnownHosts, fmt.Appendf(nil, "[127.0.0.1]:%d %s", m.ports[22], public), 0o644))
}

const userID = 1000 // Debian's first account

// freePort finds a port of 127.0.0.1 that nobody uses.
func freePort() (int, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// Addr is where a published port of the guest is reached.
func (m *Machine) Addr(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(m.ports[port]))
}

// Exec runs a shell script in the machine as root, over SSH, and gives what it
// printed. The error of one that failed carries what it said.
func (m *Machine) Exec(ctx context.Context, script string) (string, error) {
	cmd := exec.CommandContext(ctx, "ssh", "-F", m.SSHConfig, "-l", "root", "-o", "ConnectTimeout=60", m.Name, script)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("on %s: %s: %w: %s", m.Name, script, err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.String(), nil
}

// Reset cuts the machine's power and gives it back. What was not on its disk
// is gone. It returns when the SSH server answers again.
func (m *Machine) Reset(ctx context.Context) error {
	if err := m.emulator.command("system_reset"); err != nil {
		return err
	}
	return m.waitForSSH(ctx)
}

// Reboot has the machine shut itself down and start again.
func (m *Machine) Reboot(ctx context.Context) error {
	const boot = "cat /proc/sys/kernel/random/boot_id"
	before, err := m.Exec(ctx, boot)
	if err != nil {
		return err
	}
	_, _ = m.Exec(ctx, "systemctl reboot") // the connection may be cut before the answer
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	for {
		now, err := m.Exec(ctx, boot)
		if err == nil && now != before {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not come back: %w (%w)", m.Name, context.Cause(ctx), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Console returns the end of what the machine wrote to its serial line.
func (m *Machine) Console() string {
	text, err := os.ReadFile(filepath.Join(m.Dir, "console.log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// Stop ends the machine at once.
func (m *Machine) Stop() error { return m.emulator.stop() }

func (m *Machine) waitForSSH(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	for {
		err := m.greeting()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("its SSH server does not answer: %w (%w)", context.Cause(ctx), err)
		case <-m.emulator.ended:
			return fmt.Errorf("QEMU ended: %w", m.emulator.err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// greeting waits for the SSH server's first word. QEMU accepts the connection
// itself, whether or not somebody listens in the guest.
func (m *Machine) greeting() error {
	conn, err := net.DialTimeout("tcp", m.Addr(22), time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	word := make([]byte, 4)
	if _, err := io.ReadFull(conn, word); err != nil {
		return err
	}
	if string(word) != "SSH-" {
		return fmt.Errorf("it says %q", word)
	}
	return nil
}
