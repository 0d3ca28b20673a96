package cgroup

import (
	"os"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	v1 := parse("12:pids:/dray/x\n4:memory:/dray/x\n3:cpu,cpuacct:/dray/x\n0::/\n", root)
	if v1.V2() || v1.folders["cpuacct"] != root+"/cpuacct/dray/x" || v1.folders["memory"] != root+"/memory/dray/x" {
		t.Errorf("version 1: %+v", v1)
	}
	if v2 := parse("0::/dray/x\n", root); !v2.V2() || v2.unified != root+"/dray/x" {
		t.Errorf("version 2: %+v", v2)
	}
	mixed := parse("1:name=systemd:/a\n0::/dray/x\n", root)
	if !mixed.V2() {
		t.Errorf("version 2 with systemd's hierarchy: %+v", mixed)
	}
}

func TestOwnGroup(t *testing.T) {
	g, err := Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	s, err := g.Stats()
	if err != nil {
		t.Skip("this process's cgroup can't be seen here: " + err.Error())
	}
	if s.CPU.Total == 0 {
		t.Errorf("no CPU time was used: %+v", s)
	}
}

func TestParseIO(t *testing.T) {
	got := parseIO("254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\nbad\n")
	if len(got) != 1 || got[0] != (BlockDevice{254, 0, 10, 20, 1, 2}) {
		t.Errorf("version 2: %+v", got)
	}
	got = parseBlkio("254:0 Read 10\n254:0 Write 20\n254:0 Total 30\nTotal 30\n", "254:0 Read 1\n254:0 Write 2\n")
	if len(got) != 1 || got[0] != (BlockDevice{254, 0, 10, 20, 1, 2}) {
		t.Errorf("version 1: %+v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("12:pids:/dray/x\n0::/\n", "254:0 rbytes=10\n")
	f.Fuzz(func(t *testing.T, groups, io string) {
		g := parse(groups, root)
		if g.V2() && !strings.HasPrefix(g.unified, root) {
			t.Errorf("outside: %q", g.unified)
		}
		parseIO(io)
		parseBlkio(io, io)
	})
}
