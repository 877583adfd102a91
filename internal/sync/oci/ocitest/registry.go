// Package ocitest is a registry that misbehaves on command.
//
// A [Registry] is an http.Handler: give it to httptest.NewServer, or to [Pipe]
// where no socket may be. It holds one repository, answers the reading half of
// the distribution specification as an honest registry does, and logs every
// request. Each [Fault] put into it changes answers before they leave.
package ocitest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Operations of a [Request], named as the metrics of package oci name them.
const (
	Tags     = "tags"
	Head     = "head"
	Manifest = "manifest"
	Blob     = "blob"
	Token    = "token"
	Other    = "other"
)

// Request is what the log keeps of each request.
type Request struct {
	Operation     string
	Method        string
	Host          string
	Path          string
	Query         string
	Range         string
	Authorization string
	UserAgent     string
	Proto         string
	Remote        string // the client's address: one per connection
	Status        int    // 0 where no answer was given
}

// Registry holds one repository. All methods may be called while it serves.
type Registry struct {
	repository string

	mu        sync.Mutex
	tags      []string // in the order that they are listed in
	digests   map[string]digest.Digest
	manifests map[digest.Digest]content
	blobs     map[digest.Digest][]byte
	faults    []*Fault
	log       []Request
	auth      authenticator
	pageSize  int
}

type content struct {
	mediaType string
	bytes     []byte
}

// New makes an empty registry with one repository, which exists.
func New(repository string) *Registry {
	return &Registry{
		repository: repository,
		digests:    make(map[string]digest.Digest),
		manifests:  make(map[digest.Digest]content),
		blobs:      make(map[digest.Digest][]byte),
	}
}

// PutBlob stores a blob.
func (r *Registry) PutBlob(data []byte) digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	dgst := digest.FromBytes(data)
	r.blobs[dgst] = data
	return dgst
}

// DeleteBlob takes a blob away that manifests may still name.
func (r *Registry) DeleteBlob(dgst digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.blobs, dgst)
}

// PutManifest stores a manifest, and points a tag at it unless tag is empty.
func (r *Registry) PutManifest(tag, mediaType string, raw []byte) digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	dgst := digest.FromBytes(raw)
	r.manifests[dgst] = content{mediaType, raw}
	if tag != "" {
		if !slices.Contains(r.tags, tag) {
			r.tags = append(r.tags, tag)
		}
		r.digests[tag] = dgst
	}
	return dgst
}

// Tag points a tag at a manifest that is already there.
func (r *Registry) Tag(tag string, dgst digest.Digest) {
	r.mu.Lock()
	stored := r.manifests[dgst]
	r.mu.Unlock()
	r.PutManifest(tag, stored.mediaType, stored.bytes)
}

// DeleteTag takes a tag away; its manifest stays.
func (r *Registry) DeleteTag(tag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.digests, tag)
	r.tags = slices.DeleteFunc(r.tags, func(t string) bool { return t == tag })
}

// Artifact is what [Registry.Push] makes.
type Artifact struct {
	Manifest digest.Digest
	Layer    ocispec.Descriptor
}

// Push stores data as `oras push REPOSITORY:tag title` of 1.1 and later does.
func (r *Registry) Push(tag, title string, data []byte, created time.Time) Artifact {
	layer := ocispec.Descriptor{
		MediaType:   ocispec.MediaTypeImageLayer,
		Digest:      r.PutBlob(data),
		Size:        int64(len(data)),
		Annotations: map[string]string{ocispec.AnnotationTitle: title},
	}
	r.PutBlob(ocispec.DescriptorEmptyJSON.Data)
	raw := Marshal(ocispec.Manifest{
		Versioned:    schema2,
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: "application/vnd.unknown.artifact.v1",
		Config:       ocispec.DescriptorEmptyJSON,
		Layers:       []ocispec.Descriptor{layer},
		Annotations:  map[string]string{ocispec.AnnotationCreated: created.UTC().Format(time.RFC3339)},
	})
	return Artifact{Manifest: r.PutManifest(tag, ocispec.MediaTypeImageManifest, raw), Layer: layer}
}

// Marshal is json.Marshal for what cannot fail.
func Marshal(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

// SetPageSize splits the list of tags into pages; 0 sends all at once.
func (r *Registry) SetPageSize(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pageSize = n
}

// Requests is a copy of the log.
func (r *Registry) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

// Count is how many requests of an operation were logged.
func (r *Registry) Count(operation string) int {
	count := 0
	for _, request := range r.Requests() {
		if request.Operation == operation {
			count++
		}
	}
	return count
}

// Counts is how many requests were logged, by operation.
func (r *Registry) Counts() map[string]int {
	counts := make(map[string]int)
	for _, request := range r.Requests() {
		counts[request.Operation]++
	}
	return counts
}

// Forget empties the log.
func (r *Registry) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = nil
}

