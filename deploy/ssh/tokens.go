package ssh

import (
	"cmp"
	"crypto/sha1" //nolint:gosec // %C is defined as this hash; it protects nothing
	"encoding/hex"
	"fmt"
	"os"
	"os/user"
	"strings"
)

// tokenValues are what the tokens of ssh_config(5), TOKENS, stand for.
type tokenValues struct {
	alias, host, port, user, keyAlias, jump string
}

// tokens returns the values for a host whose name is known.
func (s settings) tokens(q query, host string) tokenValues {
	return tokenValues{alias: q.alias, host: host, port: cmp.Or(q.port, s.first("port"), "22"), user: cmp.Or(q.login, s.first("user"), localUser()),
		keyAlias: s.first("hostkeyalias"), jump: s.first("proxyjump")}
}

// all returns the values by their letter.
func (t tokenValues) all() map[byte]string {
	machine, _ := os.Hostname() // "" then, as %l
	short, _, _ := strings.Cut(machine, ".")
	id := ""
	if u, err := user.Current(); err == nil {
		id = u.Uid
	}
	sum := sha1.Sum([]byte(machine + t.host + t.port + t.user + t.jump)) //nolint:gosec // as above
	return map[byte]string{
		'C': hex.EncodeToString(sum[:]), 'd': homePath(""), 'h': t.host, 'i': id, 'j': t.jump, 'k': cmp.Or(t.keyAlias, t.alias),
		'L': short, 'l': machine, 'n': t.alias, 'p': t.port, 'r': t.user, 'u': localUser(),
	}
}

// expandTokens replaces %X by its value, %% by %, and with variables set
// ${NAME} by the environment's. What stands in a value is not replaced again.
func expandTokens(text string, values map[byte]string, variables bool) (string, error) {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case variables && strings.HasPrefix(text[i:], "${"):
			name, _, closed := strings.Cut(text[i+2:], "}")
			value, ok := os.LookupEnv(name)
			if !closed || !ok {
				return "", fmt.Errorf("%s: the environment has no variable %s", text, name)
			}
			out.WriteString(value)
			i += len(name) + 2
		case text[i] != '%':
			out.WriteByte(text[i])
		case strings.HasPrefix(text[i:], "%%"):
			out.WriteByte('%')
			i++
		default:
			i++
			if i == len(text) {
				return "", fmt.Errorf("%s ends with a single %%", text)
			}
			value, ok := values[text[i]]
			if !ok {
				return "", fmt.Errorf("%s: there is no token %%%c here", text, text[i])
			}
			out.WriteString(value)
		}
	}
	return out.String(), nil
}
