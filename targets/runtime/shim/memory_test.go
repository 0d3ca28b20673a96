package shim

import (
	"slices"
	"testing"
)

func TestDroppable(t *testing.T) {
	const smaps = `00400000-00403000 r--p 00000000 fe:00 12 /bin/dray-oci
Rss: 12 kB
Anonymous:         0 kB
00403000-00700000 r-xp 00003000 fe:00 12 /bin/dray-oci
Anonymous:         0 kB
00700000-00701000 r--p 00300000 fe:00 12 /bin/dray-oci
Anonymous:         4 kB
00701000-00710000 rw-p 00301000 fe:00 12 /bin/dray-oci
Anonymous:         0 kB
c000000000-c000400000 rw-p 00000000 00:00 0 [anon: Go: heap]
Anonymous:         0 kB
7fff00000000-7fff00001000 r-xp 00000000 00:00 0 [vdso]
Anonymous:         0 kB
`
	want := []mapping{{0x400000, 0x403000}, {0x403000, 0x700000}}
	if got := droppable(smaps); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func FuzzDroppable(f *testing.F) {
	f.Add("00400000-00403000 r--p 00000000 fe:00 12 /x\nAnonymous: 0 kB\n")
	f.Fuzz(func(t *testing.T, smaps string) {
		for _, m := range droppable(smaps) {
			if m.end <= m.start {
				t.Errorf("an empty range: %x", m)
			}
		}
	})
}
