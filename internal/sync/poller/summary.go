package poller

import "github.com/specman/specman/internal/sync/oci"

// inShort says what each kind of fault is to somebody who may know nothing of the
// inside: no host, no path, no credential.
var inShort = map[oci.Kind]string{
	oci.Absent:        "the registry does not have what is followed",
	oci.Unauthorized:  "the registry does not accept the login",
	oci.Forbidden:     "the registry does not allow it",
	oci.RateLimited:   "the registry asks to wait",
	oci.Unavailable:   "the registry has a fault of its own",
	oci.Refused:       "the registry refuses the request",
	oci.Network:       "the registry cannot be reached",
	oci.TLS:           "no trusted TLS connection to the registry",
	oci.Stalled:       "the download stands still",
	oci.Corrupt:       "what was downloaded is not what the registry describes",
	oci.Malformed:     "the registry's answer is not what it should be",
	oci.NotRegistry:   "something else answers in the registry's place",
	oci.Misconfigured: "a setting of the source is wrong",
}

// Summary is the reason in a few words for those who may not read Reason, which
// names hosts and paths.
func (f *Failure) Summary() string {
	if f.quiet {
		return "nothing was pushed yet"
	}
	if s := inShort[f.kind()]; s != "" {
		return s
	}
	switch f.Stage {
	case StageSpace:
		return "the store's volume is full"
	case StageManifest:
		return "what was pushed is not of the expected kind"
	case StageVerify:
		return "the signature is missing or wrong"
	case StageDownload, StageUnpack:
		if f.refused {
			return "the archive is refused"
		}
	case StageGate:
		return "the gate does not let it pass"
	}
	return "the sync failed at stage " + string(f.Stage)
}
