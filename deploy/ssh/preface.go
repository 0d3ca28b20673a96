package ssh

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"dray/pipeline/output"
	"dray/targets/api/link"
)

// mostBanner is how much a host's shell may print before drayd speaks.
const mostBanner = 1 << 20 // bytes

// prefaceReader is the output of connectScript without what the host's shell
// prints before it: it begins behind drayd's preface. The shell's text need not
// end with a line: a start file may set the terminal's title just before.
type prefaceReader struct {
	r       *bufio.Reader
	greeted bool
	absent  *facts      // what connectScript found instead of drayd
	banner  output.Tail // what the shell printed
	read    int         // bytes before the preface
	failed  error
}

func newPrefaceReader(output io.Reader) *prefaceReader {
	return &prefaceReader{r: bufio.NewReaderSize(output, 64<<10)}
}

var errNoDrayd = errors.New("drayd is not on the host")

// Read reads behind the preface.
func (p *prefaceReader) Read(b []byte) (int, error) {
	if !p.greeted {
		if p.failed == nil {
			p.failed = p.skipBanner()
		}
		if p.failed != nil {
			return 0, p.failed
		}
	}
	return p.r.Read(b)
}

// skipBanner reads up to the preface, or up to the end of the facts.
func (p *prefaceReader) skipBanner() error {
	var found []string // facts, once their beginning was read
	for {
		line, err := p.line()
		switch {
		case err == nil && strings.HasSuffix(line, link.Preface):
			p.greeted = true
			return nil
		case err == nil && strings.HasSuffix(line, absentLine):
			found = []string{}
		case err == nil && line == endLine && found != nil:
			f := parseFacts(found)
			p.absent = &f
			return errNoDrayd
		case found != nil:
			found = append(found, line)
		default:
			_, _ = p.banner.Write([]byte(line + "\n")) // a Tail takes everything
		}
		if err != nil {
			return err
		}
	}
}

// line reads one line and returns it without its end; of a long one, the last
// part.
func (p *prefaceReader) line() (string, error) {
	var line []byte
	for {
		c, err := p.r.ReadByte()
		if err == nil && c != '\n' {
			line = append(line, c)
			if p.read++; p.read > mostBanner {
				err = fmt.Errorf("more than %d bytes came before drayd spoke", mostBanner)
			}
		}
		if err != nil || c == '\n' {
			return strings.TrimRight(string(line[max(0, len(line)-output.Kept):]), "\r"), err
		}
	}
}

const (
	mostShownLines   = 24
	mostShownColumns = 200
)

// screen returns the end of a text as it can be shown in a message: at most a
// screen of it, without control characters.
func screen(text string) string {
	clean := strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) {
			return r
		}
		return -1
	}, text)
	var lines []string
	for line := range strings.SplitSeq(clean, "\n") {
		line = strings.TrimRight(line, " \t")
		if line == "" {
			continue
		}
		if runes := []rune(line); len(runes) > mostShownColumns {
			line = string(runes[:mostShownColumns]) + "…"
		}
		lines = append(lines, line)
	}
	if len(lines) > mostShownLines {
		lines = append([]string{"…"}, lines[len(lines)-mostShownLines:]...)
	}
	return strings.Join(lines, "\n")
}
