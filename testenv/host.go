package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dray/testenv/inside"
)

// Host is one host of a lab.
type Host struct {
	Name string
	Addr string // its IPv4 address

	lab     *Lab
	state   *hostState
	command *exec.Cmd // its process 1, if this process started it
}

// Address is the host as dray.hcl names one: ssh://deploy@10.210.0.11.
func (h *Host) Address() string { return "ssh://" + User + "@" + h.Addr }

// KeyFile is the path of the private key that the host lets in.
func (h *Host) KeyFile() string { return h.lab.KeyFile }

// KnownHosts is the path of a known_hosts file with the host's key.
func (h *Host) KnownHosts() string { return h.lab.KnownHosts }

// Dir is the host's folder on the machine.
func (h *Host) Dir() string { return filepath.Join(h.lab.Dir, h.Name) }

func (h *Host) console() string { return filepath.Join(h.Dir(), "console.log") }

// PID is the host's process 1 on the machine; 0: it is off.
func (h *Host) PID() int { return h.state.Init.PID }

// Running tells if the host is on.
func (h *Host) Running() bool { return h.state.Init.alive() }

// startLimit is how long a host may take until its SSH server answers.
const startLimit = 30 * time.Second

// Start boots the host, and returns when its SSH server answers.
func (h *Host) Start(ctx context.Context) error {
	if h.Running() {
		return nil
	}
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, errors.New("it took too long"))
	defer cancel()
	if err := h.boot(); err != nil {
		return errors.Join(fmt.Errorf("starting host %s: %w", h.Name, err), h.Stop(context.WithoutCancel(ctx)))
	}
	if err := until(ctx, "host "+h.Name+" answers on SSH", h.answers); err != nil {
		return err
	}
	if err := h.awaitServices(ctx); err != nil {
		return err
	}
	h.lab.log.Debug("host is up", "host", h.Name, "took", time.Since(began))
	return nil
}

// boot makes the host's namespaces and its first process, and waits until that
// process has become init.
func (h *Host) boot() error {
	groups, err := h.makeCgroups()
	if err != nil {
		return err
	}
	if err := h.makeDisk(); err != nil {
		return err
	}
	config, err := h.configure(groups)
	if err != nil {
		return err
	}
	give, take, err := pipes()
	if err != nil {
		return err
	}
	defer give.Close()
	defer take.Close()
	if err := h.spawn(give, take); err != nil {
		return err
	}
	if err := h.joinCgroups(h.state.Init.PID); err != nil {
		return err
	}
	if err := h.plug(h.state.Init.PID); err != nil {
		return err
	}
	if _, err := give.here.Write(config); err != nil {
		return fmt.Errorf("telling the host its configuration: %w", err)
	}
	fault, err := io.ReadAll(take.here)
	if err != nil {
		return fmt.Errorf("hearing from the host: %w", err)
	}
	if len(fault) > 0 {
		return errors.New(string(fault))
	}
	return nil
}

// spawn runs this executable again in new namespaces: see package inside. It
// waits there for its configuration, which is sent when its cgroups and its
// cable are in place.
func (h *Host) spawn(give, take *ends) error {
	console, err := os.OpenFile(h.console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer console.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{inside.Arg0}
	cmd.Env = []string{"GOMAXPROCS=1", "GOGC=off"}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = console, console
	cmd.ExtraFiles = []*os.File{give.there, take.there}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
		Setsid:     true,
	}
	start := cmd.Start
	if !h.lab.state.Keep {
		cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
		start = func() error { return onLastingThread(cmd.Start) }
	}
	if err := start(); err != nil {
		return fmt.Errorf("making the host's namespaces: %w", err)
	}
	h.command = cmd
	give.there.Close()
	take.there.Close()
	p, err := processOf(cmd.Process.Pid)
	if err != nil {
		return err
	}
	return h.lab.record(func() { h.state.Init = p })
}

// configure says what the first process is told, as JSON.
func (h *Host) configure(groups []inside.Cgroup) ([]byte, error) {
	key, err := os.ReadFile(filepath.Join(h.Dir(), "host_key"))
	if err != nil {
		return nil, err
	}
	public, err := os.ReadFile(h.lab.KeyFile + ".pub")
	if err != nil {
		return nil, err
	}
	c := inside.Config{
		Name: h.Name, Dir: h.Dir(), DiskImage: h.diskImage(), Layer: h.lab.state.Layer,
		Address: h.Addr + "/24", Init: string(h.lab.state.Init), Cgroups: groups,
		Etc: inside.Etc{
			User: User, AuthorizeKey: string(public), HostKey: string(key),
			Hosts: map[string]string{}, Forwarding: h.Name == h.lab.state.Bastion,
		},
	}
	if gate := h.lab.find(h.lab.state.Bastion); gate != nil && gate != h && h.lab.state.Behind {
		c.Etc.OnlyFrom = gate.Addr
	}
	for _, s := range (&Options{Docker: h.lab.state.Docker, Firewall: h.lab.state.Firewall}).services() {
		c.Etc.Start = append(c.Etc.Start, s.start)
	}
	for _, other := range h.lab.hosts {
		c.Etc.Hosts[other.Name] = other.Addr
	}
	return json.Marshal(c)
}

// answers tells if the SSH server has said its name.
func (h *Host) answers() (bool, error) {
	if !h.Running() {
		text, _ := os.ReadFile(h.console()) // it may say why; without it the error stands
		return false, fmt.Errorf("host %s died while it started: %s", h.Name, bytes.TrimSpace(text))
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(h.Addr, "22"), time.Second)
	if err != nil {
		return false, nil
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return false, err
	}
	greeting := make([]byte, 4)
	_, err = io.ReadFull(conn, greeting)
	return err == nil && string(greeting) == "SSH-", nil
}

// Stop cuts the host's power: all its processes die at once, its disk stays.
func (h *Host) Stop(ctx context.Context) error {
	err := h.state.Init.kill(ctx)
	if err != nil {
		return fmt.Errorf("stopping host %s: %w", h.Name, err)
	}
	if h.command != nil {
		_ = h.command.Wait() // it was killed, and says so
		h.command = nil
	}
	err = errors.Join(h.unplug(), removeCgroups(ctx, h.group()), h.releaseDisk(ctx))
	if err != nil {
		return fmt.Errorf("stopping host %s: %w", h.Name, err)
	}
	return h.lab.record(func() { h.state.Init = process{} })
}

// PowerOff has the host shut itself down, as its owner does, and returns when it
// is off.
func (h *Host) PowerOff(ctx context.Context) error {
	command := "busybox poweroff"
	if h.lab.state.Init == Systemd {
		command = "systemctl poweroff"
	}
	_, _ = h.Exec(ctx, "sh", "-c", command) // it may be killed before it has answered
	if err := until(ctx, "host "+h.Name+" is off", func() (bool, error) { return !h.Running(), nil }); err != nil {
		return err
	}
	return h.Stop(ctx)
}

// Reboot stops the host and boots it again.
func (h *Host) Reboot(ctx context.Context) error {
	if err := h.Stop(ctx); err != nil {
		return err
	}
	return h.Start(ctx)
}

// ends are the two ends of a pipe: the lab's and the host's.
type ends struct{ here, there *os.File }

func (e *ends) Close() error { return errors.Join(e.here.Close(), e.there.Close()) }

// pipes makes one pipe to the host and one from it.
func pipes() (give, take *ends, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	give = &ends{here: w, there: r}
	if r, w, err = os.Pipe(); err != nil {
		return nil, nil, errors.Join(err, give.Close())
	}
	return give, &ends{here: r, there: w}, nil
}
