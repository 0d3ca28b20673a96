package ssh

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// splitAddress splits ssh://[user@]host[:port] and [user@]host[:port]; an IPv6
// address with a port is in brackets.
func splitAddress(address string) (login, host, port string, err error) {
	rest := strings.TrimSpace(address)
	if after, ok := strings.CutPrefix(rest, "ssh://"); ok {
		rest = strings.TrimSuffix(after, "/")
		if i := strings.LastIndexByte(rest, '@'); i >= 0 {
			if decoded, err := url.PathUnescape(rest[:i]); err == nil {
				rest = decoded + rest[i:]
			}
		}
	} else if strings.Contains(rest, "://") {
		return "", "", "", fmt.Errorf("address %q: dray reaches hosts over SSH: write ssh://[user@]host[:port]", address)
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		login, rest = rest[:i], rest[i+1:]
		login, _, _ = strings.Cut(login, ":") // a password in an address is not used
	}
	host = rest
	if strings.HasPrefix(rest, "[") || strings.Count(rest, ":") == 1 {
		if h, p, err := net.SplitHostPort(rest); err == nil {
			host, port = h, p
		} else {
			host = strings.Trim(rest, "[]")
		}
	}
	if n, err := strconv.Atoi(port); port != "" && (err != nil || n < 1 || n > 65535) {
		return "", "", "", fmt.Errorf("address %q: port %q is not between 1 and 65535", address, port)
	}
	if host == "" || strings.ContainsAny(host, " \t\n/'\"") || strings.HasPrefix(host, "-") {
		return "", "", "", fmt.Errorf("address %q names no host: write ssh://[user@]host[:port]", address)
	}
	return login, host, port, nil
}
