package poller

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/oci"
)

// Stage is the part of a sync in which something failed. The set is closed: it
// is a label of a metric.
type Stage string

// The stages, in their order.
const (
	StageList     Stage = "list"
	StageResolve  Stage = "resolve"
	StageManifest Stage = "manifest"
	StageVerify   Stage = "verify"
	StageSpace    Stage = "space"
	StageDownload Stage = "download"
	StageUnpack   Stage = "unpack"
	StageGate     Stage = "gate"
	StagePublish  Stage = "publish"
)

// Stages are all of them.
var Stages = []Stage{
	StageList, StageResolve, StageManifest, StageVerify, StageSpace,
	StageDownload, StageUnpack, StageGate, StagePublish,
}

// Failure is why a release, or a whole sync, did not succeed.
type Failure struct {
	Stage  Stage     `json:"stage"`
	Tag    string    `json:"tag,omitempty"` // empty: the sync as a whole
	Digest string    `json:"digest,omitempty"`
	Reason string    `json:"reason"`
	Cure   string    `json:"cure,omitempty"`
	At     time.Time `json:"time"`

	err error
	// refused says that the release itself is at fault: it is remembered and
	// not fetched again.
	refused bool
	// quiet says that it is no fault yet: nothing was pushed so far.
	quiet bool
	// begun says that an answer came, and broke off.
	begun bool
	// foreign says that something in the store is somebody else's.
	foreign bool
}

func (f *Failure) Error() string { return f.Reason }
func (f *Failure) Unwrap() error { return f.err }

// fail makes a Failure of an error. Errors that know their stage better than
// the caller have their way: a full disk is stage space wherever it shows, and
// a broken transfer is stage download though the unpacking noticed.
func fail(stage Stage, tag, digest string, err error) *Failure {
	f := &Failure{Stage: stage, Tag: tag, Digest: digest, Reason: err.Error(), At: time.Now().UTC(), err: err}
	var (
		transport *oci.Error
		bad       *archive.RefusedError
	)
	switch {
	case errors.Is(err, store.ErrNoSpace):
		f.Stage = StageSpace
		f.Cure = "enlarge the volume, or lower store.keep or store.minFree"
	case errors.Is(err, syscall.EROFS):
		f.Stage = StagePublish
		f.Cure = "the volume of store.dir is read-only, and what is held is served: " + store.ReadOnlyCure
	case errors.As(err, &transport):
		if stage == StageUnpack {
			f.Stage = StageDownload
		}
		f.Cure = transport.Cure
		f.refused = stage == StageManifest && transport.Kind == oci.Malformed
	case errors.Is(err, fs.ErrPermission) && (stage == StageUnpack || stage == StagePublish):
		f.foreign = true
		f.Cure = fmt.Sprintf("what is below store.dir must belong to uid %d, as which Specman runs: give it back (chown -R); what is held is served", os.Getuid())
	case errors.As(err, &bad):
		f.refused = true
		f.Cure = "mend the archive and push it again; `specman inspect FILE` says the same before a push"
	}
	return f
}

// kind is what the registry, or the way to it, is at fault of; "" if it is not.
func (f *Failure) kind() oci.Kind {
	var e *oci.Error
	if errors.As(f.err, &e) {
		return e.Kind
	}
	return ""
}

// endsSync says that to go on asking would be in vain, or unkind: every other
// request would end the same way.
func (f *Failure) endsSync() bool {
	switch f.kind() {
	case oci.Unauthorized, oci.RateLimited, oci.Canceled:
		return true
	}
	return f.retryAfter() > 0 && f.Stage != StageDownload || errors.Is(f.err, syscall.EROFS)
}

// unanswered says that no answer came, or that it was to come later. It may be this
// release alone that the registry cannot give: only the next one tells.
func (f *Failure) unanswered() bool {
	return (f.kind() == oci.Network || f.kind() == oci.TLS || f.retryAfter() > 0) && !f.begun
}

// backsOff says that polling on at the same pace would not help: the fault is the
// registry's or the way's, or what is followed is not there, which only a push mends, or
// the store may not be written, which shows only once a layer was downloaded. What
// is refused for good costs no request, and what waits for the first push is no fault:
// they do not slow the polls.
func (f *Failure) backsOff() bool {
	switch f.kind() {
	case "":
		return f.foreign
	case oci.Canceled:
		return false
	case oci.Malformed:
		return !f.refused
	}
	return !f.quiet
}

func (f *Failure) retryAfter() time.Duration {
	var e *oci.Error
	if errors.As(f.err, &e) {
		return e.RetryAfter
	}
	return 0
}
