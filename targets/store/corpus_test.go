//go:build !race

// The bounds of time and memory are those of programs without the race detector.

package store_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"dray/builder/registry"
	"dray/pipeline/event"
	"dray/targets/store"
)

// The corpus is pulled by an agent of its own, at default limits, which may use
// agentMemory and has a disk of diskSize.
const (
	agentMemory = 256 << 20
	diskSize    = 1536 << 20
)

func init() { programs["corpus-agent"] = corpusAgent }

// errand is what the agent is to pull, and outcome what came of it.
type errand struct {
	Dir, Socket string
	Images      map[string]digest.Digest
}

type outcome struct {
	Name, Err string
	Took      time.Duration
	Most      int64 // bytes of memory that the agent has had at a time
}

// corpusAgent pulls images one after the other, with the bounds on its own heap
// that drayd has.
func corpusAgent() error {
	debug.SetGCPercent(40)
	debug.SetMemoryLimit(64 << 20)
	var e errand
	if err := json.NewDecoder(os.Stdin).Decode(&e); err != nil {
		return err
	}
	s, err := store.Open(e.Dir, store.Options{})
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for name, d := range e.Images {
		began := time.Now()
		_, err := s.Pull(context.Background(), store.PullRequest{Digest: d, Name: "hostile/" + name, Sources: []registry.Source{registry.Peer(e.Socket)}}, event.Discard)
		o := outcome{Name: name, Took: time.Since(began), Most: highWater()}
		if err != nil {
			o.Err = err.Error()
		}
		if err := out.Encode(o); err != nil {
			return err
		}
	}
	if _, err := s.GC(context.Background(), true); err != nil {
		return err
	}
	return s.Close()
}

// TestHostileCorpus has an agent pull what images have been made to do harm
// with. Each pull ends as it should, and the agent lives, with little memory.
func TestHostileCorpus(t *testing.T) {
	disk, outside := smallDisk(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "kept"), []byte("kept"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(outside, 0o711); err != nil {
		t.Fatal(err)
	}
	o := newOrigin(t)
	e := errand{Dir: filepath.Join(disk, "store"), Images: map[string]digest.Digest{}}
	want := map[string]string{}
	for _, x := range append(hostileLayers(t, o, outside), hostileDocuments(t, o)...) {
		e.Images[x.name], want[x.name] = x.image.Digest, x.says
	}
	e.Socket = o.listen(nil)
	var most int64
	for _, x := range runCorpusAgent(t, e) {
		most = max(most, x.Most)
		t.Logf("%s: %s: %.300s", x.Name, x.Took.Round(time.Millisecond), x.Err)
		if says := want[x.Name]; (says == "") != (x.Err == "") || !strings.Contains(x.Err, says) {
			t.Errorf("%s: the error is %q, want %q", x.Name, x.Err, says)
		}
		delete(want, x.Name)
	}
	if len(want) > 0 {
		t.Errorf("not pulled: %v", want)
	}
	if most <= 0 || most > agentMemory/2 {
		t.Errorf("the agent has taken %d MiB", most>>20)
	}
	t.Logf("the agent has taken %d MiB", most>>20)
	wantUntouched(t, outside)
}

// highWater is the most memory that this process has had at a time, in bytes.
func highWater() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64) // 0 is refused by the test
			return kib << 10
		}
	}
	return -1
}

// runCorpusAgent runs the agent in a control group. It must not end before its
// time.
func runCorpusAgent(t *testing.T, e errand) (outcomes []outcome) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "corpus-agent")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	limitMemory(t, cmd.Process.Pid, agentMemory)
	if err := json.NewEncoder(in).Encode(e); err != nil {
		t.Error(err)
	}
	for d := json.NewDecoder(out); ; {
		var x outcome
		if err := d.Decode(&x); err != nil {
			break // what is missing shows
		}
		outcomes = append(outcomes, x)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the agent ended: %v", err)
	}
	return outcomes
}

