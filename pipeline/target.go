package pipeline

import (
	"slices"
	"strings"
)

// Target is an image to build. The words are those of a docker buildx bake
// target.
type Target struct {
	Name             string            `json:"name"`
	Context          string            `json:"context"`    // folder, relative to the project's, or a git URL
	Dockerfile       string            `json:"dockerfile"` // relative to Context
	DockerfileInline string            `json:"dockerfile-inline,omitempty"`
	Contexts         map[string]string `json:"contexts,omitempty"` // named contexts; "target:NAME" is another target of this project
	Args             map[string]string `json:"args,omitempty"`
	Labels           map[string]string `json:"labels,omitempty"`
	Annotations      []string          `json:"annotations,omitempty"`
	Platforms        []string          `json:"platforms,omitempty"` // "linux/amd64"; the builder's own by default
	Stage            string            `json:"target,omitempty"`    // build stage to stop at
	Tags             []string          `json:"tags,omitempty"`      // extra tags to push
	CacheFrom        []CacheEntry      `json:"cache-from,omitempty"`
	CacheTo          []CacheEntry      `json:"cache-to,omitempty"`
	Secrets          []BuildSecret     `json:"secret,omitempty"`
	SSH              []BuildSSH        `json:"ssh,omitempty"`
	NoCache          bool              `json:"no-cache,omitempty"`
	NoCacheFilter    []string          `json:"no-cache-filter,omitempty"`
	Pull             bool              `json:"pull,omitempty"`
	Network          string            `json:"network,omitempty"`  // default, none, host
	ShmSize          Bytes             `json:"shm-size,omitempty"` // of RUN's /dev/shm
	Ulimits          []string          `json:"ulimits,omitempty"`
	ExtraHosts       map[string]string `json:"extra-hosts,omitempty"`
	Entitlements     []string          `json:"entitlements,omitempty"` // what its steps may ask for: network.host, security.insecure
	Inherits         []string          `json:"-"`                      // targets whose arguments it started from, as the file has them
	At               Pos               `json:"-"`
}

// Needs lists the targets whose images its contexts name.
func (t *Target) Needs() []string {
	var out []string
	for _, value := range t.Contexts {
		if name, ok := strings.CutPrefix(value, "target:"); ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// CacheEntry is one cache import or export: a BuildKit backend and its
// attributes.
type CacheEntry struct {
	Type  string            `json:"type"`
	Attrs map[string]string `json:"attrs,omitempty"`
}

// BuildSecret is a value that RUN --mount=type=secret can read. It never
// enters the image.
type BuildSecret struct {
	ID   string `json:"id"`
	Env  string `json:"env,omitempty"` // variable of the deployer's environment; ID by default when Src is empty
	Src  string `json:"src,omitempty"` // file
	Type string `json:"type,omitempty"`
}

// BuildSSH forwards an SSH agent, or keys, to RUN --mount=type=ssh.
type BuildSSH struct {
	ID    string   `json:"id"`
	Paths []string `json:"paths,omitempty"` // the agent's socket or keys; $SSH_AUTH_SOCK by default
}
