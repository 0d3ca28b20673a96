package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const busyboxPath = "/bin/busybox"

func busyboxKey() (string, error) {
	f, err := os.Open(busyboxPath)
	if err != nil {
		return "", fmt.Errorf("apt-get install busybox-static: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return form + "-" + runtime.GOARCH + "-" + hex.EncodeToString(sum.Sum(nil)), nil
}

// makeBusybox puts the static busybox on scratch, with a link for each of its
// commands and the few files that programs expect.
func makeBusybox(ctx context.Context, dir string) (v1.Image, error) {
	layer, err := makeBusyboxLayer(ctx, dir)
	if err != nil {
		return nil, err
	}
	return imageOf(v1.Config{Cmd: []string{"sh"}, Env: []string{"PATH=" + searchPath}}, layer)
}

func makeBusyboxLayer(ctx context.Context, dir string) (*layer, error) {
	program, err := os.ReadFile(busyboxPath)
	if err != nil {
		return nil, err
	}
	list, err := exec.CommandContext(ctx, busyboxPath, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("listing busybox's commands: %w", err)
	}
	return makeLayer(dir, func(w *archive) error {
		busyboxFiles(w, program, strings.Fields(string(list)))
		return nil
	})
}

func busyboxFiles(w *archive, program []byte, commands []string) {
	for _, d := range []struct {
		name string
		mode int64
	}{{"bin", 0o755}, {"dev", 0o755}, {"etc", 0o755}, {"home", 0o755}, {"proc", 0o755}, {"root", 0o700}, {"run", 0o755},
		{"sys", 0o755}, {"tmp", 0o1777}, {"usr", 0o755}, {"usr/bin", 0o755}, {"usr/sbin", 0o755}, {"var", 0o755}, {"var/tmp", 0o1777}} {
		w.dir(d.name, d.mode)
	}
	w.file("bin/busybox", 0o755, program)
	sort.Strings(commands)
	for _, c := range commands {
		if c != "busybox" {
			w.link("bin/"+c, "busybox")
		}
	}
	w.link("usr/bin/env", "../../bin/busybox")
	w.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n"))
	w.file("etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n"))
	w.file("etc/nsswitch.conf", 0o644, []byte("hosts: files dns\n"))
}
