package secret

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// minRedacted is the length under which a value is not looked for: every text
// has an "a" somewhere, and striking them out would tell more than it hides.
const minRedacted = 4

// minLine is the length from which a single line of a value with several is
// looked for too.
const minLine = 8

// Redactor replaces the values that it knows with "[secret]": as they are, as
// base64 and hex, and as they stand in JSON and URLs. It is safe for
// concurrent use.
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
	if lines := strings.Split(s, "\n"); len(lines) > 1 {
		for _, line := range lines {
			if line = strings.TrimSpace(line); len(line) >= minLine {
				out = append(out, line)
			}
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return len(s) < minRedacted })
}

func encodings(s string) []string {
	if len(s) < minRedacted {
		return nil
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		panic("secret: a string has a JSON form: " + err.Error())
	}
	out := []string{
		s, string(quoted[1 : len(quoted)-1]), url.QueryEscape(s), url.PathEscape(s),
		hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s))),
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		out = append(out, e.EncodeToString([]byte(s)), e.WithPadding(base64.NoPadding).EncodeToString([]byte(s)))
		out = append(out, shifted(e, s)...)
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