// limitMemory puts a process into a control group of its own until the test
// ends.
func limitMemory(t *testing.T, pid int, bytes int64) {
	t.Helper()
	dir, limit := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if _, err := os.Stat(dir); err != nil {
		dir, limit = "/sys/fs/cgroup", "memory.max"
	}
	dir = filepath.Join(dir, fmt.Sprintf("dray-corpus-%d", pid))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	for name, text := range map[string]int64{limit: bytes, "cgroup.procs": int64(pid)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strconv.FormatInt(text, 10)), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// smallDisk is a file system of diskSize, until the test ends.
func smallDisk(t *testing.T) string {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, diskSize); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", image}, {"mount", "-o", "loop", image, dir},
	} {
		if text, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("making a disk: %s: %v: %s", command[0], err, text)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// hostile is an image that does harm, and what its pull must say; "" is nothing.
type hostile struct {
	name  string
	image ocispec.Descriptor
	says  string
}

// raw is an image of one layer as it travels, whose tar has this digest; "" is
// one that is not reached.
func raw(o *origin, kind string, layer []byte, diffID digest.Digest) ocispec.Descriptor {
	config := o.config()
	if diffID == "" {
		diffID = digest.FromString("not reached")
	}
	config.RootFS.DiffIDs = []digest.Digest{diffID}
	return o.manifest(ocispec.Manifest{Layers: []ocispec.Descriptor{o.put(kind, layer)}}, config)
}

func hostileLayers(t *testing.T, o *origin, outside string) []hostile {
	const tooLarge, gzipped, zstd = "more than is allowed", ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd
	up := strings.Repeat("../", 12) + outside
	pax := strings.Repeat("p", 900<<10)
	var fat, same, attributes []entry
	for n := range 100 {
		fat = append(fat, entry{Header: tar.Header{Name: noiseName(n) + "/", Typeflag: tar.TypeDir, PAXRecords: map[string]string{"DRAY.x": pax}}})
		attributes = append(attributes, entry{Header: tar.Header{Name: noiseName(n), PAXRecords: map[string]string{"SCHILY.xattr.user.x": pax}}})
	}
	for range 20_000 {
		same = append(same, file("same", ""))
	}
	whole := makeTar(t, file("a", noise(100_000)))
	sparse := gnuSparse()
	entryOfRoot := makeTar(t, folder(".", 0o755))[:512]
	return []hostile{
		{"four-million-entries", raw(o, gzipped, members(t, bytes.Repeat(entryOfRoot, 1<<17), 32), ""), "too many files"},
		{"path-of-a-mebibyte", o.image(makeTar(t, file(strings.Repeat("a/", maxPAX/2-1)+"f", ""))), tooLarge},
		{"target-of-a-mebibyte", o.image(makeTar(t, link(tar.TypeSymlink, "l", strings.Repeat("a/", maxPAX/2-1)))), tooLarge},
		{"deep-folders", o.image(makeTar(t, file(strings.Repeat("a/", 2000)+"f", ""))), tooLarge},
		{"records-of-folders", o.image(makeTar(t, fat...)), "too many bytes of names and attributes"},
		{"attributes", o.image(makeTar(t, attributes...)), "unpacking layer"},
		{"gzip-bomb", raw(o, gzipped, members(t, make([]byte, 32<<20), 64), ""), "unpacks to more than the disk"},
		{"gzip-bomb-of-a-file", raw(o, gzipped, members(t, append(claim(t, 400<<20), make([]byte, 32<<20)...), 1), ""), "unexpected EOF"},
		{"zstd-bomb", raw(o, zstd, zstdZeros(2<<30), ""), "unpacks to more than the disk"},
		{"zstd-window", raw(o, zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0xa8, 0x03, 0, 0x10, 0}, ""), "window size exceeded"},
		{"a-file-of-a-pebibyte", raw(o, gzipped, members(t, claim(t, 1<<50), 1), ""), tooLarge},
		{"sparse", o.image(sparse), "unpacks to more than the disk"},
		{"same-name", o.image(makeTar(t, same...)), ""},
		{"devices", o.image(makeTar(t, entry{Header: tar.Header{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8, Mode: 0o666}}, link(tar.TypeLink, "sdb", "sda"))), ""},
		{"links-out", o.image(makeTar(t, link(tar.TypeSymlink, "l", outside), file("l/evil", "x"), file("l/.wh.kept", ""), file("l/.wh..wh..opq", ""))), ""},
		{"dots-out", o.image(makeTar(t, file(up+"/evil", "x"), file(up+"/.wh.kept", ""))), ""},
		{"hard-link-out", o.image(makeTar(t, link(tar.TypeLink, "h", up+"/kept"))), "no such file"},
		{"whiteout-of-dots", o.image(makeTar(t, file("a/.wh...", ""))), "invalid whiteout name"},
		{"tar-cut-short", o.image(whole[:len(whole)/2]), "unexpected EOF"},
		{"gzip-cut-short", raw(o, gzipped, members(t, whole, 1)[:50_000], ""), "unexpected EOF"},
		{"zstd-cut-short", raw(o, zstd, zstandard(t, whole)[:50_000], ""), "unexpected EOF"},
		{"nothing", raw(o, gzipped, nil, ""), "config says"},
		{"a-zip", raw(o, gzipped, []byte("PK\x03\x04"+noise(1000)), ""), "unpacking layer"},
	}
}

