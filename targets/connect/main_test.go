package connect

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

const envNamespace = "DRAY_TEST_NAMESPACE"

// TestMain runs the tests in mount, pid and network namespaces of their own, where
// /run, /var/lib, /etc and /usr/sbin can be written to, and without the control
// groups of the machine.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Println("SKIP: an installation needs root")
		return
	}
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" { // workers are started with pipes that would not get through
		if err := flag.Set("test.run", "^Fuzz"); err != nil {
			panic(err)
		}
		os.Exit(m.Run())
	}
	if os.Getenv(envNamespace) == "" {
		os.Exit(inNamespace())
	}
	if err := privateHost(); err != nil {
		fmt.Fprintln(os.Stderr, "making the namespace:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func inNamespace() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), envNamespace+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // Pdeathsig is that of this thread
	if err := cmd.Run(); err != nil {
		if cmd.ProcessState == nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return cmd.ProcessState.ExitCode()
	}
	return 0
}

func privateHost() error {
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	for _, dir := range []string{"/run", "/var/lib", "/sys/fs/cgroup"} {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/etc", "/usr/sbin"} {
		upper, work := "/run/layers"+dir+"/upper", "/run/layers"+dir+"/work"
		if err := os.MkdirAll(upper, 0o755); err != nil {
			return err
		}
		if err := os.MkdirAll(work, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount("overlay", dir, "overlay", 0, "lowerdir="+dir+",upperdir="+upper+",workdir="+work); err != nil {
			return err
		}
	}
	return nil
}
