package config

import (
	"log/slog"
	"time"
)

// Config is the whole configuration, checked and complete.
type Config struct {
	// Sources are the repositories to follow, the top of the view first. There is
	// always at least one; where the user wrote `source` it is named "default".
	Sources []Source

	Store   Store
	Gate    Gate
	HTTP    HTTP
	Ops     Ops
	Control Control
	Webhook Webhook
	Log     Log
}

// Source is one OCI repository with its selectors, trust and credentials.
type Source struct {
	Name         string        // unique, a DNS label; the `source` label of metrics
	Repository   string        // as written; empty: poll nothing, serve what is held or imported
	Select       []string      // selectors, top of the view first; never empty
	MaxReleases  int           // at least 1
	Exclude      []string      // tags or digests never to be followed
	Archive      string        // base name of the layer's title
	Interval     time.Duration // poll period before jitter; at least 100 ms
	Timeout      time.Duration // deadline of all of a sync but the bodies of blobs
	StallTimeout time.Duration // a body that brings less than 64 KiB in it has failed
	MaxBackoff   time.Duration // ceiling of the wait between failed syncs
	PlainHTTP    bool
	TLS          ClientTLS
	Auth         Auth
	Verify       Verify
}

// ClientTLS is how a registry is trusted and how Specman shows who it is.
type ClientTLS struct {
	CAFile             string // PEM, added to the system's roots
	CertFile           string // set together with KeyFile or not at all
	KeyFile            string
	InsecureSkipVerify bool // wins over CAFile
}

// Auth is how to log in. Of a value and its File twin at most one is set.
type Auth struct {
	Provider     string // auto, anonymous, basic, docker or ecr
	Username     string
	UsernameFile string
	Password     Secret
	PasswordFile string
	Token        Secret
	TokenFile    string
	DockerConfig string // path of a config.json or .dockerconfigjson
	ECR          ECR
}

// ECR holds what AWS needs; what is empty is left to the SDK's default chain.
type ECR struct {
	Region        string
	AccessKey     Secret
	AccessKeyFile string
	SecretKey     Secret
	SecretKeyFile string
	RoleARN       string
	ExternalID    string
}

// Verify is which signatures a manifest must carry before its content is served.
type Verify struct {
	Cosign   Cosign
	Notation Notation
	Strict   bool // true: stop serving what a changed policy refuses
}

// Cosign names the public keys, any of which must have signed the manifest.
type Cosign struct {
	Keys []string // each a path, or a PEM block itself
}

// Notation is set whole or not at all.
type Notation struct {
	TrustStore  string // folder
	TrustPolicy string // file
}

// Store is the volume and its limits. Sizes are bytes.
type Store struct {
	Dir           string
	Keep          int // releases held per source beside those in use
	MaxTreeBytes  int64
	MaxFiles      int
	MaxFileBytes  int64
	MinFree       int64
	Grace         time.Duration // a replaced tree stays on disk at least this long
	ScrubInterval time.Duration // 0: never
}

// Gate is what a release must pass before it is served.
type Gate struct {
	MaxVanishedPercent int // 1 to 100; 0: off
	RequirePaths       []string
	Command            []string // program and arguments; the tree's path is appended
	Timeout            time.Duration
}

// HTTP is the server of the tree.
type HTTP struct {
	Listen         string
	TLS            ServerTLS
	Auth           HTTPAuth
	Listing        bool
	CacheBytes     int64
	Compress       bool
	MaxConnections int
}

// ServerTLS is what the server of the tree shows and asks for.
type ServerTLS struct {
	CertFile     string // set together with KeyFile; neither: self-signed
	KeyFile      string
	Hosts        []string // names in the self-signed certificate
	ClientCAFile string   // set: clients must show a certificate of it
}

// HTTPAuth is who may read the tree.
type HTTPAuth struct {
	HtpasswdFile string // empty: everybody
}

// Ops is the server of metrics, health, status page and API.
type Ops struct {
	Listen    string
	TokenFile string // empty: calls that change something are refused on TCP
	Pprof     bool
}

// Control is the unix socket through which the commands reach the service.
type Control struct {
	Socket string // never empty; <store.dir>/control.sock unless set
}

// Webhook is whom to tell of each swap.
type Webhook struct {
	URL        string
	SecretFile string
}

// Log is what is logged, and how.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // text or json
	Access bool   // one line per request
}

// Secret is text that does not print: every common way of formatting it, JSON and
// slog included, gives "***". string(s) is the secret.
type Secret string

const redacted = "***"

// String gives "***", or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString keeps %#v from printing the secret.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// MarshalText keeps encoders from printing the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue keeps slog from printing the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
