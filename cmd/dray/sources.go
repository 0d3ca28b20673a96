package main

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
	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// evidenceMedia is the media type of a signed statement: DSSE's envelope.
const evidenceMedia = "application/vnd.dsse.envelope.v1+json"

// origins says where the bytes of a release are for its hosts: the project's
// registry, where it has them and the host can reach it, and this machine,
// which asks others for what it has not got itself.
type origins struct {
	project *project
	images  map[string]string // digest → repository in the project's registry

	mu     sync.Mutex
	direct map[string]api.ImageSource // by repository
}

func (p *project) originsOf(release pipeline.Release) *origins {
	o := &origins{project: p, images: map[string]string{}, direct: map[string]api.ImageSource{}}
	for _, image := range release.Images {
		p.connector.relay.allow(image.Digest)
		if p.project.Registry != nil && strings.HasPrefix(image.Name, p.project.Registry.Address+"/") {
			o.images[image.Digest] = image.Name
		}
	}
	return o
}

// relayed lets this machine ask the registry, too, for hosts that can't reach
// it.
func (o *origins) relayed() error {
	for _, repository := range o.repositories() {
		src, err := registry.Remote(repository, registry.RemoteOptions{Keychain: authn.DefaultKeychain, Insecure: o.project.insecure(repository)})
		if err != nil {
			return err
		}
		o.project.connector.relay.add(src)
	}
	return nil
}

func (o *origins) repositories() []string {
	var all []string
	for _, repository := range o.images {
		all = append(all, repository)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// sources says where a host finds an image, the shortest way first.
func (o *origins) sources(ctx context.Context, h *deploy.Host, digest string, sink event.Sink) []api.ImageSource {
	peer := api.ImageSource{Kind: "peer", Address: h.Peer}
	repository, ok := o.images[digest]
	if !ok || !o.project.reaches(h.Name, repository) {
		return []api.ImageSource{peer}
	}
	return []api.ImageSource{o.registry(ctx, repository, sink), peer}
}

// reaches tells whether a host may find the registry where this machine does:
// a loopback address is another machine there.
func (p *project) reaches(host, repository string) bool {
	if h := p.project.Hosts[host]; h != nil && h.Address == pipeline.LocalHost {
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
func (o *origins) registry(ctx context.Context, repository string, sink event.Sink) api.ImageSource {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known, ok := o.direct[repository]; ok {
		return known
	}
	source := api.ImageSource{Kind: "registry", Address: repository, Insecure: o.project.insecure(repository)}
	var err error
	if source.Username, source.Password, err = registry.Credentials(ctx, authn.DefaultKeychain, repository); err != nil {
		sink.Emit(event.Event{Type: event.Warning, Text: fmt.Sprintf("hosts ask %s without a login: %v", repository, err)})
	}
	o.direct[repository] = source
	return source
}

// publish puts what the hosts swear about a release beside its images in the
// registry. The statements are on the hosts in any case: a registry that does
// not take them is no fault of the deployment.
func (o *origins) publish(ctx context.Context, fleet *deploy.Fleet, release pipeline.Release, sink event.Sink) {
	if len(o.images) == 0 {
		return
	}
	slow := time.AfterFunc(time.Second, func() {
		sink.Emit(event.Event{Type: event.Notice, Text: "putting the hosts' evidence beside the image in the registry"})
	})
	defer slow.Stop()
	statements, err := statementsOf(ctx, fleet, release)
	for digest, repository := range o.images {
		var subject name.Digest
		if err == nil {
			subject, err = name.NewDigest(repository + "@" + digest)
		}
		if err == nil {
			err = registry.Attach(ctx, subject, statements, registry.PushOptions{Insecure: o.project.insecure(repository)})
		}
		if err != nil {
			sink.Emit(event.Event{Type: event.Warning, Text: fmt.Sprintf("the evidence for release %s is on the hosts, but not in %s: %v", release.ReleaseNumber(), repository, err)})
			return
		}
	}
}

// statementsOf asks every host for its statement.
func statementsOf(ctx context.Context, fleet *deploy.Fleet, release pipeline.Release) ([]registry.Artifact, error) {
	hosts := fleet.Hosts()
	statements := make([]registry.Artifact, len(hosts))
	errs := make([]error, len(hosts))
	var group sync.WaitGroup
	for i, h := range hosts {
		group.Go(func() {
			envelope, err := h.Client.Environment(fleet.Project, fleet.Environment).Evidence(ctx, release.ReleaseNumber())
			if err != nil {
				errs[i] = &deploy.HostError{Host: h.Name, Err: err}
				return
			}
			statements[i] = registry.Artifact{
				Type: api.EvidencePayload, MediaType: evidenceMedia, Content: envelope,
				Annotations: map[string]string{
					"dev.dray.project": fleet.Project, "dev.dray.environment": fleet.Environment, "dev.dray.host": h.Name,
					"dev.dray.release": release.ReleaseNumber().String(),
				},
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return statements, nil
}
