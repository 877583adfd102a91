package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// remoteRepository is a backend at a registry.
type remoteRepository struct {
	cfg      Config
	ref      registry.Reference // without a tag
	sessions *sessions
	heads    heads
}

func newRemote(cfg Config, ref registry.Reference) *remoteRepository {
	files := append(cfg.TLS.files(), cfg.Auth.files(ref.Host())...)
	return &remoteRepository{
		cfg:      cfg,
		ref:      ref,
		sessions: &sessions{cfg: cfg, ref: ref, headerWait: cfg.StallTimeout, prints: newFingerprinter(files)},
	}
}

func (r *remoteRepository) fingerprint() string { return r.sessions.prints.now() }

func (r *remoteRepository) target(reference string) string {
	ref := r.ref
	ref.Reference = reference
	return ref.String()
}

// url is that of something below the repository.
func (r *remoteRepository) url(path string) string {
	scheme := "https"
	if r.cfg.PlainHTTP {
		scheme = "http"
	}
	return scheme + "://" + r.ref.Host() + "/v2/" + r.ref.Repository + "/" + path
}

// request sends a request for something below the repository.
func (r *remoteRepository) request(ctx context.Context, s *session, method, path string, header http.Header) (*http.Response, error) {
	return r.requestURL(ctx, s, method, r.url(path), header)
}

func (r *remoteRepository) requestURL(ctx context.Context, s *session, method, url string, header http.Header) (*http.Response, error) {
	ctx = auth.AppendRepositoryScope(ctx, r.ref, auth.ActionPull)
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	for key, values := range header {
		req.Header[key] = values
	}
	return s.client.Do(req)
}

var acceptManifests = http.Header{"Accept": {strings.Join(manifestMediaTypes, ", ")}}

func (r *remoteRepository) resolve(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	if err := r.validReference(reference); err != nil {
		return ocispec.Descriptor{}, explain(err, opHead, r.target(reference))
	}
	var refused error
	if !r.heads.useless(reference) {
		desc, err := r.head(ctx, reference)
		if err == nil {
			r.heads.answered(reference, desc.Digest)
			return desc, nil
		}
		if !r.headRefused(err) {
			return ocispec.Descriptor{}, explain(err, opHead, r.target(reference))
		}
		refused = err
	}
	raw, err := r.manifest(ctx, reference)
	if KindOf(refused) == Forbidden && KindOf(err) == Forbidden {
		r.heads.trust()
		return ocispec.Descriptor{}, explain(refused, opHead, r.target(reference))
	}
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc, claimed := ocispec.Descriptor{Size: int64(len(raw.bytes))}, raw.claimed
	doc, err := raw.parse(reference)
	switch {
	case err == nil:
		desc.MediaType = doc.MediaType
	case KindOf(err) != Malformed || raw.claimed != claimed:
		return ocispec.Descriptor{}, explain(err, opManifest, r.target(reference))
	default: // the registry vouches for it: what the tag resolves to is malformed
	}
	if refused != nil {
		r.heads.refuse()
	}
	desc.Digest = raw.claimed
	return desc, nil
}

var errNoDigest = errors.New("the answer to HEAD has no usable Docker-Content-Digest")

func (r *remoteRepository) head(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	s, err := r.sessions.get()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	resp, err := r.request(ctx, s, http.MethodHead, "manifests/"+reference, acceptManifests)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	discard(resp)
	dgst, err := digest.Parse(resp.Header.Get("Docker-Content-Digest"))
	if want, isDigest := digest.Parse(reference); isDigest == nil {
		if err == nil && dgst != want {
			return ocispec.Descriptor{}, errNoDigest
		}
		dgst, err = want, nil
	}
	if err != nil {
		return ocispec.Descriptor{}, errNoDigest
	}
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return ocispec.Descriptor{MediaType: mediaType, Digest: dgst, Size: max(resp.ContentLength, 0)}, nil
}

