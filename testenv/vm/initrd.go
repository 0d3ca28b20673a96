package vm

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const busybox = "/bin/busybox" // static

// entry is one file or folder of an initial RAM disk.
type entry struct {
	path string // without a leading slash
	mode fs.FileMode
	uid  int // and gid
	data []byte
}

// initrd makes the initial RAM disk: busybox, the image's early modules, and
// the machine's own files, which end up in its root file system.
func initrd(image string, own []entry) ([]byte, error) {
	shell, err := os.ReadFile(busybox)
	if err != nil {
		return nil, err
	}
	all := []entry{{"init", 0o755, 0, []byte(initScript)}, {"bin/busybox", 0o755, 0, shell}}
	modules, err := filepath.Glob(filepath.Join(image, "early", "*"))
	if err != nil {
		return nil, err
	}
	for _, m := range modules { // in order
		data, err := os.ReadFile(m)
		if err != nil {
			return nil, err
		}
		all = append(all, entry{"early/" + filepath.Base(m), 0o644, 0, data})
	}
	for _, e := range own {
		e.path = "own/" + e.path
		all = append(all, e)
	}
	return archive(all), nil
}

// archive writes entries as the kernel takes them (cpio, "newc"; kernel
// documentation, "initramfs buffer format"). Folders that no entry is are made.
func archive(all []entry) []byte {
	var b bytes.Buffer
	made := map[string]bool{".": true}
	var parents func(dir string)
	parents = func(dir string) {
		if !made[dir] {
			parents(path.Dir(dir))
			made[dir] = true
			put(&b, len(made), entry{path: dir, mode: fs.ModeDir | 0o755})
		}
	}
	for i, e := range all {
		parents(path.Dir(e.path))
		made[e.path] = made[e.path] || e.mode.IsDir()
		put(&b, 10_000+i, e)
	}
	put(&b, 0, entry{path: "TRAILER!!!"})
	return b.Bytes()
}

// put writes one entry: a header of 6 digits and 13 fields of 8, its name with
// a zero, its data; each padded to 4 bytes.
func put(b *bytes.Buffer, inode int, e entry) {
	kind, links := uint32(0o100000), 1
	if e.mode.IsDir() {
		kind, links = 0o040000, 2
	}
	fmt.Fprintf(b, "070701%08x%08x%08x%08x%08x%08x%08x", inode, kind|uint32(e.mode.Perm()), e.uid, e.uid, links, 0, len(e.data))
	fmt.Fprintf(b, "%08x%08x%08x%08x%08x%08x", 0, 0, 0, 0, len(e.path)+1, 0)
	b.WriteString(e.path + "\x00")
	pad(b)
	b.Write(e.data)
	pad(b)
}

func pad(b *bytes.Buffer) { b.WriteString(strings.Repeat("\x00", (4-b.Len()%4)%4)) }
