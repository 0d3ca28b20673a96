package ui

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"dray/pipeline/phrase"
	"dray/targets/api"
)

// HostReport is what host check says of one host.
type HostReport struct {
	Name  string    `json:"host"`
	Error string    `json:"error,omitempty"`
	Next  string    `json:"next,omitempty"`
	Host  *api.Host `json:"facts,omitempty"`
	// Absent: dray was never there. Nothing else is known of a host that is only
	// looked at.
	Absent bool `json:"absent,omitempty"`
}

func hostTable(reports []HostReport) *Table {
	t := &Table{
		Header: []string{"HOST", "SYSTEM", "KERNEL", "ARCH", "CPUS", "MEMORY FREE", "DISK FREE", "CGROUPS", "STARTS AT BOOT", "DRAYD"},
		Spare:  []string{"KERNEL", "ARCH", "SYSTEM", "DRAYD", "STARTS AT BOOT"},
	}
	for _, r := range reports {
		if h := r.Host; h != nil {
			t.Add(r.Name, h.OS, h.Kernel, h.Arch, strconv.Itoa(h.CPUs), phrase.Size(h.MemoryFree), phrase.Size(h.DiskFree),
				fmt.Sprintf("v%d %s", h.CgroupVersion, strings.Join(h.Limits, ",")), strconv.FormatBool(h.StartsAtBoot), h.Version)
		}
	}
	return t
}

// printConfinement says what a host enforces on containers, and what it does not,
// with the reason.
func printConfinement(w io.Writer, name string, h *api.Host) {
	c := h.Confinement
	if c == (api.Confinement{}) {
		return // an older agent
	}
	var works, lacks []string
	for _, fact := range []struct{ name, is string }{
		{"seccomp", c.Seccomp}, {"AppArmor", c.AppArmor}, {"SELinux", c.SELinux}, {"user namespaces", c.Userns},
	} {
		switch fact.is {
		case "enforced", "possible":
			works = append(works, fact.name)
		default:
			lacks = append(lacks, fmt.Sprintf("%s (%s)", fact.name, fact.is))
		}
	}
	line := fmt.Sprintf("%s confines containers with %s", name, phrase.List(append(works, fmt.Sprintf("cgroups v%d", h.CgroupVersion))))
	if len(lacks) > 0 {
		line += "; not with " + phrase.List(lacks)
	}
	fmt.Fprintln(w, line+".")
	if c.Policy != "" {
		fmt.Fprintf(w, "! %s: %s\n", name, c.Policy)
	}
}

// PrintHosts lists what hosts are, and which can't be used.
func PrintHosts(w io.Writer, reports []HostReport) error {
	if t := hostTable(reports); len(t.Rows) > 0 {
		if err := t.Print(w); err != nil {
			return err
		}
	}
	for _, r := range reports {
		if r.Host != nil {
			printConfinement(w, r.Name, r.Host)
		}
	}
	failed := slices.DeleteFunc(slices.Clone(reports), func(r HostReport) bool { return r.Error == "" })
	for _, r := range reports {
		if r.Absent {
			fmt.Fprintf(w, "%s can be reached. dray's agent is not there yet: dray host setup %[1]s, or the first deployment, brings it.\n", r.Name)
		}
		passFirewall(w, r)
		if r.Error != "" {
			fmt.Fprintf(w, "✗ %s\n", strings.ReplaceAll(r.Error, "\n", "\n  "))
			if len(failed) > 1 && r.Next != "" { // one alone is said at the end
				fmt.Fprintf(w, "  Next: %s\n", r.Next)
			}
		}
	}
	return nil
}

// passFirewall says which ports a host's own firewall will not stop.
func passFirewall(w io.Writer, r HostReport) {
	if r.Host == nil || r.Host.Firewall == "" || len(r.Host.Open) == 0 {
		return
	}
	fmt.Fprintf(w, "! %s: its firewall (%s) does not stop published ports, which pass it on their way to containers:\n", r.Name, r.Host.Firewall)
	for _, o := range r.Host.Open {
		at, from := "", "from everywhere"
		if o.Address != "" {
			at = " at " + o.Address
		}
		if len(o.From) > 0 {
			from = "from " + phrase.List(o.From)
		}
		fmt.Fprintf(w, "    %s%s   %s of %s, %s\n", o.Port, at, o.Service, o.Network, from)
	}
	fmt.Fprintln(w, "  address and from of the port say who reaches it: port \"…\" { address = \"127.0.0.1\" }")
}
