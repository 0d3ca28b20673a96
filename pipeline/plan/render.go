package plan

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"dray/pipeline"
)

// Look says what a piece of text is, for a caller that colours it.
type Look string

// Looks.
const (
	LookAdded   Look = "added"
	LookChanged Look = "changed"
	LookRemoved Look = "removed"
	LookDrift   Look = "drift"
	LookFaint   Look = "faint"
)

// Style dresses text; it may add nothing that takes room. Plain leaves it.
type Style func(look Look, text string) string

// Plain is text without any style.
func Plain(_ Look, text string) string { return text }

// Render writes the plan as a person reads it.
func (p *Plan) Render(w io.Writer, style Style) error {
	if style == nil {
		style = Plain
	}
	r := &renderer{plan: p, style: style}
	r.headline()
	for _, c := range p.Changes {
		r.change(c)
	}
	for _, o := range p.Opens {
		r.line("!", LookDrift, "opens "+o.Port, o.text())
	}
	r.drift()
	r.lastLine()
	_, err := io.WriteString(w, r.out.String())
	return err
}

type renderer struct {
	plan  *Plan
	style Style
	out   strings.Builder
}

// headline says which release comes after which, and where.
func (r *renderer) headline() {
	p := r.plan
	on := " on " + strings.Join(p.Hosts, ", ")
	number := pipeline.ReleaseNumber{Number: p.To, Revision: p.ToRevision}
	to := "the next release"
	if number.Known() {
		to = "release " + number.String()
	}
	numbers := map[pipeline.ReleaseNumber][]string{}
	for _, host := range p.Hosts {
		numbers[p.From[host]] = append(numbers[p.From[host]], host)
	}
	switch from := p.From[first(p.Hosts)]; {
	case !p.Pending && len(numbers) == 1 && from.Known():
		fmt.Fprintf(&r.out, "release %s%s\n\n", from, on)
	case len(numbers) == 1 && from.Known() && number.Known():
		fmt.Fprintf(&r.out, "release %s → %s%s\n\n", from, number, on)
	case len(numbers) == 1 && from.Known():
		fmt.Fprintf(&r.out, "release %s → %s%s\n\n", from, to, on)
	case len(numbers) == 1:
		fmt.Fprintf(&r.out, "%s, the first,%s\n\n", to, on)
	default:
		fmt.Fprintf(&r.out, "%s%s; now %s\n\n", to, on, r.uneven(numbers))
	}
}

// uneven says which hosts run what, where they differ.
func (r *renderer) uneven(numbers map[pipeline.ReleaseNumber][]string) string {
	var parts []string
	for _, host := range r.plan.Hosts {
		n := r.plan.From[host]
		hosts := numbers[n]
		if hosts == nil {
			continue // said already
		}
		what := "nothing"
		if n.Known() {
			what = "release " + n.String()
		}
		parts = append(parts, what+" on "+strings.Join(hosts, ", "))
		delete(numbers, n)
	}
	return strings.Join(parts, ", ")
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

var marks = map[Action]struct {
	mark string
	look Look
}{
	Create: {"+", LookAdded},
	Update: {"~", LookChanged},
	Remove: {"-", LookRemoved},
}

func (r *renderer) change(c Change) {
	mark, ok := marks[c.Action]
	if !ok {
		return // it stays
	}
	r.line(mark.mark, mark.look, c.Kind+" "+c.Name, c.Summary)
	width := 0
	for _, f := range c.Fields {
		width = max(width, utf8.RuneCountInString(f.Name))
	}
	width = max(width, nameWidth-2)
	values := 0
	for _, f := range c.Fields {
		if f.Note != "" {
			values = max(values, utf8.RuneCountInString(f.text()))
		}
	}
	for _, f := range c.Fields {
		line := fmt.Sprintf("    %s  %s", pad(f.Name, width), f.text())
		if f.Note != "" {
			line = fmt.Sprintf("    %s  %s   %s", pad(f.Name, width), pad(f.text(), values), r.style(LookFaint, "("+f.Note+")"))
		}
		r.out.WriteString(line + "\n")
	}
	for _, m := range c.Moves {
		fmt.Fprintf(&r.out, "    %s  %s → %s\n", pad(m.Instance, width), m.From, m.To)
	}
}

// nameWidth is the room for "service web" and "drift on p1".
const nameWidth = 16

func (r *renderer) line(mark string, look Look, what, summary string) {
	text := fmt.Sprintf("%s %s", r.style(look, mark), what)
	if summary != "" {
		text = fmt.Sprintf("%s %s %s", r.style(look, mark), pad(what, nameWidth), summary)
	}
	r.out.WriteString(text + "\n")
}

// text returns "old → new".
func (f Field) text() string {
	switch {
	case f.Old == "":
		return f.New
	case f.New == "":
		return f.Old + " → none"
	}
	return f.Old + " → " + f.New
}

// remedies say what a deployment does about a drift.
var remedies = map[string]string{
	"missing": "deploying creates it again",
	"stopped": "deploying starts it again",
	"changed": "deploying replaces it",
	"extra":   "deploying removes it",
}

func (r *renderer) drift() {
	for _, d := range r.plan.Drift {
		text := d.Detail
		if text == "" {
			text = fmt.Sprintf("%s is %s", d.Instance, d.Kind)
		}
		if remedy := remedies[d.Kind]; remedy != "" {
			text += "; " + remedy
		}
		r.line("!", LookDrift, "drift on "+d.Host, text)
	}
	if p := r.plan; p.Paused.Known() {
		r.line("!", LookDrift, fmt.Sprintf("release %s failed and is held: deploying goes back from it first; dray rollback %s goes back", p.Paused, p.Environment), "")
	}
	for _, w := range r.plan.Warnings {
		r.line("!", LookDrift, w, "")
	}
}

// lastLine counts, and says how long it takes.
func (r *renderer) lastLine() {
	p := r.plan
	count := func(a Action) int {
		n := 0
		for _, c := range p.Changes {
			if c.Action == a {
				n++
			}
		}
		return n
	}
	if !p.Pending && p.Paused.Known() {
		fmt.Fprintf(&r.out, "Nothing to change but to go back from release %s: %s has confirmed what the file says.\n", p.Paused, p.Environment)
		return
	}
	if !p.Pending {
		fmt.Fprintf(&r.out, "Nothing to do: %s runs what the file says.\n", p.Environment)
		return
	}
	if !strings.HasSuffix(r.out.String(), "\n\n") {
		r.out.WriteString("\n")
	}
	if changed := count(Update) + count(Create) + count(Remove); changed == 0 && len(p.Drift) == 0 {
		r.out.WriteString("The same comes under another release; nothing restarts.")
	} else {
		fmt.Fprintf(&r.out, "%d to change, %d to add, %d to remove.", count(Update), count(Create), count(Remove))
	}
	fmt.Fprintf(&r.out, " Takes about %s", about(p.Seconds))
	if len(p.Besides) > 0 {
		r.out.WriteString(", and what these need: " + strings.Join(p.Besides, ", "))
	}
	r.out.WriteString(".\n")
}

// about rounds seconds as a person would.
func about(s float64) string {
	switch {
	case s < 10:
		return fmt.Sprintf("%ds", max(int(s+0.5), 1))
	case s < 90:
		return fmt.Sprintf("%ds", (int(s)+4)/5*5)
	}
	return fmt.Sprintf("%dm", int(s+59)/60)
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}
