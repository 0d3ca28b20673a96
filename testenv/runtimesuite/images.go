package runtimesuite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// debian are the programs that the tests run in their image of Debian.
var debian = strings.Fields(`awk bash cat chmod chown chrt cp cut date dd echo env false find findmnt grep head id
	ionice ldconfig ln ls mkdir mount mv ps readlink rm rmdir sed sh sleep sort stat tail tee touch tr true umount
	uname wc xargs`)

// folders are those of an image's root.
var folders = []string{"dev", "etc", "home", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "var"}

const (
	users  = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n"
	groups = "root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n"
)

// makeImages makes the archives that the tests would download, under the same
// names: they are taken as they are when they are there.
func (s *Suite) makeImages(ctx context.Context) error {
	for name, fill := range map[string]func(ctx context.Context, root string) error{
		"busybox": fillBusybox, "debian": fillDebian,
	} {
		root := s.path("images", name)
		if err := makeRoot(root); err != nil {
			return err
		}
		if err := fill(ctx, root); err != nil {
			return fmt.Errorf("making the image of %s: %w", name, err)
		}
		archive := filepath.Join(s.tests(), "testdata", name+"-"+runtime.GOARCH+".tar.xz")
		if out, err := exec.CommandContext(ctx, "tar", "-C", root, "-czf", archive, ".").CombinedOutput(); err != nil {
			return fmt.Errorf("packing the image of %s: %w: %s", name, err, out)
		}
	}
	return nil
}

func makeRoot(root string) error {
	for _, folder := range folders {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			return err
		}
	}
	return errors.Join(
		os.Chmod(filepath.Join(root, "tmp"), 0o1777),
		os.WriteFile(filepath.Join(root, "etc", "passwd"), []byte(users), 0o644),
		os.WriteFile(filepath.Join(root, "etc", "group"), []byte(groups), 0o644))
}

// fillBusybox gives root busybox under each of its names.
func fillBusybox(ctx context.Context, root string) error {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	bin := filepath.Join(root, "bin")
	if err := copyProgram(busybox, filepath.Join(bin, "busybox")); err != nil {
		return err
	}
	names, err := exec.CommandContext(ctx, busybox, "--list").Output()
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(names)) {
		if name == "busybox" {
			continue
		}
		if err := os.Link(filepath.Join(bin, "busybox"), filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	return nil
}

// fillDebian gives root this machine's programs and the libraries that they
// need, in the layout of a merged /usr.
func fillDebian(ctx context.Context, root string) error {
	for _, folder := range []string{"bin", "lib", "lib64", "sbin"} {
		if err := os.MkdirAll(filepath.Join(root, "usr", folder), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("usr/"+folder, filepath.Join(root, folder)); err != nil {
			return err
		}
	}
	for _, name := range debian {
		program, err := lookUp(name)
		if err != nil {
			return err
		}
		if err := copyProgram(program, filepath.Join(root, program)); err != nil {
			return err
		}
		libraries, _ := exec.CommandContext(ctx, "ldd", program).Output() // it fails for a static program, or a script
		for _, library := range libraryPath.FindAllString(string(libraries), -1) {
			if err := copyProgram(library, filepath.Join(root, library)); err != nil {
				return err
			}
		}
	}
	return nil
}

var libraryPath = regexp.MustCompile(`/[^ )]+`)

// lookUp finds a program of the system itself, whatever $PATH says.
func lookUp(name string) (string, error) {
	for _, folder := range []string{"/usr/bin", "/usr/sbin", "/bin", "/sbin"} {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("this machine has no %s", name)
}

// copyProgram copies a file, links followed, unless it is there.
func copyProgram(from, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}