// ServeHTTP logs the request, and answers it through the faults.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	entry := Request{
		Operation: r.operation(req), Method: req.Method, Host: req.Host, Path: req.URL.Path, Query: req.URL.RawQuery,
		Range: req.Header.Get("Range"), Authorization: req.Header.Get("Authorization"), UserAgent: req.Header.Get("User-Agent"),
		Proto: req.Proto, Remote: req.RemoteAddr,
	}
	r.mu.Lock()
	index := len(r.log)
	r.log = append(r.log, entry)
	handler := r.faulty(entry.Operation, http.HandlerFunc(r.honest))
	r.mu.Unlock()

	recorder := &statusRecorder{ResponseWriter: w}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if index < len(r.log) { // unless it was emptied meanwhile
			r.log[index].Status = recorder.status
		}
	}()
	handler.ServeHTTP(recorder, req)
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	if s.status == 0 {
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusRecorder) Write(p []byte) (int, error) {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	return s.ResponseWriter.Write(p)
}

func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (r *Registry) operation(req *http.Request) string {
	rest, ok := strings.CutPrefix(req.URL.Path, "/v2/"+r.repository+"/")
	switch {
	case req.URL.Path == tokenPath:
		return Token
	case ok && rest == "tags/list":
		return Tags
	case ok && strings.HasPrefix(rest, "manifests/") && req.Method == http.MethodHead:
		return Head
	case ok && strings.HasPrefix(rest, "manifests/"):
		return Manifest
	case ok && strings.HasPrefix(rest, "blobs/"):
		return Blob
	}
	return Other
}

// honest is what a registry without faults answers.
func (r *Registry) honest(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if req.URL.Path == tokenPath {
		r.auth.issue(w, req)
		return
	}
	if !r.auth.admit(w, req, r.repository) {
		return
	}
	rest, _ := strings.CutPrefix(req.URL.Path, "/v2/"+r.repository+"/")
	kind, reference, _ := strings.Cut(rest, "/")
	switch {
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		Fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported")
	case rest == "tags/list":
		r.listTags(w, req)
	case kind == "manifests":
		dgst, ok := r.digests[reference]
		if !ok {
			dgst = digest.Digest(reference)
		}
		stored, ok := r.manifests[dgst]
		if !ok {
			Fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
			return
		}
		w.Header().Set("Docker-Content-Digest", dgst.String())
		w.Header().Set("Content-Type", stored.mediaType)
		w.Header().Set("Content-Length", strconv.Itoa(len(stored.bytes)))
		if req.Method == http.MethodGet {
			_, _ = w.Write(stored.bytes)
		}
	case kind == "blobs":
		data, ok := r.blobs[digest.Digest(reference)]
		if !ok {
			Fail(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
			return
		}
		serveBlob(w, req, data)
	default:
		Fail(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
	}
}

func (r *Registry) listTags(w http.ResponseWriter, req *http.Request) {
	tags := r.tags
	if last := req.URL.Query().Get("last"); last != "" {
		tags = tags[slices.Index(tags, last)+1:]
	}
	if r.pageSize > 0 && len(tags) > r.pageSize {
		tags = tags[:r.pageSize]
		w.Header().Set("Link", fmt.Sprintf(`<%s?last=%s&n=%d>; rel="next"`, req.URL.Path, tags[len(tags)-1], r.pageSize))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"name": r.repository, "tags": slices.Clone(tags)})
}

// serveBlob knows ranges as registries do: "bytes=N-".
func serveBlob(w http.ResponseWriter, req *http.Request, data []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", digest.FromBytes(data).String())
	status := http.StatusOK
	if from, ok := rangeStart(req); ok {
		if from >= len(data) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
		data, status = data[from:], http.StatusPartialContent
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	if req.Method == http.MethodGet {
		_, _ = w.Write(data)
	}
}

func rangeStart(req *http.Request) (int, bool) {
	text, ok := strings.CutPrefix(req.Header.Get("Range"), "bytes=")
	if !ok {
		return 0, false
	}
	from, err := strconv.Atoi(strings.TrimSuffix(text, "-"))
	return from, err == nil
}

// Fail writes an error as the distribution specification has it.
func Fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"errors": []map[string]string{{"code": code, "message": message}},
	})
}
