package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"dray/pipeline/event"
)

// With --json, what goes to stdout is one object a line, each with "v" and
// "type": events, and results, whose type is the verb that gives them
// ("history", "task.list") and whose other fields are the result's own. What is
// a list on a terminal is as many lines.

// result prints a value as JSON with --json, or lets show print it.
func (a *app) result(value any, show func(w io.Writer) error) error {
	return results(a, []any{value}, show)
}

// results is result for a list of values.
func results[T any](a *app, values []T, show func(w io.Writer) error) error {
	a.view.Close()
	if !a.settings.JSON {
		return show(a.out)
	}
	for _, v := range values {
		if err := a.printResult(v); err != nil {
			return err
		}
	}
	return nil
}

// printResult writes one result, which is marshalled as an object, as a line.
func (a *app) printResult(value any) error {
	fields, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("printing a result: %w", err)
	}
	verb := strings.ReplaceAll(strings.TrimPrefix(a.verb, "dray "), " ", ".")
	line := fmt.Appendf(nil, `{"v":%d,"type":%q`, event.Version, verb)
	if fields = fields[1:]; fields[0] != '}' {
		line = append(line, ',')
	}
	return a.out.JSON(append(line, fields...))
}

// emit writes an event as a line of JSON.
func (a *app) emit(e event.Event) {
	e.Version = event.Version
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	line, err := json.Marshal(e)
	if err == nil {
		_ = a.out.JSON(line) // a reader that went away is not this run's fault
	}
}

// finish says what is true now.
func (a *app) finish(e event.Event) {
	a.view.Close()
	if a.settings.JSON {
		e.Type = event.RunFinished
		a.emit(e)
		return
	}
	fmt.Fprintln(a.out, e.Text)
	if e.Next != "" {
		fmt.Fprintln(a.out, "Next: "+e.Next)
	}
}

// remark says something beside a result.
func (a *app) remark(text string) {
	if !a.settings.JSON && !a.settings.Quiet {
		fmt.Fprintln(a.errOut, text)
	}
}
