package registry

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// go-containerregistry sends nothing from any host to an address of a private
// network that is another host: a public registry could have it ask inside.
// It cannot know that the registry itself is inside, where blobs lie on
// another machine than the registry, and tokens come from a third. siblings
// allows exactly that: from a private network to a private network, and from
// this machine to both. Link-local addresses, where clouds keep machines'
// credentials, are never followed.
//
// What it allows it hides: redirects are followed here, a foreign upload
// location looks as if it came from there, and a foreign realm looks like a
// path of the registry.
func siblings(rt http.RoundTripper, registry string) http.RoundTripper {
	return &siblingTransport{inner: rt, registry: registry}
}

type siblingTransport struct {
	inner    http.RoundTripper
	registry string // host[:port]
}

const (
	maxRedirects = 10
	// realmPath stands for a token server that is not the registry; the query
	// parameter "realm" has its address.
	realmPath = "/.dray/realm"
)

// RoundTrip implements http.RoundTripper.
func (s *siblingTransport) RoundTrip(in *http.Request) (*http.Response, error) {
	in, err := s.realRealm(in)
	if err != nil {
		return nil, err
	}
	for hop := 0; ; hop++ {
		resp, err := s.inner.RoundTrip(in)
		if err != nil {
			return nil, err
		}
		s.hideRealm(in.Context(), resp)
		to := foreignLocation(in, resp)
		reads := in.Method == http.MethodGet || in.Method == http.MethodHead
		redirect := resp.StatusCode >= 300 && resp.StatusCode < 400
		if to == nil || redirect && (!reads || hop == maxRedirects) || !mayFollow(in.Context(), in.URL.Hostname(), to.Hostname()) {
			return resp, nil
		}
		there := in.Clone(in.Context())
		there.URL, there.Host = to, ""
		there.Header.Del("Authorization") // it was meant for the registry
		if !redirect {
			resp.Request = there
			return resp, nil
		}
		drain(resp)
		in = there
	}
}

// foreignLocation is where an answer sends to, if that is another host.
func foreignLocation(in *http.Request, resp *http.Response) *url.URL {
	text := resp.Header.Get("Location")
	if text == "" {
		return nil
	}
	to, err := in.URL.Parse(text)
	if err != nil || to.Hostname() == in.URL.Hostname() {
		return nil
	}
	return to
}

var realmParameter = regexp.MustCompile(`realm="([^"]*)"`)

// hideRealm puts a path of the registry in place of a token server that is not
// the registry and may be asked.
func (s *siblingTransport) hideRealm(ctx context.Context, resp *http.Response) {
	if resp.StatusCode != http.StatusUnauthorized {
		return
	}
	own, _, err := net.SplitHostPort(s.registry)
	if err != nil {
		own = s.registry
	}
	for i, challenge := range resp.Header["Www-Authenticate"] {
		resp.Header["Www-Authenticate"][i] = realmParameter.ReplaceAllStringFunc(challenge, func(parameter string) string {
			realm := realmParameter.FindStringSubmatch(parameter)[1]
			u, err := url.Parse(realm)
			if err != nil || u.Host == s.registry || !mayFollow(ctx, own, u.Hostname()) {
				return parameter
			}
			return `realm="` + u.Scheme + "://" + s.registry + realmPath + "?realm=" + url.QueryEscape(realm) + `"`
		})
	}
}

// realRealm undoes hideRealm.
func (s *siblingTransport) realRealm(in *http.Request) (*http.Request, error) {
	if in.URL.Path != realmPath || in.URL.Host != s.registry {
		return in, nil
	}
	q := in.URL.Query()
	to, err := url.Parse(q.Get("realm"))
	if err != nil {
		return nil, err
	}
	q.Del("realm")
	for name, values := range to.Query() {
		q[name] = append(q[name], values...)
	}
	to.RawQuery = q.Encode()
	there := in.Clone(in.Context())
	there.URL, there.Host = to, ""
	return there, nil
}

// publicOnly is an http.Client's rule for redirects that siblings has left
// alone: none goes to an address of a private network.
func publicOnly(to *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	address, err := netip.ParseAddr(to.URL.Hostname())
	if err != nil || to.URL.Hostname() == via[0].URL.Hostname() {
		return nil
	}
	if address = address.Unmap(); address.IsPrivate() || address.IsLoopback() || address.IsLinkLocalUnicast() || address.IsUnspecified() {
		return fmt.Errorf("it sends to %s, an address inside a network, where it may not send", to.URL.Host)
	}
	return nil
}

// mayFollow tells whether a host that is asked may send to another one, which
// is named by its address.
func mayFollow(ctx context.Context, from, to string) bool {
	there, err := netip.ParseAddr(strings.Trim(to, "[]"))
	if err != nil || there.IsLinkLocalUnicast() || there.IsUnspecified() {
		return false // a name is allowed anyway
	}
	addresses := []netip.Addr{}
	if here, err := netip.ParseAddr(strings.Trim(from, "[]")); err == nil {
		addresses = append(addresses, here)
	} else if addresses, err = net.DefaultResolver.LookupNetIP(ctx, "ip", from); err != nil {
		return false
	}
	for _, here := range addresses {
		here, there := here.Unmap(), there.Unmap()
		if !here.IsLoopback() && (!here.IsPrivate() || !there.IsPrivate()) {
			return false
		}
	}
	return len(addresses) > 0
}
