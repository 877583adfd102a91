package store

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// Release is a tag of a source, resolved to one manifest and one layer. Its
// tree is in the store for as long as the release is.
type Release struct {
	Source   string        `json:"source"`
	Tag      string        `json:"tag"` // the digest, for a release that was named by digest
	Manifest digest.Digest `json:"manifest"`
	Layer    digest.Digest `json:"layer"`
	Archive  string        `json:"archive"`      // the layer's title
	Created  time.Time     `json:"created"`      // org.opencontainers.image.created; zero where there is none
	Fetched  time.Time     `json:"fetched"`      // when the store got it
	Size     int64         `json:"archiveBytes"` // bytes of the layer
	Files    int           `json:"files"`        // files served, aliases included
	Bytes    int64         `json:"bytes"`        // bytes on disk, unpacked
	Skipped  int           `json:"skipped"`      // entries of the archive that are not served
	// IndexVersion is the highest version that the release's own index lists;
	// the rank of tag 0.0.0 follows it. Empty where there is none.
	IndexVersion string `json:"indexVersion,omitempty"`
	// Demoted is when the release went out of use; zero while it is in use.
	Demoted time.Time `json:"demoted,omitzero"`
}

// ReleaseKey names a release.
type ReleaseKey struct {
	Source   string        `json:"source"`
	Tag      string        `json:"tag"`
	Manifest digest.Digest `json:"manifest"`
}

// Key returns the release's name.
func (r *Release) Key() ReleaseKey { return ReleaseKey{r.Source, r.Tag, r.Manifest} }
