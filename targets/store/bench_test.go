package store_test

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dray/pipeline/event"
	"dray/targets/store"
)

// machineTar packs regular files and folders of this machine below root until
// it holds size bytes.
func machineTar(t testing.TB, root string, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || size <= 1<<20 {
			return fs.SkipAll
		}
		info, err := e.Info()
		if err != nil || !info.IsDir() && !info.Mode().IsRegular() {
			return nil
		}
		hdr, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		hdr.Name = strings.TrimPrefix(path, "/")
		if info.Mode().IsRegular() && info.Size() > size {
			return nil
		}
		if err := w.WriteHeader(hdr); err != nil || info.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		size -= int64(len(content))
		_, err = w.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// BenchmarkPullCold pulls and unpacks an image of about 50 MB compressed, 140
// MB unpacked, in three layers, over a unix socket into an empty store.
func BenchmarkPullCold(b *testing.B) {
	o := newOrigin(b)
	tars := [][]byte{machineTar(b, "/usr/share", 45<<20), machineTar(b, "/usr/lib", 65<<20), machineTar(b, "/usr/bin", 20<<20)}
	d := o.image(tars...)
	sources := peer(o)
	var cpu time.Duration
	for b.Loop() {
		b.StopTimer()
		s, err := store.Open(b.TempDir(), store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		before := cpuTime(b)
		b.StartTimer()
		img, err := s.Pull(b.Context(), store.PullRequest{Digest: d.Digest, Name: "bench", Sources: sources}, event.Discard)
		if err != nil {
			b.Fatal(err)
		}
		cpu += cpuTime(b) - before
		b.ReportMetric(float64(img.Size)/1e6, "MB-compressed")
		b.ReportMetric(float64(img.Unpacked)/1e6, "MB-unpacked")
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/op")
}

// cpuTime is what this process and its children have used, the serving side
// included. The machine is shared, so wall time alone says little.
func cpuTime(b *testing.B) (sum time.Duration) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}
