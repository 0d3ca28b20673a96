package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// unknown says that there is no such thing, what there is, and what was
// probably meant.
func unknown(kind, name, where string, names []string) error {
	text := join("no", kind, fmt.Sprintf("%q", name), where)
	if len(names) == 0 {
		return fmt.Errorf("%s: none is declared", text)
	}
	text += "; declared: " + strings.Join(names, ", ")
	if near := nearest(name, names); near != "" {
		text += ". Did you mean " + near + "?"
	}
	return errors.New(text)
}

// didYouMean is " Did you mean NAME?", or "" when nothing is near.
func didYouMean(name string, names []string) string {
	if near := nearest(name, names); near != "" {
		return " Did you mean " + near + "?"
	}
	return ""
}

// nearest returns the name that was probably meant, or "".
func nearest(name string, names []string) string {
	best, least := "", min(2, len(name)/2)+1
	for _, candidate := range names {
		if strings.HasPrefix(candidate, name) && name != "" {
			return candidate
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
	if d > 1 && slices.Equal(slices.Sorted(slices.Values([]rune(a))), slices.Sorted(slices.Values([]rune(b)))) {
		return 1
	}
	return d
}
