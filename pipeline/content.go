package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Content names what a release runs: image digests, configuration, versions of
// secrets, and places. Two releases of one content run alike, whatever their
// number, whoever made them and when. It is "sha256:…".
func (r *Release) Content() string {
	images := map[string]string{}
	for name, image := range r.Images {
		images[name] = image.Digest
	}
	placement := map[string][]string{}
	for host, names := range r.Placement {
		if len(names) > 0 {
			placement[host] = names
		}
	}
	secrets := map[string]string{}
	for name, version := range r.Secrets {
		secrets[name] = version
	}
	text, err := json.Marshal([]any{images, append([]Service{}, r.Services...), append([]Task{}, r.Tasks...), secrets, placement})
	if err != nil {
		panic(fmt.Sprintf("pipeline: a release always has a JSON form: %v", err))
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Approvable names the part of the content that a person can say yes to: the
// images and the configuration. Who approves need not have the secrets, and
// where instances go is settled when they go there.
func (r *Release) Approvable() string {
	alike := *r
	alike.Secrets, alike.Placement = nil, nil
	return alike.Content()
}

// Alike says that two releases are the same, wherever their instances go.
func (r *Release) Alike(other *Release) bool {
	a, b := *r, *other
	a.Placement, b.Placement = nil, nil
	return a.Content() == b.Content()
}
