package ssh

import (
	"cmp"
	"slices"
	"strings"
)

// used are the keywords that dray goes by.
var used = strings.Fields(`hostname user port hostkeyalias proxyjump proxycommand identitiesonly identityfile certificatefile
	identityagent addressfamily bindaddress bindinterface connectionattempts connecttimeout serveraliveinterval
	serveralivecountmax ciphers kexalgorithms macs hostkeyalgorithms pubkeyacceptedalgorithms userknownhostsfile
	globalknownhostsfile knownhostscommand revokedhostkeys tag`)

// unrelated are keywords about what dray does not do or always does in its own
// way: terminals, forwarding, other logins than by key, whether to trust an
// unknown host key (never), log levels; and those whose effect ssh -G has
// worked into the others.
var unrelated = strings.Fields(`host batchmode canonicaldomains canonicalizefallbacklocal canonicalizemaxdots canonicalizepermittedcnames
	challengeresponseauthentication channeltimeout checkhostip clearallforwardings controlmaster controlpersist dynamicforward
	enableescapecommandline enablesshkeysign escapechar exitonforwardfailure fingerprinthash forkafterauthentication forwardagent
	forwardx11 forwardx11timeout forwardx11trusted gatewayports gssapiauthentication gssapiclientidentity
	gssapidelegatecredentials gssapikexalgorithms gssapikeyexchange gssapirenewalforcesrekey gssapiserveridentity
	gssapitrustdns hashknownhosts hostbasedacceptedalgorithms hostbasedauthentication hostbasedkeytypes ignoreunknown
	kbdinteractiveauthentication kbdinteractivedevices localcommand localforward loglevel logverbose
	nohostauthenticationforlocalhost numberofpasswordprompts obscurekeystroketiming passwordauthentication permitlocalcommand
	permitremoteopen preferredauthentications pubkeyauthentication remotecommand remoteforward requesttty sendenv sessiontype
	setenv stdinnull streamlocalbindmask streamlocalbindunlink stricthostkeychecking syslogfacility tcpkeepalive tunnel
	tunneldevice updatehostkeys usekeychain useroaming verifyhostkeydns versionaddendum visualhostkey warnweakcrypto xauthlocation`)

// spelling is how people write keywords that matter and that dray does not use.
var spelling = map[string]string{
	"addkeystoagent": "AddKeysToAgent", "canonicalizehostname": "CanonicalizeHostname", "casignaturealgorithms": "CASignatureAlgorithms",
	"compression": "Compression", "controlpath": "ControlPath", "ipqos": "IPQoS", "pkcs11provider": "PKCS11Provider",
	"proxyusefdpass": "ProxyUseFdpass", "rekeylimit": "RekeyLimit", "requiredrsasize": "RequiredRSASize", "securitykeyprovider": "SecurityKeyProvider",
}

// ignored returns the keywords that are set, would matter to ssh, and are not
// used by dray.
func (s settings) ignored() []string {
	var list []string
	for keyword := range s {
		switch {
		case slices.Contains(used, keyword) || slices.Contains(unrelated, keyword):
		case s.is(keyword, "none", "no", "false"):
		default:
			list = append(list, cmp.Or(spelling[keyword], keyword))
		}
	}
	slices.Sort(list)
	return list
}
