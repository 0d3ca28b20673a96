package pipeline

import (
	"slices"
	"testing"
)

func TestReleaseNumber(t *testing.T) {
	for text, want := range map[string]struct {
		n     ReleaseNumber
		exact bool
		short string
	}{
		"42":   {ReleaseNumber{Number: 42}, false, "42"},
		"42.0": {ReleaseNumber{Number: 42}, true, "42"},
		"42.1": {ReleaseNumber{Number: 42, Revision: 1}, true, "42.1"},
		"7.10": {ReleaseNumber{Number: 7, Revision: 10}, true, "7.10"},
	} {
		n, exact, err := ParseReleaseNumber(text)
		if err != nil || n != want.n || exact != want.exact || n.String() != want.short {
			t.Errorf("%s: %s, exact %t, %v; want %s, %t", text, n, exact, err, want.short, want.exact)
		}
	}
	for _, text := range []string{"", "0", "0.1", "-1", "+42", "042", "42.", ".1", "42.-1", "42.+1", "42.01", "42.00", "42.1.0", "42.1.2", "r42", "42/1", "99999999999999999999"} {
		if n, _, err := ParseReleaseNumber(text); err == nil {
			t.Errorf("%q was read as %s", text, n)
		}
	}
}

func TestReleaseNumbersSort(t *testing.T) {
	numbers := []ReleaseNumber{{42, 10}, {43, 0}, {42, 2}, {9, 0}, {42, 0}}
	slices.SortFunc(numbers, ReleaseNumber.Compare)
	if want := []ReleaseNumber{{9, 0}, {42, 0}, {42, 2}, {42, 10}, {43, 0}}; !slices.Equal(numbers, want) {
		t.Errorf("sorted: %v, want %v", numbers, want)
	}
}

func FuzzParseReleaseNumber(f *testing.F) {
	for _, text := range []string{"42", "42.0", "42.1", "0", "42.1.0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, exact, err := ParseReleaseNumber(text)
		if err != nil {
			return
		}
		again, _, err := ParseReleaseNumber(n.String())
		if err != nil || again != n || (!exact && text != n.String()) {
			t.Errorf("%q is %s, which is %s (%v)", text, n, again, err)
		}
	})
}
