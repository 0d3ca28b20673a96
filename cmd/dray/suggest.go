package main

import (
	"fmt"
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
	return fmt.Errorf("%s; declared: %s.%s", text, strings.Join(names, ", "), didYouMean(name, names))
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
		if d := levenshtein.Distance(strings.ToLower(name), strings.ToLower(candidate), nil); d < least {
			best, least = candidate, d
		}
	}
	return best
}
