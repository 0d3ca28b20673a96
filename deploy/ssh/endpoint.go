package ssh

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// endpoint is one hop with everything that the configuration says of it.
type endpoint struct {
	name     string // for messages
	alias    string // as written
	host     string // what is dialled
	port     string
	user     string
	keyAlias string // HostKeyAlias
	jump     string
	proxy    string // ProxyCommand
	onTheWay bool   // it is a jump host

	network       string // tcp, tcp4 or tcp6: AddressFamily
	bindAddress   string
	bindInterface string
	attempts      int // ConnectionAttempts
	timeout       time.Duration
	keepAlive     time.Duration
	keepAliveMost int // ServerAliveCountMax

	algorithms         ssh.Config // ciphers, key exchanges and MACs; empty: the library's own
	hostKeyAlgorithms  []string   // empty: defaultAlgorithms
	acceptedAlgorithms []string   // of the user's keys; empty: all

	identities []string
	explicit   bool // identities are named by the configuration
	certs      []string
	only       bool // IdentitiesOnly
	agent      string

	known        []string // known_hosts files
	knownCommand string   // KnownHostsCommand
	revoked      string   // RevokedHostKeys
	ignored      []string // keywords that dray does not use

	tokens tokenValues
}

// address returns host:port.
func (e *endpoint) address() string { return net.JoinHostPort(e.host, e.port) }

// login returns user@host, with the port unless it is 22.
func (e *endpoint) login() string {
	if e.port == "22" {
		return e.user + "@" + e.host
	}
	return e.user + "@" + e.address()
}

// resolve asks the configuration for everything about an address.
func resolve(ctx context.Context, address string, config *clientConfig, o *Options) (*endpoint, error) {
	login, alias, port, err := splitAddress(address)
	if err != nil {
		return nil, err
	}
	set, err := config.of(ctx, query{alias: alias, login: login, port: port})
	if err != nil {
		return nil, err
	}
	e := &endpoint{
		name: alias, alias: alias,
		host:     cmp.Or(set.first("hostname"), alias),
		port:     cmp.Or(port, set.first("port"), "22"),
		user:     cmp.Or(login, set.first("user"), localUser()),
		keyAlias: set.first("hostkeyalias"),
		only:     set.is("identitiesonly", "yes"),
		ignored:  set.ignored(),
	}
	e.tokens = set.tokens(query{alias: alias, login: e.user, port: e.port}, e.host)
	e.resolveConnection(set, o)
	for _, step := range []func(settings) error{e.resolveWay, e.resolveAlgorithms, e.resolveIdentities, e.resolveKnownHosts} {
		if err := step(set); err != nil {
			return nil, fmt.Errorf("the SSH configuration of %s: %w", alias, err)
		}
	}
	return e, nil
}

// is tells whether a keyword has one of some values.
func (s settings) is(keyword string, values ...string) bool {
	return slices.Contains(values, strings.ToLower(s.first(keyword)))
}

