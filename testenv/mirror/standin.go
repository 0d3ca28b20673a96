package mirror

import (
	"archive/tar"
	"bytes"
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
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// standIn is an image that can be made here.
type standIn struct {
	repo, tag string
	key       func() (string, error) // changes when what it would be made of does
	make      func(context.Context) (v1.Image, error)
}

var standIns = []standIn{
	{"library/busybox", "latest", busyboxKey, makeBusybox},
}

// form is raised when the way that images are made changes.
const form = "1"

// epoch is every file's time: images are the same whenever they are made.
var epoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

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
func makeBusybox(ctx context.Context) (v1.Image, error) {
	program, err := os.ReadFile(busyboxPath)
	if err != nil {
		return nil, err
	}
	list, err := exec.CommandContext(ctx, busyboxPath, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("listing busybox's commands: %w", err)
	}
	var b bytes.Buffer
	w := &archive{tar.NewWriter(&b)}
	for _, d := range []struct {
		name string
		mode int64
	}{{"bin", 0o755}, {"dev", 0o755}, {"etc", 0o755}, {"home", 0o755}, {"proc", 0o755}, {"root", 0o700}, {"run", 0o755},
		{"sys", 0o755}, {"tmp", 0o1777}, {"usr", 0o755}, {"usr/bin", 0o755}, {"usr/sbin", 0o755}, {"var", 0o755}, {"var/tmp", 0o1777}} {
		w.dir(d.name, d.mode)
	}
	w.file("bin/busybox", 0o755, program)
	commands := strings.Fields(string(list))
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
	if err := w.finish(); err != nil {
		return nil, err
	}
	layer, err := layerOf(b.Bytes())
	if err != nil {
		return nil, err
	}
	return imageOf(empty.Image, v1.Config{Cmd: []string{"sh"}, Env: []string{"PATH=" + path}}, layer)
}

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// layerOf makes a layer of a tar archive.
func layerOf(archive []byte) (v1.Layer, error) {
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive)), nil
	}, tarball.WithMediaType(types.OCILayer))
}

// imageOf puts layers and a configuration on a base. OCI types throughout.
func imageOf(base v1.Image, config v1.Config, layers ...v1.Layer) (v1.Image, error) {
	base = mutate.ConfigMediaType(mutate.MediaType(base, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, l := range layers {
		var err error
		base, err = mutate.Append(base, mutate.Addendum{
			Layer: l, MediaType: types.OCILayer,
			History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "dray testenv/mirror"},
		})
		if err != nil {
			return nil, fmt.Errorf("adding a layer: %w", err)
		}
	}
	file, err := base.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Created = v1.Time{Time: epoch}
	file.Config = config
	return mutate.ConfigFile(base, file)
}

// archive writes a tar in which only names, modes and contents count. The
// first error stays with the tar writer and comes out of finish.
type archive struct{ w *tar.Writer }

func (a *archive) add(h *tar.Header, body []byte) {
	h.ModTime, h.Format = epoch, tar.FormatPAX
	h.Size = int64(len(body))
	if a.w.WriteHeader(h) == nil {
		_, _ = a.w.Write(body) // kept by the writer, see finish
	}
}

func (a *archive) dir(name string, mode int64) {
	a.add(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}, nil)
}

func (a *archive) file(name string, mode int64, body []byte) {
	a.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode}, body)
}

func (a *archive) link(name, to string) {
	a.add(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}, nil)
}

func (a *archive) finish() error {
	if err := a.w.Close(); err != nil {
		return fmt.Errorf("writing an archive: %w", err)
	}
	return nil
}
