package buildkit

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/moby/buildkit/util/resolver"
	"github.com/moby/buildkit/util/resolver/config"

	"dray/builder/registry"
)

// registryHosts says where an image's bytes are asked for: the mirrors of its
// registry in their order, then the registry itself.
func registryHosts(mirrors map[string][]string) (docker.RegistryHosts, error) {
	registries := map[string]config.RegistryConfig{}
	for host, urls := range mirrors {
		c := registries[host]
		for _, raw := range urls {
			u, err := mirrorURL(raw)
			if err != nil {
				return nil, fmt.Errorf("mirror of %s: %w", host, err)
			}
			c.Mirrors = append(c.Mirrors, u.Host+u.Path)
			plain := u.Scheme == "http"
			m := registries[u.Host]
			m.PlainHTTP = &plain
			registries[u.Host] = m
		}
		c.PlainHTTP = registries[host].PlainHTTP
		registries[host] = c
	}
	return resolver.NewRegistryConfig(registries), nil
}

// mirrorURL reads "https://host[:port][/path]". Plain http is accepted for
// this machine only: anybody on the way could change what it carries.
func mirrorURL(raw string) (*url.URL, error) {
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, err
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	switch {
	case u.Host == "":
		return nil, fmt.Errorf("%q has no host", raw)
	case u.Scheme == "https":
		return u, nil
	case u.Scheme == "http" && registry.IsLoopback(u.Hostname()):
		return u, nil
	case u.Scheme == "http":
		return nil, fmt.Errorf("%q: plain http is for loopback addresses only; use https", raw)
	default:
		return nil, fmt.Errorf("%q: use https", raw)
	}
}
