package phrase

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// DidYouMean is ` Did you mean "NAME"?`, or "" when no name is near.
func DidYouMean(name string, names []string) string {
	if near := Nearest(name, names); near != "" {
		return fmt.Sprintf(" Did you mean %q?", near)
	}
	return ""
}

// Nearest returns which of names was probably meant, or "": one that begins so,
// or one that is at most three letters away, and no more than half of the word.
func Nearest(name string, names []string) string {
	if name == "" {
		return ""
	}
	best, least := "", min(3, len(name)/2)+1
	for _, candidate := range slices.Sorted(slices.Values(names)) {
		if candidate == name {
			continue
		}
		if strings.HasPrefix(candidate, name) {
			return candidate
		}
		if len(name) < 3 && !strings.HasPrefix(candidate, name[:1]) {
			continue // of two letters, every other word is a neighbour
		}
		if d := distance(strings.ToLower(name), strings.ToLower(candidate)); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance counts the letters to change; the right letters in a wrong order
// count as one.
func distance(a, b string) int {
	d := levenshtein.Distance(a, b, nil)
	if d > 1 && slices.Equal(sortedRunes(a), sortedRunes(b)) {
		return 1
	}
	return d
}

func sortedRunes(s string) []rune { return slices.Sorted(slices.Values([]rune(s))) }
