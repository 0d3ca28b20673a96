package ui

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"dray/pipeline/event"
	"dray/pipeline/secret"
)

// value holds what every encoding writes in its own way.
const value = "p&ss'w\"rd<é>$42 \\x\nsecond line of it"

// spellings are the ways in which other programs write a value.
func spellings() map[string]string {
	j, _ := json.Marshal(value)
	return map[string]string{
		"plain": value, "second line": "second line of it",
		"JSON": string(j[1 : len(j)-1]), "Go": fmt.Sprintf("%q", value), "query": url.QueryEscape(value), "path": url.PathEscape(value),
		"hex": hex.EncodeToString([]byte(value)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(value))),
		"base64": base64.StdEncoding.EncodeToString([]byte(value)), "base64 URL": base64.RawURLEncoding.EncodeToString([]byte(value)),
		"in a header": base64.StdEncoding.EncodeToString([]byte("me:" + value + "!")), "shell": strings.ReplaceAll(value, "'", `'\''`),
	}
}

// leaks lists the longest pieces of any spelling that are found in what came
// out: 12 letters are more than chance.
func leaks(shown string) []string {
	const piece = 12
	var out []string
	for name, s := range spellings() {
		for i := 0; i+piece <= len(s); i++ {
			if strings.Contains(shown, s[i:i+piece]) {
				out = append(out, fmt.Sprintf("%s: %q", name, s[i:i+piece]))
				break
			}
		}
	}
	return out
}

// TestNoSinkShowsASecret sends every spelling of a value through every sink, in
// every field that may hold what others wrote.
func TestNoSinkShowsASecret(t *testing.T) {
	redactor := secret.NewRedactor()
	sinks := map[string]func(w io.Writer) View{
		"plain": func(w io.Writer) View { return &plainView{out: w} },
		"JSON":  func(w io.Writer) View { return &jsonView{encoder: json.NewEncoder(w)} },
		"rows":  func(w io.Writer) View { return &rowsView{out: w} },
	}
	types := []event.Type{event.RunStarted, event.StageStarted, event.Progress, event.StepFinished, event.Output, event.InstanceState,
		event.HostState, event.Warning, event.Notice, event.Failure, event.StageFinished, event.RunFinished}
	for name, sink := range sinks {
		for how, text := range spellings() {
			t.Run(name+"/"+how, func(t *testing.T) {
				var out bytes.Buffer
				s := NewScreen(redactor)
				s.Begin(sink(&out))
				resume := s.Pause()
				redactor.Add(secret.NewValue(value)) // found only now; what came before is shown later
				for _, kind := range types {
					s.Emit(event.Event{Type: kind, Stage: "build", Subject: "web " + text, Text: "it says " + text + " here", Detail: text, Conclusion: text, Next: text, Error: text, State: event.Failed, Instance: "web/1"})
				}
				resume()
				s.Close()
				if found := leaks(out.String()); len(found) > 0 {
					t.Errorf("%s shows in\n%s", found, out.String())
				}
			})
		}
	}
}

// rowsView draws what the live view draws, to any writer.
type rowsView struct {
	terminalView
	out io.Writer
}

func (v *rowsView) Emit(e event.Event) {
	r := v.row(e)
	r.take(e)
	fmt.Fprintln(v.out, r.text(&v.terminalView, e.Time))
}
func (v *rowsView) Leave()  {}
func (v *rowsView) Return() {}
func (v *rowsView) Close()  {}

// TestNoResultShowsASecret: neither text, cut anywhere, nor a table, nor JSON,
// nor a failure.
func TestNoResultShowsASecret(t *testing.T) {
	for how, text := range spellings() {
		t.Run(how, func(t *testing.T) {
			var shown bytes.Buffer
			o := NewOutput(&shown, secret.NewRedactor(secret.NewValue(value)))
			for b := range []byte(text) { // in the smallest chunks
				fmt.Fprint(o, text[b:b+1])
			}
			PrintFailure(o, event.Event{Text: "web: " + text, Detail: text, Conclusion: text, Next: text}, false)
			table := Table{Header: []string{"NAME", "NOTE"}, Note: "NOTE"}
			table.Add(text, "and "+text)
			if err := table.Print(o); err != nil {
				t.Fatal(err)
			}
			line, err := json.Marshal(map[string]any{"text": text, "list": []string{"<" + text + ">"}, "n": 42})
			if err != nil {
				t.Fatal(err)
			}
			if err := o.Flush(); err != nil {
				t.Fatal(err)
			}
			before := shown.String()
			shown.Reset()
			if err := o.JSON(line); err != nil {
				t.Fatal(err)
			}
			if !json.Valid(shown.Bytes()) {
				t.Errorf("no JSON: %s", shown.String())
			}
			if found := leaks(before + shown.String()); len(found) > 0 {
				t.Errorf("%s shows in\n%s\n%s", found, before, shown.String())
			}
		})
	}
}

// TestJSONStaysJSON: a value that looks like JSON's own words breaks nothing.
func TestJSONStaysJSON(t *testing.T) {
	var out bytes.Buffer
	o := NewOutput(&out, secret.NewRedactor(secret.NewValue("true"), secret.NewValue("null"), secret.NewValue("type"), secret.NewValue(`":"a`)))
	if err := o.JSON([]byte(`{"type":"a","is":true,"no":null,"said":"it is true"}`)); err != nil {
		t.Fatal(err)
	}
	if want := `{"type":"a","is":true,"no":null,"said":"it is [secret]"}` + "\n"; out.String() != want {
		t.Errorf("got %s", out.String())
	}
}
