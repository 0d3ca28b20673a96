package ssh

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Options says which host to reach, and how.
type Options struct {
	Name    string // the host's name in the file, for messages; Address's by default
	Address string // ssh://[user@]host[:port], [user@]host[:port], or a Host alias of the SSH configuration
	Jump    string // jump hosts, separated by commas, nearest first; the configuration's ProxyJump by default; "none"
	Config  string // path of the SSH configuration; see EnvConfig

	// Trusted are host keys that dray.lock.hcl has for this host. When there
	// are any, known_hosts is not asked.
	Trusted []ssh.PublicKey

	// Passphrase is asked for the passphrase of an encrypted key, when a
	// server accepts that key. Without it such a key must be in the agent.
	Passphrase func(keyFile string) ([]byte, error)

	Timeout   time.Duration // for each hop's connection and handshake; ConnectTimeout or 10s by default
	KeepAlive time.Duration // a silent peer is asked this often; ServerAliveInterval or 3s by default. It is given up after thrice that, at least 1s
	Logger    *slog.Logger
}

// endpoint is one hop with everything that the configuration says of it.
type endpoint struct {
	name       string // for messages
	alias      string // as written
	host       string // what is dialled
	port       string
	user       string
	keyAlias   string // HostKeyAlias
	jump       string
	proxy      string // ProxyCommand
	algorithms string // HostKeyAlgorithms
	timeout    time.Duration
	keepAlive  time.Duration
	identities []string
	explicit   bool // identities are named by the configuration
	certs      []string
	only       bool // IdentitiesOnly
	agent      string
	known      []string // known_hosts files
	options    *Options
	onTheWay   bool // it is a jump host
}

// address returns host:port.
func (e *endpoint) address() string { return net.JoinHostPort(e.host, e.port) }

// resolve asks the configuration for everything about an address.
func resolve(address string, config *clientConfig, o *Options) (*endpoint, error) {
	login, alias, port, err := splitAddress(address)
	if err != nil {
		return nil, err
	}
	settings, err := config.of(alias)
	if err != nil {
		return nil, err
	}
	first := settings.first
	e := &endpoint{
		name: alias, alias: alias, options: o,
		host:       or(strings.ReplaceAll(first("HostName"), "%h", alias), alias),
		port:       or(port, first("Port"), "22"),
		user:       or(login, first("User"), localUser()),
		keyAlias:   first("HostKeyAlias"),
		jump:       first("ProxyJump"),
		proxy:      first("ProxyCommand"),
		algorithms: first("HostKeyAlgorithms"),
		only:       strings.EqualFold(first("IdentitiesOnly"), "yes"),
		timeout:    o.Timeout, keepAlive: o.KeepAlive,
	}
	if e.timeout == 0 {
		e.timeout = 10 * time.Second
		if seconds, err := strconv.Atoi(first("ConnectTimeout")); err == nil && seconds > 0 {
			e.timeout = time.Duration(seconds) * time.Second
		}
	}
	if e.keepAlive == 0 {
		e.keepAlive = 3 * time.Second
		if seconds, err := strconv.Atoi(first("ServerAliveInterval")); err == nil && seconds > 0 {
			e.keepAlive = time.Duration(seconds) * time.Second
		}
	}
	e.resolveFiles(settings)
	return e, nil
}

func (e *endpoint) resolveFiles(s *settings) {
	for _, v := range s.all("IdentityFile") {
		e.identities, e.explicit = append(e.identities, e.expand(v)), true
	}
	if !e.explicit {
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			e.identities = append(e.identities, homePath(".ssh/"+name))
		}
	}
	for _, v := range s.all("CertificateFile") {
		e.certs = append(e.certs, e.expand(v))
	}
	e.agent = or(os.Getenv("SSH_AUTH_SOCK"), usualAgent)
	switch v := s.first("IdentityAgent"); {
	case v == "none":
		e.agent = ""
	case v == "SSH_AUTH_SOCK" || v == "":
	case strings.HasPrefix(v, "$") && !strings.HasPrefix(v, "${"):
		e.agent = os.Getenv(v[1:])
	default:
		e.agent = e.expand(v)
	}
	for _, list := range []struct{ keyword, fallback string }{
		{"UserKnownHostsFile", "~/.ssh/known_hosts ~/.ssh/known_hosts2"},
		{"GlobalKnownHostsFile", "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"},
	} {
		for _, path := range fields(or(s.first(list.keyword), list.fallback)) {
			if path != "none" {
				e.known = append(e.known, e.expand(path))
			}
		}
	}
}

// expand replaces ~, ${VARIABLE} and the tokens of ssh_config(5) that make
// sense in paths.
func (e *endpoint) expand(v string) string {
	if list := fields(v); len(list) == 1 {
		v = list[0]
	}
	v = expandHome(v)
	hostname, _ := os.Hostname() // "" then, as %l
	v = strings.NewReplacer("%%", "%", "%h", e.host, "%n", e.alias, "%p", e.port, "%r", e.user,
		"%u", localUser(), "%d", homePath(""), "%l", hostname, "%k", or(e.keyAlias, e.alias)).Replace(v)
	for {
		start := strings.Index(v, "${")
		if start < 0 {
			return v
		}
		end := strings.IndexByte(v[start:], '}')
		if end < 0 {
			return v
		}
		v = v[:start] + os.Getenv(v[start+2:start+end]) + v[start+end+1:]
	}
}

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

func localUser() string {
	if u, err := user.Current(); err == nil {
		if _, name, ok := strings.Cut(u.Username, `\`); ok {
			return name // Windows: DOMAIN\name
		}
		return u.Username
	}
	return or(os.Getenv("USER"), os.Getenv("USERNAME"), "root")
}

// or returns the first text that is not empty.
func or(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
