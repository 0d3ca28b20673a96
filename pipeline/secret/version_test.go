package secret

import "testing"

// TestVersionStays holds the form that hosts keep: another one would make
// every secret look changed.
func TestVersionStays(t *testing.T) {
	const want = "6ddb144097910235f625c30be86fabb4"
	if got := Version("shop", "DATABASE_URL", NewValue("postgres://db")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestVersionsDifferByProjectNameAndValue(t *testing.T) {
	seen := map[string]string{}
	for _, c := range [][3]string{{"a", "N", "v"}, {"b", "N", "v"}, {"a", "M", "v"}, {"a", "N", "w"}, {"a", "Nv", ""}} {
		version := Version(c[0], c[1], NewValue(c[2]))
		if other, twice := seen[version]; twice {
			t.Errorf("%v has the version of %v", c, other)
		}
		seen[version] = c[0] + c[1] + c[2]
	}
}

func TestVersions(t *testing.T) {
	values := map[string]Value{"A": NewValue("1"), "B": NewValue("2"), "C": NewValue("3")}
	got := Versions("shop", values)
	for name, v := range values {
		if got[name] != Version("shop", name, v) {
			t.Errorf("%s: got %q", name, got[name])
		}
	}
	if len(got) != len(values) {
		t.Errorf("got %d versions, want %d", len(got), len(values))
	}
}

func BenchmarkVersion(b *testing.B) {
	for b.Loop() {
		Version("shop", "DATABASE_URL", NewValue("postgres://db"))
	}
}
