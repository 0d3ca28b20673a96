package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// unknownError is a name that nothing in the file has.
type unknownError struct {
	text string
	name string
	near string // what was probably meant, or ""
}

func (e *unknownError) Error() string { return e.text }

// unknown says that there is no such thing, what there is, and what was
// probably meant.
func unknown(kind, name, where string, names []string) error {
	e := &unknownError{text: join("no", kind, fmt.Sprintf("%q", name), where), name: name, near: nearest(name, names)}
	if len(names) == 0 {
		e.text += ": none is declared"
		return e
	}
	e.text += "; declared: " + strings.Join(names, ", ")
	if e.near != "" {
		e.text += ". Did you mean " + e.near + "?"
	}
	return e
}

// next is the command line again, with the name that was probably meant.
func (e *unknownError) next(line []string) string {
	found := false
	words := retyped(line, func(word string) string {
		rest, named := strings.CutPrefix(word, e.name)
		if !named || rest != "" && rest[0] != '/' {
			return word
		}
		found = true
		return e.near + rest
	})
	if e.near == "" || !found {
		return "take one that is declared, or declare it in the file"
	}
	return strings.Join(words, " ")
}

// retyped is the command line again, with what change makes of its words. What
// may hold a secret is left out: values of assignments, and a command to run.
func retyped(line []string, change func(word string) string) []string {
	words := []string{"dray"}
	for _, word := range line[1:] {
		if word == "--" {
			return append(words, "-- …")
		}
		changed := word
		if change != nil {
			changed = change(word)
		}
		if name, _, assigns := strings.Cut(word, "="); assigns && changed == word {
			changed = name + "=…"
		}
		words = append(words, changed)
	}
	return words
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
