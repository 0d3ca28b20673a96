package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// reply is what came of a question at the terminal.
type reply int

const (
	unanswered reply = iota // nobody was there, or no answer was understood
	saidNo
	saidYes
)

// mostAsked is how often a question is put whose answer is neither yes nor no.
const mostAsked = 3

// noAtTerminal says of something that it is not done because of a no.
const noAtTerminal = "you said no at the terminal"

// confirm asks at the terminal for one of these words.
func confirm(question string, yes ...string) reply {
	if !atTerminal() {
		return unanswered
	}
	return put(os.Stdin, os.Stderr, question, yes...)
}

// put asks for one of these words, and again while the answer is neither one of
// them nor a no.
func put(in io.Reader, out io.Writer, question string, yes ...string) reply {
	lines := bufio.NewReader(in)
	for range mostAsked {
		fmt.Fprint(out, question)
		line, err := lines.ReadString('\n')
		if err != nil {
			return unanswered
		}
		is := func(word string) bool { return strings.EqualFold(word, strings.TrimSpace(line)) }
		switch {
		case slices.ContainsFunc(yes, is):
			return saidYes
		case is("n"), is("no"):
			return saidNo
		}
		question = fmt.Sprintf("That is neither %q nor \"no\". Which is it? ", yes[0])
	}
	return unanswered
}

// atTerminal tells whether there is a terminal to ask at.
func atTerminal() bool { return isTerminal(os.Stdin) && isTerminal(os.Stderr) }

// canAsk tells whether somebody can answer a question.
func (a *app) canAsk() bool { return atTerminal() && !a.settings.JSON }

// agreed shows what would be done to an environment, and asks for its name.
func (a *app) agreed(what, env string) (said reply) {
	if !a.canAsk() {
		return unanswered
	}
	a.view.Aside(func() { said = confirm(what+"\nType "+env+" to go on: ", env) })
	return said
}
