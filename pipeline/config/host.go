package config

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"dray/pipeline"
)

func (l *loader) decodeHosts(p *pipeline.Project) {
	l.eachNamed("host", func(name string, source *hcl.Block) {
		if name == pipeline.LocalHost {
			l.fault(source.LabelRanges[0], "Reserved name", "host.local is this machine and needs no block. Choose another name.")
			return
		}
		b := l.open(source, kindHost, named(source))
		b.require("address")
		h := &pipeline.Host{Name: name, At: l.posOf(source.DefRange)}
		b.sshAddress("address", &h.Address)
		b.jumps(&h.Jump)
		p.Hosts[name] = h
	})
}

func (b *block) sshAddress(name string, dst *string) {
	var s string
	if !b.filled(name, &s) {
		return
	}
	address, err := parseSSH(s)
	if err != nil {
		b.l.fault(b.rangeOf(name), "Invalid address", "%q is not the address of a host: %s. Write it like \"ssh://deploy@p1.example.com\".", s, err)
		return
	}
	*dst = address
}

// jumps reads jump hosts: one, several with commas between, or a list.
func (b *block) jumps(dst *string) {
	if !b.has("jump") {
		return
	}
	var list []string
	if v, ok := b.l.scope.evalQuietly(b.content.Attributes["jump"].Expr); ok && !v.IsMarked() && v.CanIterateElements() {
		if !b.list("jump", &list) {
			return
		}
	} else {
		var s string
		if !b.filled("jump", &s) {
			return
		}
		list = strings.Split(s, ",")
	}
	for i, s := range list {
		address, err := parseSSH(strings.TrimSpace(s))
		if err != nil {
			b.l.fault(b.rangeOf("jump"), "Invalid address", "%q is not the address of a jump host: %s. Write it like \"ssh://ops@bastion.example.com\".", s, err)
			return
		}
		list[i] = address
	}
	*dst = strings.Join(list, ",")
}

// parseSSH checks ssh://[user@]host[:port], or the same without ssh://, and
// returns it with the scheme.
func parseSSH(s string) (string, error) {
	if !strings.Contains(s, "://") {
		s = "ssh://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", fmt.Errorf("it does not read as a URL")
	}
	_, hasPassword := u.User.Password()
	switch {
	case u.Scheme != "ssh":
		return "", fmt.Errorf("dray reaches hosts over ssh, not %s", u.Scheme)
	case u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-"):
		return "", fmt.Errorf("it names no host")
	case hasPassword:
		return "", fmt.Errorf("a password may not stand in the file; keys come from the SSH agent and ~/.ssh")
	case strings.HasPrefix(u.User.Username(), "-"):
		return "", fmt.Errorf("a user does not start with -")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("nothing follows the host and port")
	case strings.ContainsAny(s, " \t\n,"):
		return "", fmt.Errorf("it has blanks or commas in it")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return "", fmt.Errorf("%s is not a port", port)
		}
	} else if strings.Contains(u.Host, ":") && net.ParseIP(u.Hostname()) == nil {
		return "", fmt.Errorf("the port is missing after the colon")
	}
	return strings.TrimSuffix(s, "/"), nil
}
