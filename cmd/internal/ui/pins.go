package ui

import (
	"fmt"
	"io"
	"strings"

	"dray/builder/images"
	"dray/pipeline/phrase"
)

// PrintPins says which base images are other ones now.
func PrintPins(w io.Writer, path string, changes []images.Repinned) error {
	changed := 0
	for _, c := range changes {
		text := phrase.Digest(c.To) + " as before"
		if c.From != c.To {
			changed++
			text = strings.TrimPrefix(phrase.Digest(c.From)+" → "+phrase.Digest(c.To), " → ")
		}
		if _, err := fmt.Fprintf(w, "%s  %s\n", c.Image, text); err != nil {
			return err
		}
	}
	last := "Nothing has changed."
	switch {
	case len(changes) == 0:
		last = "No image is pinned yet; dray build pins what it starts from."
	case changed > 0:
		last = path + " has changed: check it in. The next build starts from there."
	}
	_, err := fmt.Fprintln(w, last)
	return err
}
