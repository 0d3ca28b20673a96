package pipeline

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// ReleaseNumber names a release within its environment. The number goes with
// what was built: promotion keeps it. The revision is the environment's own: 0
// for what first came there under a number, and one more each time that other
// content comes under it, as after a change of configuration alone.
type ReleaseNumber struct {
	Number   int `json:"number"` // from 1; 0 is no release
	Revision int `json:"revision,omitempty"`
}

// String returns "42" for the first revision and "42.1" for the one after it.
func (n ReleaseNumber) String() string {
	if n.Revision == 0 {
		return strconv.Itoa(n.Number)
	}
	return fmt.Sprintf("%d.%d", n.Number, n.Revision)
}

// Name returns "release 42", or "nothing" where there is no release.
func (n ReleaseNumber) Name() string {
	if !n.Known() {
		return "nothing"
	}
	return "release " + n.String()
}

// Known says that there is a release.
func (n ReleaseNumber) Known() bool { return n.Number != 0 }

// Compare sorts by number, then by revision.
func (n ReleaseNumber) Compare(other ReleaseNumber) int {
	return cmp.Or(cmp.Compare(n.Number, other.Number), cmp.Compare(n.Revision, other.Revision))
}

// ParseReleaseNumber reads "42", "42.1", and "42.0" for the first revision.
// exact says that the text names a revision.
func ParseReleaseNumber(text string) (n ReleaseNumber, exact bool, err error) {
	number, revision, exact := strings.Cut(text, ".")
	n.Number, err = strconv.Atoi(number)
	if err == nil && exact {
		n.Revision, err = strconv.Atoi(revision)
	}
	// One release has one name: no signs, no zeros in front.
	if err != nil || n.Number < 1 || n.Revision < 0 || (text != n.String() && text != n.String()+".0") {
		return ReleaseNumber{}, false, fmt.Errorf("release %q: give its number, such as 42 or 42.1", text)
	}
	return n, exact, nil
}

// ReleaseRef is a release in the JSON of what speaks of one.
type ReleaseRef struct {
	Release  int `json:"release"` // 0: of none
	Revision int `json:"revision,omitempty"`
}

// RefTo names a release.
func RefTo(n ReleaseNumber) ReleaseRef {
	return ReleaseRef{Release: n.Number, Revision: n.Revision}
}

// ReleaseNumber is the release that is meant.
func (r ReleaseRef) ReleaseNumber() ReleaseNumber {
	return ReleaseNumber{Number: r.Release, Revision: r.Revision}
}
