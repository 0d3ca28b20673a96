package ssh

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"dray/pipeline/shell"
)

// matchHost tells whether a Host line's patterns match: one does, and no
// negated one.
func matchHost(patterns []string, host string) bool {
	found := false
	for _, pattern := range patterns {
		pattern, negated := strings.CutPrefix(pattern, "!")
		if !matchPattern(pattern, host) {
			continue
		}
		if negated {
			return false
		}
		found = true
	}
	return found
}

// matchList is matchHost for a list with commas.
func matchList(list, text string) bool { return matchHost(strings.Split(list, ","), text) }

// matchPattern compares with a pattern of ssh_config(5): * is any text, ? one
// sign, everything else itself.
func matchPattern(pattern, text string) bool {
	star, resume := -1, 0 // the last *, and where in text what is behind it was tried
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p, t = p+1, t+1
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// match tells whether all criteria of a Match line hold.
func (b *block) match(criteria []string) (bool, error) {
	matched := true
	for i := 0; i < len(criteria); i++ {
		name, negated := strings.CutPrefix(criteria[i], "!")
		name, value, joined := strings.Cut(name, "=")
		name = strings.ToLower(name)
		if slices.Contains([]string{"all", "final", "canonical"}, name) {
			b.again = b.again || name == "final"
			holds := name == "all" || b.final
			matched = matched && holds != negated
			continue
		}
		if !joined {
			i++
			if i == len(criteria) {
				return false, fmt.Errorf("match %s has no value", name)
			}
			value = criteria[i]
		}
		if name == "exec" && !matched {
			continue // ssh does not run the command either
		}
		holds, err := b.holds(name, value)
		if err != nil {
			return false, err
		}
		matched = matched && holds != negated
	}
	return matched, nil
}

// holds evaluates one criterion.
func (b *block) holds(name, value string) (bool, error) {
	switch name {
	case "host":
		host, err := b.hostName()
		return matchList(value, host), err
	case "originalhost":
		return matchList(value, b.query.alias), nil
	case "user":
		return matchList(value, cmp.Or(b.set.first("user"), localUser())), nil
	case "localuser":
		return matchList(value, localUser()), nil
	case "tagged":
		return matchList(value, b.set.first("tag")), nil
	case "localnetwork":
		return onNetwork(strings.Split(value, ",")), nil
	case "exec":
		return b.succeeds(value)
	}
	return false, fmt.Errorf("match has no criterion %q", name)
}

// succeeds runs the command of Match exec.
func (b *block) succeeds(command string) (bool, error) {
	host, err := b.hostName()
	if err != nil {
		return false, err
	}
	command, err = expandTokens(command, b.set.tokens(b.query, host).all(), false)
	if err != nil {
		return false, err
	}
	return shell.Command(b.ctx, os.Getenv("SHELL"), command).Run() == nil, nil
}

// onNetwork tells whether this machine has an address in one of the networks.
func onNetwork(networks []string) bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, network := range networks {
		prefix, err := netip.ParsePrefix(network)
		if err != nil {
			continue
		}
		for _, a := range addresses {
			if own, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(own.IP); ok && prefix.Contains(ip.Unmap()) {
					return true
				}
			}
		}
	}
	return false
}
