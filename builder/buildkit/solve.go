package buildkit

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"
	spb "github.com/moby/buildkit/sourcepolicy/pb"

	"dray/builder"
)

// What a step may need leave for.
const (
	networkHost      = "network.host"
	securityInsecure = "security.insecure"
)

// imageStoreID is the name under which the builder asks for built targets.
const imageStoreID = "dray-images"

// solveOpt is req in BuildKit's words.
func (c *Client) solveOpt(req builder.Request, src *source, secrets *secretStore, out content.Store) (client.SolveOpt, error) {
	attrs, err := frontendAttrs(req, src)
	if err != nil {
		return client.SolveOpt{}, err
	}
	attachables, err := c.attachables(req, secrets)
	if err != nil {
		return client.SolveOpt{}, err
	}
	policy, err := pinPolicy(req.Pins)
	if err != nil {
		return client.SolveOpt{}, err
	}
	exports, err := c.exportAttrs(req)
	if err != nil {
		return client.SolveOpt{}, err
	}
	from, err := c.cacheEntries(req, req.Target.CacheFrom, "cache-from", "src")
	if err != nil {
		return client.SolveOpt{}, err
	}
	to, err := c.cacheEntries(req, req.Target.CacheTo, "cache-to", "dest")
	if err != nil {
		return client.SolveOpt{}, err
	}
	opt := client.SolveOpt{
		Frontend:      "dockerfile.v0",
		Internal:      c.embedded, // not kept in a history, which would take as long as a build without work
		FrontendAttrs: attrs,
		LocalMounts:   src.mounts,
		SharedKey:     src.sharedKey,
		CacheImports:  from,
		CacheExports:  to,
		Session:       attachables,
		SourcePolicy:  policy,
		Exports: []client.ExportEntry{{
			Type: client.ExporterOCI, Attrs: exports, OutputStore: out,
		}},
	}
	opt.OCIStores = maps.Clone(src.stores)
	if len(req.Built) > 0 {
		opt.OCIStores[imageStoreID] = c.images
	}
	if image, line := syntaxOf(src.path); c.embedded && isBuiltin(image) {
		opt.FrontendAttrs["cmdline"] = line // makes the frontend believe that it was chosen by this line
	}
	opt.AllowedEntitlements = slices.Clone(req.Target.Entitlements)
	if req.Target.Network == "host" {
		opt.AllowedEntitlements = append(opt.AllowedEntitlements, networkHost)
	}
	return opt, nil
}

// exportAttrs ask for the same bytes at every build. The embedded builder's
// layers are normalised already.
func (c *Client) exportAttrs(req builder.Request) (map[string]string, error) {
	attrs := map[string]string{
		"tar":               "false",
		"source-date-epoch": strconv.FormatInt(builder.LayerTime.Unix(), 10),
	}
	if !c.embedded {
		attrs["rewrite-timestamp"] = "true"
	}
	annotations, err := annotationAttrs(req.Target.Annotations)
	if err != nil {
		return nil, &builder.Failure{
			Target: req.Target.Name, At: req.Target.At, Reason: err.Error(), Err: err,
			Next: fmt.Sprintf("write it so in annotations of target %q", req.Target.Name),
		}
	}
	maps.Copy(attrs, annotations)
	return attrs, nil
}

// frontendAttrs are the Dockerfile frontend's options.
func frontendAttrs(req builder.Request, src *source) (map[string]string, error) {
	t := req.Target
	attrs := map[string]string{"filename": src.filename}
	maps.Copy(attrs, src.attrs)
	for k, v := range t.Args {
		attrs["build-arg:"+k] = v
	}
	for k, v := range t.Labels {
		attrs["label:"+k] = v
	}
	set := func(key, value string) {
		if value != "" {
			attrs[key] = value
		}
	}
	set("target", t.Stage)
	set("platform", strings.Join(t.Platforms, ","))
	set("no-cache", strings.Join(t.NoCacheFilter, ","))
	if t.NoCache || req.NoCache {
		attrs["no-cache"] = ""
	}
	if t.Pull {
		attrs["image-resolve-mode"] = "pull"
	}
	if t.Network != "default" {
		set("force-network-mode", t.Network)
	}
	if t.ShmSize > 0 {
		attrs["shm-size"] = strconv.FormatInt(int64(t.ShmSize), 10)
	}
	set("ulimit", strings.Join(t.Ulimits, ","))
	hosts, err := extraHosts(t.ExtraHosts)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", t.Name, err)
	}
	set("add-hosts", hosts)
	return attrs, nil
}

// extraHosts gives "name=address,…" in the names' order.
func extraHosts(hosts map[string]string) (string, error) {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		address := hosts[name]
		if address == "host-gateway" {
			address = "127.0.0.1" // steps share the machine's network
		}
		if strings.ContainsAny(name+address, ",=") {
			return "", fmt.Errorf("extra-hosts: %q = %q is not a name and an address", name, address)
		}
		list = append(list, name+"="+address)
	}
	return strings.Join(list, ","), nil
}

// attachables are what the builder may ask this machine for.
func (c *Client) attachables(req builder.Request, secrets *secretStore) ([]session.Attachable, error) {
	all := []session.Attachable{
		authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
			AuthConfigProvider: authprovider.LoadAuthConfig(c.auth),
		}),
		secretsprovider.NewSecretProvider(secrets),
	}
	if len(req.Target.SSH) == 0 {
		return all, nil
	}
	var agents []sshprovider.AgentConfig
	for _, s := range req.Target.SSH {
		agents = append(agents, sshprovider.AgentConfig{ID: s.ID, Paths: absolute(req.Dir, s.Paths)})
	}
	forward, err := sshprovider.NewSSHAgentProvider(agents)
	if err != nil {
		return nil, &builder.Failure{
			Target: req.Target.Name, At: req.Target.At, Err: err,
			Reason: "the SSH keys for its steps are not available: " + err.Error(),
			Next:   "start an agent and set SSH_AUTH_SOCK, or name key files in ssh",
		}
	}
	return append(all, forward), nil
}

func absolute(dir string, paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = p
		if !filepath.IsAbs(p) {
			out[i] = filepath.Join(dir, p)
		}
	}
	return out
}

// pinPolicy makes the builder read each image by the digest that is pinned for
// its reference.
func pinPolicy(pins map[string]string) (*spb.Policy, error) {
	if len(pins) == 0 {
		return nil, nil
	}
	policy := &spb.Policy{Version: 1}
	for _, ref := range slices.Sorted(maps.Keys(pins)) {
		named, err := reference.ParseNormalizedNamed(ref)
		if err != nil {
			return nil, fmt.Errorf("pinned image %q: %w", ref, err)
		}
		name := reference.TagNameOnly(named).String()
		policy.Rules = append(policy.Rules, &spb.Rule{
			Action:   spb.PolicyAction_CONVERT,
			Selector: &spb.Selector{Identifier: "docker-image://" + name, MatchType: spb.MatchType_EXACT},
			Updates:  &spb.Update{Identifier: "docker-image://" + name + "@" + pins[ref]},
		})
	}
	return policy, nil
}
