package main

import (
	"fmt"
	"os"
	"strings"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// unknownError is a name that nothing in the file has.
type unknownError struct {
	text string
	name string
	near string // what was probably meant, or ""
}

func (e *unknownError) Error() string { return e.text }

// Hint is the command line again.
func (e *unknownError) Hint() pipeline.Hint { return pipeline.Hint{Next: e.next(os.Args)} }

// unknown says that there is no such thing, what there is, and what was
// probably meant.
func unknown(kind, name, where string, names []string) error {
	e := &unknownError{text: phrase.Words("no", kind, fmt.Sprintf("%q", name), where), name: name, near: phrase.Nearest(name, names)}
	if len(names) == 0 {
		e.text += ": none is declared"
		return e
	}
	e.text += "; declared: " + strings.Join(names, ", ")
	if e.near != "" {
		e.text += "." + phrase.DidYouMean(name, names)
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
