package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// minRedacted is the length under which a value is not looked for: every text
// has an "a" somewhere, and striking them out would tell more than it hides.
const minRedacted = 4

// minLine is the length from which a single line of a value with several is
// looked for too.
const minLine = 8

// Redactor replaces the values that it knows with "[secret]": as they are, and
// as they stand in JSON, in Go's and a shell's quotes, in URLs, as hex, and as
// base64, alone, in the midst of other bytes, and wrapped into lines. It is safe
// for concurrent use.
type Redactor struct {
	mu      sync.RWMutex
	byFirst map[byte][]string // patterns by first byte, longest first
}

// NewRedactor returns a Redactor that knows values.
func NewRedactor(values ...Value) *Redactor {
	r := &Redactor{byFirst: map[byte][]string{}}
	r.Add(values...)
	return r
}

// Add makes further values known.
func (r *Redactor) Add(values ...Value) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range values {
		for _, p := range forms(v.Reveal()) {
			list := r.byFirst[p[0]]
			if slices.Contains(list, p) {
				continue
			}
			list = append(list, p)
			slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) })
			r.byFirst[p[0]] = list
		}
	}
}

// forms returns the texts by which a value is known.
func forms(s string) []string {
	out := encodings(s)
	if trimmed := strings.TrimSpace(s); trimmed != s {
		out = append(out, encodings(trimmed)...)
	}
	if lines := strings.Split(s, "\n"); len(lines) > 1 {
		for _, line := range lines {
			if line = strings.TrimSpace(line); len(line) >= minLine {
				out = append(out, line)
			}
		}
	}
	return slices.DeleteFunc(out, func(s string) bool {
		return len(s) < minRedacted || unicode.IsSpace(rune(s[0])) // what is trimmed is found, and holds no line's end back
	})
}

func encodings(s string) []string {
	if len(s) < minRedacted {
		return nil
	}
	out := append(quoted(s), s, url.QueryEscape(s), url.PathEscape(s), url.UserPassword("", s).String()[1:],
		hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s))))
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		text := e.EncodeToString([]byte(s))
		out = append(out, text, strings.TrimRight(text, "="))
		out = append(out, wrapped(text)...)
		out = append(out, shifted(e, s)...)
	}
	return out
}

// quoted returns what stands between quotes for s: in JSON with and without
// HTML's letters escaped, in Go, and in a shell's two kinds.
func quoted(s string) []string {
	escaped, err := json.Marshal(s)
	if err != nil {
		panic("secret: a string has a JSON form: " + err.Error())
	}
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("secret: a string has a JSON form: " + err.Error())
	}
	inside := func(q string) string { return q[1 : len(q)-1] }
	return []string{
		inside(string(escaped)), inside(strings.TrimSuffix(plain.String(), "\n")), inside(strconv.Quote(s)), inside(strconv.QuoteToASCII(s)),
		strings.ReplaceAll(s, "'", `'\''`), strings.ReplaceAll(s, "'", `'"'"'`),
		strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(s),
	}
}

// wrapped returns the lines into which base64(1) and PEM break a long text.
func wrapped(text string) []string {
	var out []string
	for _, width := range []int{64, 76} {
		if len(text) <= width {
			continue
		}
		for line := range slices.Chunk([]byte(text), width) {
			if len(line) >= minLine {
				out = append(out, string(line))
			}
		}
	}
	return out
}

// shifted returns what base64 makes of s in the midst of other bytes, without
// the letters that depend on its neighbours: "user:password" in a header.
func shifted(e *base64.Encoding, s string) []string {
	var out []string
	for offset := range 3 {
		text := e.WithPadding(base64.NoPadding).EncodeToString(append(make([]byte, offset), s...))
		first := (offset*8 + 5) / 6                // letters that only the bytes before decide, in part
		last := (offset + len(s)) * 8 / 6          // letters that s decides wholly
		if first < last && last-first >= minLine { // shorter ones would be found in any text
			out = append(out, text[first:last])
		}
	}
	return out
}

// String returns s with every known value replaced.
func (r *Redactor) String(s string) string {
	var b strings.Builder
	rest := r.redact(&b, s, true)
	b.WriteString(rest) // empty: nothing is held back
	return b.String()
}

// Lines redacts lines that followed one another: a value may go over their
// ends.
func (r *Redactor) Lines(lines []string) []string {
	if len(lines) == 0 {
		return lines
	}
	return strings.Split(r.String(strings.Join(lines, "\n")), "\n")
}

// JSON redacts the texts in a JSON value, and leaves its keys, numbers and form
// alone: what comes out is JSON again, whatever a value looks like.
func (r *Redactor) JSON(raw []byte) []byte {
	var out []byte
	for i := 0; i < len(raw); {
		if raw[i] != '"' {
			out = append(out, raw[i])
			i++
			continue
		}
		end := i + 1
		for end < len(raw) && raw[end] != '"' {
			if raw[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end+1, len(raw))
		out = append(out, r.literal(raw[i:end], bytes.HasPrefix(bytes.TrimLeft(raw[end:], " \t\r\n"), []byte(":")))...)
		i = end
	}
	return out
}

// literal redacts one text of a JSON value, with its quotes.
func (r *Redactor) literal(text []byte, key bool) []byte {
	var s string
	if key || json.Unmarshal(text, &s) != nil {
		return text
	}
	redacted := r.String(s)
	if redacted == s {
		return text // as it was written
	}
	again, err := json.Marshal(redacted)
	if err != nil {
		panic("secret: a string has a JSON form: " + err.Error())
	}
	return again
}

// redact writes s with values replaced. Unless s is the end, it returns, and
// does not write, a last part that may be the beginning of a value.
func (r *Redactor) redact(b *strings.Builder, s string, end bool) (held string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i := 0; i < len(s); {
		matched := 0
		for _, p := range r.byFirst[s[i]] { // longest first
			rest := s[i:]
			if strings.HasPrefix(rest, p) {
				matched = len(p)
				break
			}
			if !end && strings.HasPrefix(p, rest) {
				return rest // the longer one may still come
			}
		}
		if matched > 0 {
			b.WriteString(redacted)
			i += matched
			continue
		}
		b.WriteByte(s[i])
		i++
	}
	return ""
}

// Writer returns a writer that passes text on to w with values replaced, also
// where a value comes in several writes. What may be the beginning of a value
// waits for the next write, or Close. Close does not close w.
func (r *Redactor) Writer(w io.Writer) io.WriteCloser { return &writer{redactor: r, to: w} }

type writer struct {
	redactor *Redactor
	to       io.Writer
	mu       sync.Mutex
	held     string
}

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.pass(w.held+string(p), false); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pass(w.held, true)
}

func (w *writer) pass(s string, end bool) error {
	var b strings.Builder
	w.held = w.redactor.redact(&b, s, end)
	if b.Len() == 0 {
		return nil
	}
	_, err := io.WriteString(w.to, b.String())
	return err
}
