package runtime_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"dray/targets/runtime"
)

// TestFigures prints what a container costs. It runs where
// DRAY_FIGURES is set: a busy machine would make it fail.
func TestFigures(t *testing.T) {
	if os.Getenv("DRAY_FIGURES") == "" {
		t.Skip("DRAY_FIGURES is not set")
	}
	h := newHost(t)
	const n = 20
	times := map[string][]time.Duration{}
	measure := func(what string, do func() error) {
		began := time.Now()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		times[what] = append(times[what], time.Since(began))
	}
	var ids []string
	for i := range n {
		var c runtime.Container
		measure("create", func() (err error) {
			c, err = h.Create(t.Context(), sh(fmt.Sprint("c", i), "exec sleep 600"))
			return err
		})
		measure("start", func() error { return h.Start(t.Context(), c.ID) })
		measure("exec true", func() error {
			_, err := h.Exec(t.Context(), c.ID, runtime.ExecConfig{Command: []string{"true"}}, runtime.Streams{Stdout: io.Discard, Stderr: io.Discard})
			return err
		})
		ids = append(ids, c.ID)
		if i == 0 {
			c, _ = h.Get(c.ID)
			pss, private := memoryOf(t, shimOf(t, c))
			t.Logf("shim alone: PSS %d kB, private %d kB", pss, private)
		}
	}
	var pss, own []int
	for _, id := range ids {
		c, err := h.Get(id)
		if err != nil {
			t.Fatal(err)
		}
		p, private := memoryOf(t, shimOf(t, c))
		pss, own = append(pss, p), append(own, private)
	}
	began := time.Now()
	h.restart(t)
	t.Logf("recover of %d: %s", n, time.Since(began))
	grace := time.Duration(0)
	for _, id := range ids {
		measure("stop, killed", func() error { return h.Stop(t.Context(), id, &grace) })
		measure("remove", func() error { return h.Remove(t.Context(), id, false) })
	}
	for what, all := range times {
		sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
		t.Logf("%-14s median %s, min %s, max %s", what, all[n/2], all[0], all[n-1])
	}
	sort.Ints(pss)
	sort.Ints(own)
	t.Logf("shim: median PSS %d kB, private %d kB, with %d containers", pss[n/2], own[n/2], n)
}

// memoryOf reads /proc/PID/smaps_rollup, in kB.
func memoryOf(t *testing.T, pid int) (pss, private int) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.Atoi(fields[1])
		switch fields[0] {
		case "Pss:":
			pss = n
		case "Private_Clean:", "Private_Dirty:":
			private += n
		}
	}
	return pss, private
}
