//go:build linux && cgo

package main

import (
	"fmt"
	"strconv"
	"strings"
)

// A flag is one that a verb takes: a switch, or one with a value, which may
// then be given more than once.
type flag struct {
	name  string
	short string
	value bool
}

// values are the flags that were given, by full name.
type values map[string][]string

func (v values) has(name string) bool     { return len(v[name]) > 0 && v[name][0] != "false" }
func (v values) all(name string) []string { return v[name] }

// text returns the last value given, or "".
func (v values) text(name string) string {
	if all := v[name]; len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// number returns the last value given, or 0.
func (v values) number(name string) (int, error) {
	text := v.text(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("--%s: %q is not a number", name, text)
	}
	return n, nil
}

// parse splits args into flags and operands, as runc's command line does:
// one or two dashes, "--name value" or "--name=value", flags also after
// operands unless early is set, and "--" ends the flags.
func parse(known []flag, args []string, early bool) (values, []string, error) {
	got := values{}
	var operands []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return got, append(operands, args[i+1:]...), nil
		}
		if len(arg) < 2 || arg[0] != '-' {
			if early {
				return got, append(operands, args[i:]...), nil
			}
			operands = append(operands, arg)
			continue
		}
		name, value, inline := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		f, ok := find(known, name)
		switch {
		case !ok:
			return nil, nil, fmt.Errorf("flag provided but not defined: %s", arg)
		case f.value && !inline && i+1 == len(args):
			return nil, nil, fmt.Errorf("flag needs an argument: %s", arg)
		case f.value && !inline:
			i++
			value = args[i]
		case !f.value && !inline:
			value = "true"
		}
		got[f.name] = append(got[f.name], value)
	}
	return got, operands, nil
}

func find(known []flag, name string) (flag, bool) {
	for _, f := range known {
		if name == f.name || f.short != "" && name == f.short {
			return f, true
		}
	}
	return flag{}, false
}