func hostileDocuments(t *testing.T, o *origin) []hostile {
	tarball := makeTar(t, file("a", ""))
	labels := map[string]string{}
	for n := range 1_000_000 {
		labels[strconv.Itoa(n)] = ""
	}
	with := func(change func(*ocispec.Image)) ocispec.Descriptor {
		config := o.config(tarball)
		change(&config)
		return o.manifest(ocispec.Manifest{Layers: []ocispec.Descriptor{o.put(ocispec.MediaTypeImageLayer, tarball)}}, config)
	}
	text := func(config string) ocispec.Descriptor {
		m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: o.put(ocispec.MediaTypeImageConfig, []byte(config))}
		m.SchemaVersion, m.Layers = 2, []ocispec.Descriptor{o.put(ocispec.MediaTypeImageLayer, tarball)}
		return o.putJSON(ocispec.MediaTypeImageManifest, m)
	}
	return []hostile{
		{"a-million-labels", with(func(c *ocispec.Image) { c.Config.Labels = labels }), "more than the 8388608 allowed"},
		{"labels-of-a-mebibyte", with(func(c *ocispec.Image) { c.Config.Labels = map[string]string{"x": strings.Repeat("y", 1<<20)} }), ""},
		{"deep-config", text(strings.Repeat("[", 1<<20)), "config can't be read"},
		{"deep-value", text(`{"x":` + strings.Repeat(`{"x":`, 1<<20)), "config can't be read"},
		{"half-a-config", text(`{"os":"linux"`), "config can't be read"},
		{"many-layers", with(func(c *ocispec.Image) { c.RootFS.DiffIDs = make([]digest.Digest, 100_000) }), "layers"},
		{"odd-words", with(func(c *ocispec.Image) {
			c.Config.User, c.Config.Env, c.Config.WorkingDir = "a\x00b:../..", []string{"A=\x00", "=", ""}, "../../.."
		}), ""},
	}
}

// members repeats a gzip stream of b.
func members(t *testing.T, b []byte, times int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.Repeat(out.Bytes(), times)
}

// claim is the header of a file that says it has n bytes.
func claim(t *testing.T, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&tar.Header{Name: "file", Typeflag: tar.TypeReg, Mode: 0o644, Size: n}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// zstdZeros is a zstd frame of n zeros: blocks of one byte, repeated 128 Ki
// times (RFC 8878, 3.1.1).
func zstdZeros(n int) []byte {
	const block = 128 << 10
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x38} // a window of 128 KiB
	for left := n; left > 0; left -= block {
		header := block<<3 | 1<<1 // its size, and its kind
		if left <= block {
			header |= 1 // the last
		}
		frame = append(frame, byte(header), byte(header>>8), byte(header>>16), 0)
	}
	return frame
}
