package vm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// emulator is a QEMU process.
type emulator struct {
	monitor string        // path of its QMP socket
	process *os.Process   //
	ended   chan struct{} // closed when the process is gone
	err     error         // why, once ended is closed
}

// powerOn starts QEMU.
func (m *Machine) powerOn(image string) (*emulator, error) {
	e := &emulator{monitor: filepath.Join(m.Dir, "monitor"), ended: make(chan struct{})}
	cmd := exec.Command("qemu-system-x86_64", m.arguments(image, e.monitor)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+m.Dir) // for the disk's snapshot
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	started := make(chan error)
	go func() {
		// The death signal comes with the end of the thread that started the
		// process (prctl(2)): this one waits as long as the process lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		e.err = fmt.Errorf("%w: %s", errorOr(cmd.Wait()), strings.TrimSpace(said.String()))
		close(e.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	e.process = cmd.Process
	return e, nil
}

func errorOr(err error) error {
	if err == nil {
		return os.ErrProcessDone
	}
	return err
}

// accelerators are what QEMU may run on. A /dev/kvm on processors that show no
// virtualisation is a stand-in that an ordinary kernel may not boot under.
func accelerators() []string {
	emulated := []string{"-accel", "tcg,thread=multi", "-cpu", "max,la57=off"} // with 5 levels of pages, the second processor fails to start
	processors, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || !virtualises.Match(processors) {
		return emulated
	}
	return []string{"-accel", "kvm", "-accel", "tcg,thread=multi", "-cpu", "max"}
}

var virtualises = regexp.MustCompile(`(?m)^flags\b.* (vmx|svm)\b`)

// arguments are QEMU's.
func (m *Machine) arguments(image, monitor string) []string {
	network := "user,id=net,restrict=on"
	for port, at := range m.ports {
		network += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-%s:%d", at, guestAddress, port)
	}
	return append(accelerators(),
		"-name", m.Name, "-nodefaults", "-no-user-config", "-display", "none",
		"-machine", "q35",
		"-smp", fmt.Sprint(m.cpus), "-m", fmt.Sprint(m.memory),
		"-kernel", filepath.Join(image, "vmlinuz"), "-initrd", filepath.Join(m.Dir, "initrd"),
		"-append", "console=ttyS0 quiet panic=1 mitigations=off audit=0 systemd.show_status=yes root=/dev/vda rw",
		"-drive", "file="+filepath.Join(image, "root.ext4")+",format=raw,if=none,id=disk,snapshot=on,cache=unsafe",
		"-device", "virtio-blk-pci,drive=disk",
		"-netdev", network, "-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci",
		"-serial", "file:"+filepath.Join(m.Dir, "console.log"),
		"-qmp", "unix:"+monitor+",server=on,wait=off",
	)
}

// command gives QEMU one command (QMP: a greeting, a negotiation, answers and
// events, each a JSON object).
func (e *emulator) command(name string) error {
	conn, err := net.DialTimeout("unix", e.monitor, 5*time.Second)
	if err != nil {
		return fmt.Errorf("reaching QEMU's monitor: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	answers := json.NewDecoder(bufio.NewReader(conn))
	for _, c := range []string{"qmp_capabilities", name} {
		if _, err := fmt.Fprintf(conn, "{\"execute\":%q}\n", c); err != nil {
			return fmt.Errorf("telling QEMU %s: %w", c, err)
		}
		for {
			var answer struct {
				Return *json.RawMessage `json:"return"`
				Error  *struct {
					Desc string `json:"desc"`
				} `json:"error"`
			}
			if err := answers.Decode(&answer); err != nil {
				return fmt.Errorf("telling QEMU %s: %w", c, err)
			}
			if answer.Error != nil {
				return fmt.Errorf("telling QEMU %s: %s", c, answer.Error.Desc)
			}
			if answer.Return != nil {
				break // anything else is the greeting or an event
			}
		}
	}
	return nil
}

// stop ends QEMU and waits until it is gone.
func (e *emulator) stop() error {
	select {
	case <-e.ended:
		return fmt.Errorf("QEMU ended by itself: %w", e.err)
	default:
	}
	if err := e.process.Kill(); err != nil {
		return fmt.Errorf("ending QEMU: %w", err)
	}
	<-e.ended
	return nil
}
