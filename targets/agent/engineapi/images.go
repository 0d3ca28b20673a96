package engineapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/image"

	"dray/targets/store"
)

// imageList is GET /images/json.
func (a *API) imageList(w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilters(r.FormValue("filters"), "label", "reference", "dangling", "before", "since", "until")
	if err != nil {
		return err
	}
	all, err := a.imageSummaries(r.Context())
	if err != nil {
		return err
	}
	kept := []image.Summary{}
	for _, s := range all {
		named := f.any("reference", func(v string) bool {
			return len(s.RepoTags) > 0 && (s.RepoTags[0] == v || strings.HasPrefix(s.RepoTags[0], v+":"))
		})
		if named && f.labels(s.Labels) {
			kept = append(kept, s)
		}
	}
	return ok(w, kept)
}

func (a *API) imageSummaries(ctx context.Context) ([]image.Summary, error) {
	images, err := a.Images.Images(ctx)
	if err != nil {
		return nil, err
	}
	users := map[string]int64{}
	for _, c := range a.Engine.List() {
		users[c.Spec.Image]++
	}
	all := []image.Summary{}
	for _, i := range images {
		tags, digests := namesOf(i)
		all = append(all, image.Summary{
			ID: i.Digest.String(), Created: createdOf(i).Unix(), Labels: i.Config.Config.Labels, RepoTags: tags, RepoDigests: digests,
			Size: i.Unpacked, SharedSize: -1, Containers: users[i.Digest.String()] + otherUsers(users, i),
		})
	}
	return all, nil
}

// otherUsers counts the containers that name an image by its manifest.
func otherUsers(users map[string]int64, i store.Image) int64 {
	if i.Manifest == i.Digest {
		return 0
	}
	return users[i.Manifest.String()]
}

func createdOf(i store.Image) time.Time {
	if i.Config.Created != nil {
		return *i.Config.Created
	}
	return i.Pulled
}

// namesOf returns an image's name as a tag, and with its digest.
func namesOf(i store.Image) (tags, digests []string) {
	repository, tag := splitName(i.Name)
	if repository == "" {
		return []string{}, []string{}
	}
	return []string{repository + ":" + first(tag, "latest")}, []string{repository + "@" + i.Digest.String()}
}

// splitName cuts the tag, or the digest, off a name. The colon of a port is
// no tag's.
func splitName(name string) (repository, tag string) {
	if strings.HasPrefix(name, "sha256:") {
		return "", ""
	}
	name, _, _ = strings.Cut(name, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i], name[i+1:]
	}
	return name, ""
}

// familiar cuts Docker Hub's own names down to what people write.
func familiar(name string) string {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "docker.io/"), "index.docker.io/")
	return strings.TrimPrefix(name, "library/")
}

// findImage finds an image by name, digest, or the beginning of one.
func (a *API) findImage(ctx context.Context, ref string) (store.Image, error) {
	images, err := a.Images.Images(ctx)
	if err != nil {
		return store.Image{}, err
	}
	_, wanted, byDigest := strings.Cut(ref, "@")
	if !byDigest {
		wanted = ref
	}
	hex := strings.TrimPrefix(wanted, "sha256:")
	repository, tag := splitName(familiar(ref))
	for _, i := range images {
		for _, d := range []string{i.Digest.Encoded(), i.Manifest.Encoded(), i.ConfigDigest.Encoded()} {
			if len(hex) >= 4 && strings.HasPrefix(d, hex) {
				return i, nil
			}
		}
	}
	for _, i := range images {
		has, hasTag := splitName(familiar(i.Name))
		if !byDigest && repository != "" && has == repository && first(hasTag, "latest") == first(tag, "latest") {
			return i, nil
		}
	}
	return store.Image{}, fault(http.StatusNotFound, "No such image: %s", ref)
}

// imageInspect is GET /images/{name}/json; names hold slashes.
func (a *API) imageInspect(w http.ResponseWriter, r *http.Request) error {
	name, isInspect := strings.CutSuffix(r.PathValue("name"), "/json")
	if !isInspect {
		return fault(http.StatusNotImplemented, "dray does not do this: an image is listed and inspected here; use dray for the rest")
	}
	i, err := a.findImage(r.Context(), name)
	if err != nil {
		return err
	}
	tags, digests := namesOf(i)
	answer := image.InspectResponse{
		ID: i.Digest.String(), RepoTags: tags, RepoDigests: digests, Created: createdOf(i).UTC().Format(time.RFC3339Nano),
		Author: i.Config.Author, Architecture: i.Config.Architecture, Variant: i.Config.Variant, Os: i.Config.OS, Size: i.Unpacked,
		Config: &dockerspec.DockerOCIImageConfig{ImageConfig: i.Config.Config},
		RootFS: image.RootFS{Type: "layers"}, Metadata: image.Metadata{LastTagTime: i.Pulled},
	}
	for _, l := range i.Layers {
		answer.RootFS.Layers = append(answer.RootFS.Layers, l.DiffID.String())
	}
	return ok(w, answer)
}
