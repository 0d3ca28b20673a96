package ssh

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// defaultAlgorithms are the host key algorithms that dray accepts, best first.
var defaultAlgorithms = func() []string {
	list := ssh.SupportedAlgorithms().HostKeys
	slices.SortStableFunc(list, func(a, b string) int { return preference(a) - preference(b) })
	return list
}()

func preference(algorithm string) int {
	switch {
	case strings.HasPrefix(algorithm, "ssh-ed25519"):
		return 0
	case strings.HasPrefix(algorithm, "ecdsa-"):
		return 1
	}
	return 2
}

func (e *endpoint) resolveAlgorithms(set settings) error {
	supported, weak := ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	for _, a := range []struct {
		keyword              string
		into                 *[]string
		standard, additional []string
	}{
		{"ciphers", &e.algorithms.Ciphers, supported.Ciphers, weak.Ciphers},
		{"kexalgorithms", &e.algorithms.KeyExchanges, supported.KeyExchanges, weak.KeyExchanges},
		{"macs", &e.algorithms.MACs, supported.MACs, weak.MACs},
		{"hostkeyalgorithms", &e.hostKeyAlgorithms, defaultAlgorithms, weak.HostKeys},
		{"pubkeyacceptedalgorithms", &e.acceptedAlgorithms, supported.PublicKeyAuths, weak.PublicKeyAuths},
	} {
		list, err := algorithmList(set.first(a.keyword), a.standard, a.additional)
		if err != nil {
			return fmt.Errorf("%s: %w", a.keyword, err)
		}
		*a.into = list
	}
	return nil
}

// algorithmList reads a list of algorithms: names in the order of preference,
// or changes to the standard ones (+ adds, - removes, ^ puts first), with
// patterns. What dray does not know is passed over.
func algorithmList(list string, standard, additional []string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	change := list[0]
	var named []string
	for pattern := range strings.SplitSeq(strings.TrimLeft(list, "+-^"), ",") {
		for _, name := range slices.Concat(standard, additional) {
			if matchPattern(strings.TrimSpace(pattern), name) && !slices.Contains(named, name) {
				named = append(named, name)
			}
		}
	}
	others := slices.DeleteFunc(slices.Clone(standard), func(name string) bool { return slices.Contains(named, name) })
	switch change {
	case '+':
		named = slices.DeleteFunc(named, func(name string) bool { return slices.Contains(standard, name) })
		named = append(slices.Clone(standard), named...)
	case '-':
		named = others
	case '^':
		named = append(named, others...)
	}
	if len(named) == 0 {
		return nil, fmt.Errorf("dray knows none of %s", list)
	}
	return named, nil
}

// signatures returns the algorithms that a key of that type signs with.
func signatures(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{keyType}
}

// plainAlgorithm returns what the holder of a certificate signs with.
func plainAlgorithm(name string) string {
	if plain, ok := strings.CutSuffix(name, "-cert-v01@openssh.com"); ok {
		if strings.HasPrefix(plain, "sk-") {
			return plain + "@openssh.com"
		}
		return plain
	}
	return name
}

// accept restricts a key to the algorithms of PubkeyAcceptedAlgorithms; nil
// when none of its own is among them.
func accept(s ssh.Signer, accepted []string) ssh.Signer {
	if len(accepted) == 0 {
		return s
	}
	_, certified := s.PublicKey().(*ssh.Certificate)
	own := signatures(plainAlgorithm(s.PublicKey().Type()))
	var usable []string
	for _, name := range accepted {
		if strings.Contains(name, "-cert-v01@") == certified && slices.Contains(own, plainAlgorithm(name)) {
			usable = append(usable, plainAlgorithm(name))
		}
	}
	signer, ok := s.(ssh.AlgorithmSigner)
	if len(usable) == 0 || !ok {
		return nil
	}
	restricted, err := ssh.NewSignerWithAlgorithms(signer, usable)
	if err != nil {
		return nil
	}
	return restricted
}
