package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MaxManifestBytes is the largest manifest that is read.
const MaxManifestBytes = 4 << 20

// maxIndexDepth bounds indexes of one index of one index.
const maxIndexDepth = 3

const (
	mediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaTypeArtifact       = "application/vnd.oci.artifact.manifest.v1+json" // ORAS 0.15 and 1.0, on request
)

// manifestMediaTypes is what registries are asked for, and the order matters to
// those that convert.
var manifestMediaTypes = []string{
	ocispec.MediaTypeImageManifest,
	ocispec.MediaTypeImageIndex,
	mediaTypeDockerManifest,
	mediaTypeDockerList,
	mediaTypeArtifact,
}

// Manifest is what a tag or digest resolves to. For an index with a single
// manifest, that manifest's layers and annotations stand here under the index's
// digest. An index of several has no layers.
type Manifest struct {
	Digest          digest.Digest // of Raw: what the tag resolves to
	MediaType       string        // of Raw
	ArtifactType    string
	ConfigMediaType string
	Created         time.Time // org.opencontainers.image.created, zero if it is missing or not RFC 3339
	Annotations     map[string]string
	Layers          []ocispec.Descriptor
	Raw             []byte
}

func (m *Manifest) isIndex() bool {
	return len(m.Layers) == 0 && (m.MediaType == ocispec.MediaTypeImageIndex || m.MediaType == mediaTypeDockerList)
}

// document is any of the manifests of [manifestMediaTypes].
type document struct {
	MediaType    string               `json:"mediaType"`
	ArtifactType string               `json:"artifactType"`
	Config       *ocispec.Descriptor  `json:"config"`
	Layers       []ocispec.Descriptor `json:"layers"`
	Blobs        []ocispec.Descriptor `json:"blobs"`     // of an artifact manifest
	Manifests    []ocispec.Descriptor `json:"manifests"` // of an index
	FSLayers     json.RawMessage      `json:"fsLayers"`  // of Docker's schema 1
	Annotations  map[string]string    `json:"annotations"`
}

// parseDocument decides by content what a manifest is. The content type that
// came with it is asked only where the content does not say, as proxies serve
// manifests as text/plain.
func parseDocument(raw []byte, contentType string) (*document, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		return nil, errors.New("it is no JSON object")
	}
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	if doc.FSLayers != nil {
		return nil, errors.New("it is a Docker manifest of schema 1, which has no digests to rely on")
	}
	hasLayers := doc.Layers != nil || doc.Config != nil || doc.Blobs != nil
	if hasLayers && doc.Manifests != nil {
		// Which of both is meant would depend on a header that no digest covers (CVE-2021-41190).
		return nil, errors.New("it is both an index and a manifest")
	}
	if doc.MediaType == "" {
		doc.MediaType = contentType
	}
	switch {
	case doc.Manifests != nil:
		if doc.MediaType != mediaTypeDockerList {
			doc.MediaType = ocispec.MediaTypeImageIndex
		}
	case !hasLayers:
		return nil, errors.New("it has neither layers nor manifests")
	}
	for _, list := range [][]ocispec.Descriptor{doc.Layers, doc.Blobs, doc.Manifests} {
		for _, desc := range list {
			if err := desc.Digest.Validate(); err != nil {
				return nil, fmt.Errorf("it names a digest %q: %w", desc.Digest, err)
			}
			if desc.Size < 0 {
				return nil, fmt.Errorf("it gives %s a size of %d", desc.Digest, desc.Size)
			}
		}
	}
	return &doc, nil
}

// parse checks the digest of a manifest and parses it. For a tag the bytes
// decide what the digest is. Only where a digest vouches for the bytes can it be
// the artifact that is malformed; else the way to it is to blame.
func (raw *rawManifest) parse(reference string) (*document, error) {
	claimed, algorithm := raw.claimed, digest.Canonical
	if want, err := digest.Parse(reference); err == nil {
		claimed = want
	}
	if claimed.Validate() == nil {
		algorithm = claimed.Algorithm()
	}
	raw.claimed = algorithm.FromBytes(raw.bytes)
	page := isHTML(raw.contentType) || bytes.HasPrefix(bytes.TrimSpace(raw.bytes), []byte("<"))
	if reference == claimed.String() && raw.claimed != claimed && !page {
		return nil, &Error{Kind: Corrupt, Cure: hintDamaged, Err: fmt.Errorf("its digest is %s", raw.claimed)}
	}
	doc, err := parseDocument(raw.bytes, raw.contentType)
	switch {
	case err == nil:
		return doc, nil
	case page:
		return nil, &Error{Kind: NotRegistry, Cure: hintHTML, Err: errors.New("the answer is a web page and no manifest")}
	case raw.claimed == claimed, claimed == "" && json.Valid(raw.bytes):
		return nil, malformed("not an OCI manifest: %w", err)
	default:
		return nil, &Error{Kind: Corrupt, Cure: hintDamaged, Err: fmt.Errorf("not an OCI manifest, and its digest is %s: %w", raw.claimed, err)}
	}
}

// fill takes over what doc says, under annotations that an index around it has.
func (m *Manifest) fill(doc *document) {
	m.ArtifactType = doc.ArtifactType
	if doc.Config != nil {
		m.ConfigMediaType = doc.Config.MediaType
	}
	m.Layers = append(doc.Layers, doc.Blobs...)
	for key, value := range doc.Annotations {
		if m.Annotations == nil {
			m.Annotations = make(map[string]string)
		}
		m.Annotations[key] = value
	}
	if created, err := time.Parse(time.RFC3339, m.Annotations[ocispec.AnnotationCreated]); err == nil {
		m.Created = created
	}
}
