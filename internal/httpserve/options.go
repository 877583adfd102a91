package httpserve

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/variant"
)

// Views is where the server gets what it serves. Both methods are called from
// many goroutines and must be quick.
type Views interface {
	// Acquire returns the current view, held until its Close; nil before
	// anything was ever held.
	Acquire() *store.View
	// AcquireVersion returns a held release alone, by tag or manifest digest,
	// or a held view by its id. The error wraps store.ErrNotHeld where no
	// release or view has that name.
	AcquireVersion(version string) (*store.View, error)
}

// Options is all that a Server can be told. Views, Logger and Registerer must
// be set; everything else may be zero.
type Options struct {
	Views      Views
	Logger     *slog.Logger
	Registerer prometheus.Registerer

	Listen string // address of the TLS port, like ":8443"
	TLS    TLSOptions

	// HtpasswdFile asks for a login with HTTP basic auth; its passwords are
	// bcrypt hashes. It is re-read when it changes.
	HtpasswdFile string
	// Listing answers a folder that has no index.html with a list of what is in it.
	Listing bool
	// CacheBytes bounds the memory for small bodies; 0 reads each from disk.
	CacheBytes int64
	// Variants are the gzip and zstd forms of files; nil serves every file as
	// it is.
	Variants *variant.Store
	// MaxConnections bounds the open connections; further ones wait to be
	// accepted. 0 means no bound.
	MaxConnections int
	// DirectWrites sends each TLS record by itself, as net/http does it, instead
	// of gathering those that are due at the same time.
	DirectWrites bool
	// AccessLog logs each request, at level info.
	AccessLog bool

	// Why says, for people, why nothing is served yet.
	Why func() string
	// OnDamage is told of a file that turned out not to be what was published:
	// store.Store.ReportDamage. The file is opened once more after it.
	OnDamage func(*store.View, store.Entry)

	limits limits
}

// TLSOptions says how the server proves who it is, and who may connect.
type TLSOptions struct {
	// CertFile and KeyFile are PEM files, re-read when they change. Without
	// them the server makes a certificate for itself.
	CertFile, KeyFile string
	// ClientCAFile makes a client certificate signed by one of its
	// certificates a condition of every connection. Re-read when it changes.
	ClientCAFile string
	// Hosts are the names and addresses in the self-made certificate.
	Hosts []string
	// Dir is the folder in which the self-made certificate (tls.crt, tls.key)
	// is kept over restarts.
	Dir string
}

// limits are the bounds that protect the server from its clients. Tests
// shorten them.
type limits struct {
	readHeader time.Duration // for a TLS handshake, and for a request's header
	idle       time.Duration // between requests
	stall      time.Duration // without a byte in either direction
	body       time.Duration // for what is left of a request's body, which nobody reads
	// linger is how long a client may take to close after the server: in all, and
	// at the server's end without a byte in either direction, up to lingerAtEnd.
	linger, lingerAtEnd time.Duration

	headers int           // bytes of a request's header
	streams int           // HTTP/2 streams at a time on one connection
	listed  int64         // entries of the listings that are under way
	room    time.Duration // that a listing waits for others to end
	poll    time.Duration // how often files are looked at for a change
}

var defaultLimits = limits{
	readHeader: 10 * time.Second,
	idle:       60 * time.Second,
	stall:      60 * time.Second,
	body:       2 * time.Second,
	linger:     2 * time.Second, lingerAtEnd: 20 * time.Second,
	headers: 32 << 10,
	streams: 100,
	listed:  64 << 10,
	room:    5 * time.Second,
	poll:    2 * time.Second,
}

func (o *Options) complete() error {
	if o.Views == nil || o.Logger == nil || o.Registerer == nil {
		return errors.New("serve: Views, Logger and Registerer must be set")
	}
	if (o.TLS.CertFile == "") != (o.TLS.KeyFile == "") {
		return fmt.Errorf("serve: http.tls.certFile (%q) and http.tls.keyFile (%q) go together: set both, or neither", o.TLS.CertFile, o.TLS.KeyFile)
	}
	if o.Why == nil {
		o.Why = func() string { return "nothing was fetched yet" }
	}
	if o.OnDamage == nil {
		o.OnDamage = func(*store.View, store.Entry) {}
	}
	if o.limits == (limits{}) {
		o.limits = defaultLimits
	}
	return nil
}
