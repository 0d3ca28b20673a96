package buildkit

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/client"

	"dray/builder"
	"dray/pipeline"
)

// embeddedCaches are the types of cache that the embedded builder has.
//
// 2026-11: it leaves out gha, s3 and azblob, which are clients of clouds: they
// made dray 15.4 MB larger (42.6 MB before), for everybody. A BuildKit at an
// address has them.
var embeddedCaches = []string{"inline", "local", "registry"}

// cacheEntries gives a target's caches as the builder takes them: folders,
// whose place is attribute folder, absolute; tokens from the environment.
func (c *Client) cacheEntries(req builder.Request, entries []pipeline.CacheEntry, word, folder string) ([]client.CacheOptionsEntry, error) {
	var out []client.CacheOptionsEntry
	for _, e := range entries {
		if c.embedded && !slices.Contains(embeddedCaches, e.Type) {
			return nil, &builder.Failure{
				Target: req.Target.Name, At: req.Target.At,
				Reason: fmt.Sprintf("%s asks for a cache of type %s, which the embedded builder does not have; it has %s", word, e.Type, strings.Join(embeddedCaches, ", ")),
				Next:   "take type=registry, or another BuildKit: --builder",
			}
		}
		attrs := maps.Clone(e.Attrs)
		if attrs == nil {
			attrs = map[string]string{}
		}
		if p := attrs[folder]; e.Type == "local" && p != "" && !filepath.IsAbs(p) {
			attrs[folder] = filepath.Join(req.Dir, p)
		}
		for attr, variable := range cacheVariables[e.Type] {
			if value := os.Getenv(variable); value != "" && attrs[attr] == "" {
				attrs[attr] = value
			}
		}
		out = append(out, client.CacheOptionsEntry{Type: e.Type, Attrs: attrs})
	}
	return out, nil
}

// cacheVariables are what a builder elsewhere can't read itself: variables of
// a GitHub runner, and AWS's own.
var cacheVariables = map[string]map[string]string{
	"gha": {"token": "ACTIONS_RUNTIME_TOKEN", "url": "ACTIONS_CACHE_URL", "url_v2": "ACTIONS_RESULTS_URL"},
	"s3":  {"access_key_id": "AWS_ACCESS_KEY_ID", "secret_access_key": "AWS_SECRET_ACCESS_KEY", "session_token": "AWS_SESSION_TOKEN"},
}
