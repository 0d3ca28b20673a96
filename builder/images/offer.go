package images

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"dray/builder/registry"
	"dray/pipeline"
	"dray/pipeline/event"
)

// Offer says where the hosts of one deployment find its images: the project's
// registry, where it has them and the host can reach it, and this machine,
// which asks others for what it has not got itself.
type Offer struct {
	images *Images
	sink   event.Sink
	homes  map[string]string // digest → repository in the project's registry

	mu     sync.Mutex
	direct map[string]pipeline.ImageSource // by repository, with this user's login
}

// Offer lets hosts pull the images of a release through this machine, which asks
// the project's registry and the holders for what it lacks.
func (m *Images) Offer(release pipeline.Release, holders map[string]func(ctx context.Context) (net.Conn, error), sink event.Sink) (*Offer, error) {
	o := &Offer{images: m, sink: sink, homes: map[string]string{}, direct: map[string]pipeline.ImageSource{}}
	for host, dial := range holders {
		m.relay.add(registry.Dial(host, "", dial))
	}
	for _, image := range release.Images {
		m.relay.allow(image.Digest)
		if m.Project.Registry != nil && strings.HasPrefix(image.Name, m.Project.Registry.Address+"/") {
			o.homes[image.Digest] = image.Name
		}
	}
	for _, repository := range o.repositories() {
		src, err := registry.Remote(repository, registry.RemoteOptions{Keychain: authn.DefaultKeychain, Insecure: m.insecure(repository)})
		if err != nil {
			return nil, err
		}
		m.relay.add(src)
	}
	return o, nil
}

func (o *Offer) repositories() []string {
	var all []string
	for _, repository := range o.homes {
		all = append(all, repository)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Sources says where a host finds an image, the shortest way first. peer is the
// socket on the host that leads to this machine.
func (o *Offer) Sources(ctx context.Context, host pipeline.Host, peer, digest string) []pipeline.ImageSource {
	relay := pipeline.ImageSource{Kind: "peer", Address: peer}
	repository, ok := o.homes[digest]
	if !ok || !reaches(host, repository) {
		return []pipeline.ImageSource{relay}
	}
	return []pipeline.ImageSource{o.registry(ctx, repository), relay}
}

// reaches tells whether a host may find the registry where this machine does:
// a loopback address is another machine there.
func reaches(host pipeline.Host, repository string) bool {
	if host.Address == pipeline.LocalHost {
		return true
	}
	registryHost, _, _ := strings.Cut(repository, "/")
	if name, _, err := net.SplitHostPort(registryHost); err == nil {
		registryHost = name
	}
	return !registry.IsLoopback(registryHost)
}

// registry is the project's registry as a host pulls from it, with this user's
// credentials, which the host keeps in memory only.
func (o *Offer) registry(ctx context.Context, repository string) pipeline.ImageSource {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known, ok := o.direct[repository]; ok {
		return known
	}
	source := pipeline.ImageSource{Kind: "registry", Address: repository, Insecure: o.images.insecure(repository)}
	var err error
	if source.Username, source.Password, err = registry.Credentials(ctx, authn.DefaultKeychain, repository); err != nil {
		o.sink.Emit(event.Event{Type: event.Warning, Text: fmt.Sprintf("hosts ask %s without a login: %v", repository, err)})
	}
	o.direct[repository] = source
	return source
}

// evidenceMedia is the media type of a signed statement: DSSE's envelope.
const evidenceMedia = "application/vnd.dsse.envelope.v1+json"

// Publish puts what the hosts swear about a release beside its images in the
// registry. statements asks the hosts; it is called where there is a registry
// only. The statements are on the hosts in any case: a registry that does not
// take them is no fault of the deployment, and only told.
func (o *Offer) Publish(ctx context.Context, release pipeline.Release, statements func(context.Context) ([]pipeline.Statement, error)) {
	if len(o.homes) == 0 {
		return
	}
	slow := time.AfterFunc(time.Second, func() {
		o.sink.Emit(event.Event{Type: event.Notice, Text: "putting the hosts' evidence beside the image in the registry"})
	})
	defer slow.Stop()
	sworn, err := statements(ctx)
	artifacts := artifactsOf(release, sworn)
	for digest, repository := range o.homes {
		var subject name.Digest
		if err == nil {
			subject, err = name.NewDigest(repository + "@" + digest)
		}
		if err == nil {
			err = registry.Attach(ctx, subject, artifacts, registry.PushOptions{Insecure: o.images.insecure(repository)})
		}
		if err != nil {
			o.sink.Emit(event.Event{Type: event.Warning, Text: fmt.Sprintf("the evidence for release %s is on the hosts, but not in %s: %v", release.ReleaseNumber(), repository, err)})
			return
		}
	}
}

func artifactsOf(release pipeline.Release, sworn []pipeline.Statement) []registry.Artifact {
	var out []registry.Artifact
	for _, s := range sworn {
		out = append(out, registry.Artifact{
			Type: s.Type, MediaType: evidenceMedia, Content: s.Envelope,
			Annotations: map[string]string{
				"dev.dray.project": release.Project, "dev.dray.environment": release.Environment, "dev.dray.host": s.Host,
				"dev.dray.release": release.ReleaseNumber().String(),
			},
		})
	}
	return out
}
