package ui

import (
	"slices"
	"strings"

	"dray/pipeline"
)

// Corrected is a command line again, with the name that was probably meant; ""
// when none is near, or the line does not have it, or has the near one as well:
// then another was meant.
func Corrected(line []string, unknown *pipeline.UnknownError) string {
	near, found := unknown.Near(), false
	words := Retyped(line, func(word string) string {
		rest, named := strings.CutPrefix(word, unknown.Name)
		if !named || rest != "" && rest[0] != '/' {
			return word
		}
		found = true
		return near + rest
	})
	if near == "" || !found || slices.Contains(line[1:], near) {
		return ""
	}
	return strings.Join(words, " ")
}

// Retyped is a command line again, with what change makes of its words. What may
// hold a secret is left out: values of assignments, and a command to run.
func Retyped(line []string, change func(word string) string) []string {
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
