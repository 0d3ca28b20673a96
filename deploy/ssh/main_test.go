//go:build linux

package ssh

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

const envNamespace = "DRAY_TEST_NAMESPACE"

// TestMain runs the tests in mount and pid namespaces of their own, where /run,
// /var/lib and /etc can be written to: there they are the host, too, and no
// process outlives them.
func TestMain(m *testing.M) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		fmt.Println("SKIP: a real sshd and an installation need root on Linux")
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
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
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
	for _, dir := range []string{"/run", "/var/lib"} {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/run/sshd", "/run/etc/upper", "/run/etc/work"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := syscall.Mount("overlay", "/etc", "overlay", 0, "lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work"); err != nil {
		return err
	}
	return addUser()
}

// addUser makes deploy, who may use sudo without a password, and guest, who
// may not.
func addUser() error {
	for _, u := range []string{"deploy:7001", "guest:7002"} {
		name, id := u[:len(u)-5], u[len(u)-4:]
		home := filepath.Join("/run/home", name)
		if err := os.MkdirAll(home, 0o755); err != nil {
			return err
		}
		for file, line := range map[string]string{
			"/etc/passwd": fmt.Sprintf("%s:x:%s:%s::%s:/bin/sh\n", name, id, id, home),
			"/etc/shadow": fmt.Sprintf("%s:*:19000:0:99999:7:::\n", name),
			"/etc/group":  fmt.Sprintf("%s:x:%s:\n", name, id),
		} {
			if err := appendFile(file, line); err != nil {
				return err
			}
		}
	}
	if err := os.MkdirAll("/etc/sudoers.d", 0o755); err != nil {
		return err
	}
	return os.WriteFile("/etc/sudoers.d/dray-test", []byte("deploy ALL=(root) NOPASSWD: ALL\n"), 0o440)
}

func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}
