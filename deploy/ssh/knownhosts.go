package ssh

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the file format's hash; it hides names, it protects nothing
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

// knownKey is one line of a known_hosts file.
type knownKey struct {
	marker   string // "", cert-authority or revoked
	patterns []string
	key      ssh.PublicKey
	file     string
	line     int
}

// where returns FILE:LINE, or the lock file.
func (k knownKey) where() string {
	if k.line == 0 {
		return k.file
	}
	return fmt.Sprintf("%s:%d", k.file, k.line)
}

// readKnownHosts reads known_hosts files. Files that do not exist and lines
// that do not parse (a kind of key that is not supported) are left out.
func readKnownHosts(files []string) ([]knownKey, error) {
	var all []knownKey
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading known hosts: %w", err)
		}
		all = append(all, parseKnownHosts(text, file)...)
	}
	return all, nil
}

func parseKnownHosts(text []byte, file string) []knownKey {
	var all []knownKey
	number := 0
	for line := range bytes.Lines(text) {
		number++
		marker, hosts, key, _, _, err := ssh.ParseKnownHosts(line)
		if err != nil {
			continue
		}
		all = append(all, knownKey{marker: marker, patterns: hosts, key: key, file: file, line: number})
	}
	return all
}

// matches tells whether the line is about name: "host", or "[host]:port" for a
// port that is not 22. Source: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.
func (k knownKey) matches(name string) bool {
	found := false
	for _, pattern := range k.patterns {
		pattern, negated := strings.CutPrefix(pattern, "!")
		salted, hashed := strings.CutPrefix(pattern, "|1|")
		if hashed && !matchHashed(salted, name) || !hashed && !matchPattern(strings.ToLower(pattern), name) {
			continue
		}
		if negated {
			return false
		}
		found = true
	}
	return found
}

func matchHashed(salted, name string) bool {
	salt, sum, ok := strings.Cut(salted, "|")
	if !ok {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(salt)
	if err != nil {
		return false
	}
	want, err := base64.StdEncoding.DecodeString(sum)
	if err != nil {
		return false
	}
	mac := hmac.New(sha1.New, key)
	mac.Write([]byte(name))
	return hmac.Equal(mac.Sum(nil), want)
}
