package secret

import (
	"errors"
	"fmt"
	"strings"
)

// parseLines reads NAME=VALUE lines:
//
//	# a comment
//	NAME=plain text, to the end of the line
//	export NAME=as a shell has it
//	NAME='single quotes: nothing inside means anything'
//	NAME="double quotes: \n \t \" \\ \$; the value may span lines"
//
// Nothing is expanded. Behind " #" a plain value ends; quote it to keep one.
// Errors begin with the line's number and quote no value.
func parseLines(src string) (map[string]string, error) {
	src = strings.TrimPrefix(strings.ReplaceAll(src, "\r\n", "\n"), "\ufeff")
	out := map[string]string{}
	for number := 1; src != ""; {
		line, rest, _ := strings.Cut(src, "\n")
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			src, number = rest, number+1
			continue
		}
		name, _, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), "export "))
		if !ok || !validName(name) {
			return nil, fmt.Errorf("%d: not NAME=VALUE; a value of several lines stands in quotes", number)
		}
		value, length, err := parseValue(src[strings.Index(src, "=")+1:])
		if err == nil && unquotedPEM(value) {
			err = fmt.Errorf("a key or certificate of several lines stands in quotes: write %s=\"-----BEGIN …, and a \" behind its last line", name)
		}
		if err != nil {
			return nil, fmt.Errorf("%d: %s: %w", number, name, err)
		}
		out[name] = value
		used := strings.Index(src, "=") + 1 + length
		number += strings.Count(src[:used], "\n")
		src = src[used:]
	}
	return out, nil
}

// unquotedPEM reports whether a value is only the first line of a PEM block
// (RFC 7468). Its other lines would be read as names and values.
func unquotedPEM(value string) bool {
	return strings.HasPrefix(value, "-----BEGIN ") && !strings.Contains(value, "-----END ")
}

func validName(s string) bool {
	for i, c := range s {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

// parseValue reads what is behind "=", and returns how many bytes it took,
// with the line's end.
func parseValue(src string) (value string, length int, err error) {
	blank := len(src) - len(strings.TrimLeft(src, " \t"))
	body := src[blank:]
	if body == "" || body[0] != '"' && body[0] != '\'' {
		line, _, found := strings.Cut(src, "\n")
		length = len(line)
		if found {
			length++
		}
		if i := strings.Index(line, " #"); i >= 0 {
			line = line[:i]
		}
		return strings.TrimSpace(line), length, nil
	}
	value, size, err := unquote(body)
	if err != nil {
		return "", 0, err
	}
	line, _, found := strings.Cut(body[size:], "\n")
	if rest := strings.TrimSpace(line); rest != "" && !strings.HasPrefix(rest, "#") {
		return "", 0, errors.New("text behind the closing quote")
	}
	length = blank + size + len(line)
	if found {
		length++
	}
	return value, length, nil
}

// unquote reads a quoted text from its first byte, the quote.
func unquote(src string) (value string, size int, err error) {
	quote := src[0]
	var b strings.Builder
	for i := 1; i < len(src); i++ {
		c := src[i]
		switch {
		case c == quote:
			return b.String(), i + 1, nil
		case c == '\\' && quote == '"' && i+1 < len(src):
			i++
			b.WriteString(unescape(src[i]))
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, errors.New("the closing quote is missing")
}

func unescape(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case 'r':
		return "\r"
	case '"', '\\', '$', '`':
		return string(c)
	case '\n':
		return "" // a continued line
	}
	return "\\" + string([]byte{c})
}