// number returns a keyword's value, or otherwise where none above 0 is set.
func (s settings) number(keyword string, otherwise int) int {
	if n, err := strconv.Atoi(s.first(keyword)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

func (e *endpoint) resolveConnection(set settings, o *Options) {
	e.network = "tcp"
	switch {
	case set.is("addressfamily", "inet"):
		e.network = "tcp4"
	case set.is("addressfamily", "inet6"):
		e.network = "tcp6"
	}
	e.bindAddress, e.bindInterface = set.first("bindaddress"), set.first("bindinterface")
	e.attempts = set.number("connectionattempts", 1)
	e.timeout, e.keepAlive = o.Timeout, o.KeepAlive
	if e.timeout == 0 {
		e.timeout = seconds(set.first("connecttimeout"), 10*time.Second)
	}
	if e.keepAlive == 0 {
		e.keepAlive = seconds(set.first("serveraliveinterval"), 3*time.Second)
	}
	e.keepAliveMost = set.number("serveralivecountmax", 3)
}

// seconds reads a time as sshd_config(5), TIME FORMATS, has it: 90, 1m30s, 2h.
func seconds(text string, otherwise time.Duration) time.Duration {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	total, number := time.Duration(0), ""
	for i := range len(text) {
		c := text[i]
		if c >= '0' && c <= '9' {
			number += string(c)
			continue
		}
		unit, ok := units[c|0x20]
		n, err := strconv.Atoi(number)
		if !ok || err != nil {
			return otherwise
		}
		total, number = total+time.Duration(n)*unit, ""
	}
	if n, err := strconv.Atoi(number); err == nil {
		total += time.Duration(n) * time.Second
	}
	if total <= 0 {
		return otherwise
	}
	return total
}

// resolveWay sets the jump hosts or the ProxyCommand.
func (e *endpoint) resolveWay(set settings) (err error) {
	if e.jump, err = e.expand(set.first("proxyjump")); err != nil {
		return err
	}
	if command := set.first("proxycommand"); command != "none" {
		e.proxy, err = e.expand(command)
	}
	return err
}

// defaultIdentities are the keys in ~/.ssh that are tried when none is named.
var defaultIdentities = []string{"id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa"}

func (e *endpoint) resolveIdentities(set settings) error {
	named := set["identityfile"]
	e.explicit = len(named) > 0
	for _, path := range named {
		if path == "none" {
			continue
		}
		path, err := e.path(path)
		if err != nil {
			return fmt.Errorf("IdentityFile %w", err)
		}
		e.identities = append(e.identities, path)
	}
	if !e.explicit {
		for _, name := range defaultIdentities {
			e.identities = append(e.identities, homePath(".ssh/"+name))
		}
	}
	for _, path := range set["certificatefile"] {
		if path == "none" {
			continue
		}
		path, err := e.path(path)
		if err != nil {
			return fmt.Errorf("CertificateFile %w", err)
		}
		e.certs = append(e.certs, path)
	}
	e.agent = cmp.Or(os.Getenv("SSH_AUTH_SOCK"), usualAgent)
	switch v := set.first("identityagent"); {
	case v == "none":
		e.agent = ""
	case v == "SSH_AUTH_SOCK" || v == "":
	case strings.HasPrefix(v, "$") && !strings.HasPrefix(v, "${"):
		e.agent = os.Getenv(v[1:])
	default:
		path, err := e.path(v)
		if err != nil {
			return fmt.Errorf("IdentityAgent %w", err)
		}
		e.agent = path
	}
	return nil
}

func (e *endpoint) resolveKnownHosts(set settings) (err error) {
	user, global := set["userknownhostsfile"], set["globalknownhostsfile"]
	if user == nil {
		user = []string{"~/.ssh/known_hosts", "~/.ssh/known_hosts2"}
	}
	if global == nil {
		global = []string{filepath.Join(systemDir(), "ssh_known_hosts"), filepath.Join(systemDir(), "ssh_known_hosts2")}
	}
	for _, path := range user {
		e.known = append(e.known, expandHome(path)) // its tokens are replaced already
	}
	e.known = slices.DeleteFunc(append(e.known, global...), func(path string) bool { return path == "none" })
	if e.revoked, err = e.path(set.first("revokedhostkeys")); err != nil {
		return fmt.Errorf("RevokedHostKeys %w", err)
	}
	if e.revoked == "none" {
		e.revoked = ""
	}
	if e.knownCommand = set.first("knownhostscommand"); e.knownCommand == "none" {
		e.knownCommand = ""
	}
	return nil
}

// expand replaces the tokens in a command or a host's name.
func (e *endpoint) expand(text string) (string, error) {
	return expandTokens(text, e.tokens.all(), false)
}

// path replaces ~, tokens and variables in a path.
func (e *endpoint) path(text string) (string, error) {
	return expandTokens(expandHome(text), e.tokens.all(), true)
}
