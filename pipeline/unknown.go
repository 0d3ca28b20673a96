package pipeline

import (
	"fmt"
	"strings"

	"dray/pipeline/phrase"
)

// UnknownError is a name that nothing has: somebody mistyped it, or forgot to
// declare it.
type UnknownError struct {
	Kind, Name string   // "service", "wbe"
	Where      string   // "in prod", or ""
	Declared   []string // what there is
}

func (e *UnknownError) Error() string {
	text := phrase.Words("no", e.Kind, fmt.Sprintf("%q", e.Name), e.Where)
	if len(e.Declared) == 0 {
		return text + ": none is declared"
	}
	text += "; declared: " + strings.Join(e.Declared, ", ")
	if e.Near() != "" {
		text += "." + phrase.DidYouMean(e.Name, e.Declared)
	}
	return text
}

// Near is the name that was probably meant, or "".
func (e *UnknownError) Near() string { return phrase.Nearest(e.Name, e.Declared) }

// Hint is what helps where no name is near.
func (e *UnknownError) Hint() Hint {
	return Hint{Next: "take one that is declared, or declare it in the file"}
}
