package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// gatedFile is the project with a gate before one, whose minimum age is given.
func gatedFile(minAge string) string {
	gate := fmt.Sprintf("environment \"one\" {\n  promotion {\n    from    = environment.stage\n    min_age = %q\n  }\n", minAge)
	return strings.Replace(projectFile, "environment \"one\" {\n", gate, 1)
}

// TestEvidence promotes on evidence that must not count. Each is refused with
// its reason, and nothing changes.
func TestEvidence(t *testing.T) {
	f := newField(t)
	f.Write(t, map[string]string{"gated.hcl": gatedFile("0s"), "old.hcl": gatedFile("1h")})
	f.Dray(t, 0, append([]string{deploy, "stage"}, vars(f.next())...)...)
	f.Dray(t, 0, append([]string{deploy, "one"}, vars(f.next())...)...)
	f.Dray(t, 0, "host", "setup", "s1", "o1")
	sound := f.lockFile(t)
	keys := agentKey.FindAllStringSubmatch(sound, -1)
	if len(keys) != 2 {
		t.Fatalf("dray.lock.hcl has %d agent keys: %s", len(keys), sound)
	}
	// A release that entered one on evidence, for replaying.
	f.payload(t)
	f.Dray(t, 0, append([]string{deploy, "stage"}, vars(f.next())...)...)
	f.Dray(t, 0, append([]string{promote, "stage", "one", "--file", "gated.hcl"}, vars(f.next())...)...)
	before := f.current(t, "one")
	f.payload(t)
	f.Dray(t, 0, append([]string{deploy, "stage"}, vars(f.next())...)...)

	refused := func(t *testing.T, file string, says ...string) {
		t.Helper()
		r := f.Dray(t, 5, append([]string{promote, "stage", "one", "--file", file}, vars(f.next())...)...)
		for _, word := range says {
			if !strings.Contains(r.Stderr, word) {
				t.Errorf("it does not say %q: %s", word, r)
			}
		}
		if now := f.current(t, "one"); now != before {
			t.Errorf("version %d runs, and %d ran before", now, before)
		}
	}
	t.Run("too young", func(t *testing.T) { refused(t, "old.hcl", "healthy in stage for", "1h") })
	t.Run("signed by another host", func(t *testing.T) {
		swapped := strings.NewReplacer(keys[0][1], keys[1][1], keys[1][1], keys[0][1]).Replace(sound)
		f.Write(t, map[string]string{"dray.lock.hcl": swapped})
		defer f.Write(t, map[string]string{"dray.lock.hcl": sound})
		refused(t, "gated.hcl", "s1", "sign")
	})
	t.Run("forged", func(t *testing.T) {
		// The host's key is another one: whoever has taken it over signs with
		// what he has.
		h := f.Lab.Host("s1")
		path := inside(h, "var/lib/dray/host.key")
		key, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		f.restartAgent(t, "s1")
		f.Dray(t, 0, append([]string{deploy, "stage"}, vars(f.next())...)...)
		refused(t, "gated.hcl", "s1", "sign")
		if err := os.WriteFile(inside(h, "var/lib/dray/host.key"), key, 0o600); err != nil {
			t.Fatal(err)
		}
		f.restartAgent(t, "s1")
	})
	t.Run("never there", func(t *testing.T) {
		// Nothing but the key is left of what s1 has signed.
		f.Dray(t, 0, "down", "--yes", "stage")
		refused(t, "gated.hcl", "stage")
	})
}

var agentKey = regexp.MustCompile(`agent_key\s*=\s*"([^"]+)"`)

func (f *field) lockFile(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.Project, "dray.lock.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// restartAgent kills a host's agent and waits for the next one.
func (f *field) restartAgent(t *testing.T, host string) {
	t.Helper()
	before, err := f.clients[host].Host(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := killProcess(f.Lab.Host(host), "drayd agent"); err != nil {
		t.Fatal(err)
	}
	err = eventually(t.Context(), patience, "the agent is back", func() error {
		now, err := f.clients[host].Host(t.Context())
		if err == nil && now.Started.Equal(before.Started) {
			err = fmt.Errorf("it is the one of before")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