// headRefused says whether GET may succeed where HEAD did not. 403 is a proxy's refusal
// of HEAD, or the registry's of the tag: only GET tells.
func (r *remoteRepository) headRefused(err error) bool {
	var e *Error
	if errors.Is(err, errNoDigest) {
		return true
	}
	if !errors.As(err, &e) || e.Operation != "" {
		return false
	}
	return e.Kind == Refused || e.Status == http.StatusNotImplemented || e.Kind == Forbidden && !r.heads.trusted()
}

func (r *remoteRepository) manifest(ctx context.Context, reference string) (rawManifest, error) {
	raw, err := r.getManifest(ctx, reference)
	if err != nil {
		return rawManifest{}, explain(err, opManifest, r.target(reference))
	}
	r.heads.compare(reference, digest.FromBytes(raw.bytes))
	return raw, nil
}

func (r *remoteRepository) getManifest(ctx context.Context, reference string) (rawManifest, error) {
	if err := r.validReference(reference); err != nil {
		return rawManifest{}, err
	}
	s, err := r.sessions.get()
	if err != nil {
		return rawManifest{}, err
	}
	resp, err := r.request(ctx, s, http.MethodGet, "manifests/"+reference, acceptManifests)
	if err != nil {
		return rawManifest{}, err
	}
	defer resp.Body.Close()
	bytes, err := readBounded(resp.Body, MaxManifestBytes)
	if err != nil {
		return rawManifest{}, err
	}
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return rawManifest{bytes, mediaType, digest.Digest(resp.Header.Get("Docker-Content-Digest"))}, nil
}

// readBounded reads a body to its end, or fails where it is larger than limit.
func readBounded(body io.Reader, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, malformed("it is larger than %d MiB", limit>>20)
	}
	return raw, nil
}

func (r *remoteRepository) validReference(reference string) error {
	ref := r.ref
	ref.Reference = reference
	if reference == "" || ref.ValidateReference() != nil {
		return &Error{Kind: Misconfigured, Err: fmt.Errorf("%q is no tag and no digest", reference)}
	}
	return nil
}

// heads remembers how far HEAD can be trusted, so that a registry that refuses
// it, or answers it wrongly, is asked once per poll and not twice.
type heads struct {
	mu           sync.Mutex
	refusedUntil time.Time
	trustedUntil time.Time // that long 403 for a HEAD is the tag's
	tags         map[string]*headRecord
}

// headPause is how long HEAD is not tried again that was refused where GET was not: a
// proxy may have been busy once, and a GET counts as a pull with some registries. It is
// also how long a 403 for HEAD is not tried with GET once HEAD was answered, or GET was
// denied as well.
const headPause = time.Hour

type headRecord struct {
	head     digest.Digest    // the last answer, until it is compared
	lie      [2]digest.Digest // the last HEAD and GET that differed
	distrust bool
}

func (h *heads) useless(reference string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	record := h.tags[reference]
	return time.Now().Before(h.refusedUntil) || record != nil && record.distrust
}

func (h *heads) refuse() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refusedUntil = time.Now().Add(headPause)
}

func (h *heads) trust() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trustedUntil = time.Now().Add(headPause)
}

func (h *heads) trusted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Before(h.trustedUntil)
}

func (h *heads) answered(reference string, dgst digest.Digest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trustedUntil = time.Now().Add(headPause)
	if h.tags == nil {
		h.tags = make(map[string]*headRecord)
	}
	if h.tags[reference] == nil {
		h.tags[reference] = &headRecord{}
	}
	h.tags[reference].head = dgst
}

// compare takes note of what GET says. HEAD and GET may differ once, when the
// tag moves between them; the very same difference again means that HEAD is wrong.
func (h *heads) compare(reference string, got digest.Digest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	record := h.tags[reference]
	if record == nil || record.head == "" {
		return
	}
	pair := [2]digest.Digest{record.head, got}
	record.head = ""
	if pair[0] == pair[1] {
		record.lie = [2]digest.Digest{}
		return
	}
	record.distrust = record.lie == pair
	record.lie = pair
}
