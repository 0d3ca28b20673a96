package registry

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MaxManifest is the size of the largest manifest or index that is read:
// 4 MiB, as the distribution specification advises.
const MaxManifest = 4 << 20

// Media types of Docker's older image format, which is the same by structure.
const (
	mediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaTypeBlob           = "application/octet-stream"
)

// manifestTypes in the order of an Accept header.
var manifestTypes = []string{
	ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest,
	mediaTypeDockerList, mediaTypeDockerManifest,
}

// IsIndex says whether a media type is that of an index.
func IsIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == mediaTypeDockerList
}

// IsManifest says whether a media type is that of a manifest or an index.
func IsManifest(mediaType string) bool {
	return IsIndex(mediaType) || mediaType == ocispec.MediaTypeImageManifest || mediaType == mediaTypeDockerManifest
}

// Manifest is what dray reads of an image manifest or an index.
type Manifest struct {
	specs.Versioned
	MediaType    string               `json:"mediaType,omitempty"`
	ArtifactType string               `json:"artifactType,omitempty"`
	Config       *ocispec.Descriptor  `json:"config,omitempty"`
	Layers       []ocispec.Descriptor `json:"layers,omitempty"`
	Manifests    []ocispec.Descriptor `json:"manifests,omitempty"`
	Subject      *ocispec.Descriptor  `json:"subject,omitempty"`
	Annotations  map[string]string    `json:"annotations,omitempty"`
}

// ParseManifest reads a manifest or an index of foreign origin. Afterwards
// MediaType is one of the four known ones, every descriptor has a valid digest
// and a size of 0 or more, and a manifest has a config.
//
// A document that could be read as both is refused: two readers must never see
// different images in the same bytes (CVE-2021-41190).
func ParseManifest(b []byte) (*Manifest, error) {
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("parsing a manifest: %d bytes, more than %d", len(b), MaxManifest)
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("parsing a manifest: %w", err)
	}
	if m.SchemaVersion == 1 {
		return nil, &FormatError{"it is in the image format of before 2017 (schema 1): pull it and push it again with a current tool"}
	}
	if m.SchemaVersion != 2 {
		return nil, &FormatError{fmt.Sprintf("parsing a manifest: schema version %d is not supported", m.SchemaVersion)}
	}
	if err := m.classify(); err != nil {
		return nil, err
	}
	for _, d := range m.Children() {
		if err := checkDescriptor(d); err != nil {
			return nil, fmt.Errorf("parsing a manifest: %w", err)
		}
	}
	if m.Subject != nil {
		if err := checkDescriptor(*m.Subject); err != nil {
			return nil, fmt.Errorf("parsing a manifest's subject: %w", err)
		}
	}
	return &m, nil
}

// classify fills in a missing media type and refuses what is neither a
// manifest nor an index, or both.
func (m *Manifest) classify() error {
	if m.Manifests != nil && (m.Config != nil || m.Layers != nil) {
		return errors.New("parsing a manifest: it has both manifests and layers")
	}
	if m.MediaType == "" {
		m.MediaType = ocispec.MediaTypeImageManifest
		if m.Manifests != nil {
			m.MediaType = ocispec.MediaTypeImageIndex
		}
	}
	switch {
	case !IsManifest(m.MediaType):
		return &FormatError{fmt.Sprintf("parsing a manifest: media type %.80q is not supported", m.MediaType)}
	case IsIndex(m.MediaType) && (m.Config != nil || m.Layers != nil):
		return errors.New("parsing a manifest: it calls itself an index but has layers")
	case !IsIndex(m.MediaType) && m.Config == nil:
		return errors.New("parsing a manifest: it has no config")
	}
	return nil
}

// FormatError is content that is whole, but in no format that is of use here.
// It goes through a relay to whoever asked.
type FormatError struct{ what string }

func (e *FormatError) Error() string { return e.what }

// mediaTypeDockerConfig is the config of an image in Docker's format.
const mediaTypeDockerConfig = "application/vnd.docker.container.image.v1+json"

// Runnable returns a *FormatError where a manifest is that of something else
// than an image: registries keep Helm charts, plugins and signatures too.
func (m *Manifest) Runnable() error {
	if m.Config == nil || !strings.HasPrefix(m.Config.MediaType, "application/vnd.") {
		return nil // old tools write no media type, or a general one
	}
	switch kind := m.Config.MediaType; kind {
	case ocispec.MediaTypeImageConfig, mediaTypeDockerConfig:
		return nil
	case "application/vnd.cncf.helm.config.v1+json":
		return &FormatError{"it is a Helm chart, not an image"}
	case ocispec.MediaTypeEmptyJSON:
		return &FormatError{fmt.Sprintf("it is no image, but something about one (%s)", cmp.Or(m.ArtifactType, kind))}
	default:
		return &FormatError{fmt.Sprintf("it is no image to run (%s)", kind)}
	}
}

// Children lists the content that m refers to, its subject not included.
func (m *Manifest) Children() []ocispec.Descriptor {
	if IsIndex(m.MediaType) {
		return m.Manifests
	}
	all := make([]ocispec.Descriptor, 0, len(m.Layers)+1)
	if m.Config != nil {
		all = append(all, *m.Config)
	}
	return append(all, m.Layers...)
}

func checkDescriptor(d ocispec.Descriptor) error {
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %.90q: %w", d.Digest, err)
	}
	if d.Digest.Algorithm() != digest.SHA256 && d.Digest.Algorithm() != digest.SHA512 {
		return fmt.Errorf("digest algorithm %s is not supported", d.Digest.Algorithm())
	}
	if d.Size < 0 {
		return fmt.Errorf("%s has size %d", d.Digest, d.Size)
	}
	return nil
}
