package oci

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"oras.land/oras-go/v2/registry"
)

const (
	defaultTimeout      = 10 * time.Minute
	defaultStallTimeout = time.Minute
)

// Config is one source's connection. Files that it names are read again when
// their content changes. Errors name the settings as source.…, as the
// configuration file does.
type Config struct {
	// Repository is "host[:port]/path" ("https://", "oci://" and stray slashes
	// are tolerated) or "oci-layout:DIR".
	Repository string
	PlainHTTP  bool
	TLS        TLSConfig
	Auth       AuthConfig

	// Timeout bounds a call whose context has no deadline, and the time until
	// a blob's first byte; 0 means 10 minutes.
	Timeout time.Duration
	// StallTimeout: an answer that does not begin, or a body that brings less
	// than 64 KiB, within that time of waiting for it, has failed; 0 means 1 minute.
	StallTimeout time.Duration

	Source    string // name in metrics and logs, "default" if empty
	UserAgent string // "specman" if empty
	Metrics   *Metrics
	Logger    *slog.Logger // nil discards

	// DialContext makes all connections, without a proxy; nil means TCP, or the
	// proxy of the environment. Tests give one that needs no socket.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// TLSConfig says whom to trust, and who we are.
type TLSConfig struct {
	CAFile             string // PEM, added to the system's; may be the server's own self-signed certificate
	CertFile, KeyFile  string // client certificate
	InsecureSkipVerify bool   // wins over CAFile
}

// AuthConfig says how to log in. Of a value and its file at most one is given.
type AuthConfig struct {
	Provider               string // auto (or empty), anonymous, basic, docker, ecr
	Username, UsernameFile string
	Password, PasswordFile string
	Token, TokenFile       string // a bearer token that the registry takes as it is
	DockerConfig           string // path of a config.json or .dockerconfigjson
	ECR                    ECRConfig
}

// ECRConfig overrides what the AWS SDK's default chain would find.
type ECRConfig struct {
	Region                   string // empty: the one in the host's name
	AccessKey, AccessKeyFile string
	SecretKey, SecretKeyFile string
	RoleARN, ExternalID      string // assumed with the keys above, or with the default chain's
}

// Open checks cfg and makes a repository of it. It touches no network, and
// reads no file that cfg names: those are reported by the calls that need
// them, until they are there.
func Open(cfg Config) (*Repository, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.StallTimeout <= 0 {
		cfg.StallTimeout = defaultStallTimeout
	}
	if cfg.Source == "" {
		cfg.Source = "default"
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "specman"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Repository{cfg: cfg}
	if dir, ok := layoutDir(cfg.Repository); ok {
		if dir == "" {
			return nil, errors.New("source.repository: oci-layout: needs a folder, as in oci-layout:/srv/manifests")
		}
		r.backend = openLayoutDir(dir)
		return r, nil
	}

	ref, err := parseRepository(cfg.Repository, cfg.PlainHTTP)
	if err != nil {
		return nil, fmt.Errorf("source.repository: %w", err)
	}
	if err := errors.Join(cfg.TLS.check(), cfg.Auth.check(ref.Host())); err != nil {
		return nil, err
	}
	if cfg.TLS.InsecureSkipVerify && !cfg.PlainHTTP {
		cfg.Logger.Warn("the registry's certificate is not verified: whoever is on the way can read the credentials and change what is served",
			"source", cfg.Source, "setting", "source.tls.insecureSkipVerify")
	}
	r.backend = newRemote(cfg, ref)
	return r, nil
}

func layoutDir(repository string) (dir string, ok bool) {
	return strings.CutPrefix(strings.TrimSpace(repository), "oci-layout:")
}

// parseRepository takes what people paste. It does not repeat the text in its
// errors where that could hold a password.
func parseRepository(text string, plainHTTP bool) (registry.Reference, error) {
	text = strings.TrimSpace(text)
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "", text
	}
	switch strings.ToLower(scheme) {
	case "", "oci":
	case "https":
		if plainHTTP {
			return registry.Reference{}, errors.New("it begins with https://, and source.plainHTTP is true: remove one of them")
		}
	case "http":
		if !plainHTTP {
			return registry.Reference{}, errors.New("it begins with http://: set source.plainHTTP to true if the registry really has no TLS")
		}
	default:
		return registry.Reference{}, fmt.Errorf("unknown scheme %s://: give host[:port]/path", scheme)
	}

	parts := strings.FieldsFunc(rest, func(r rune) bool { return r == '/' })
	if len(parts) == 0 {
		return registry.Reference{}, errors.New("it is empty: give host[:port]/path")
	}
	host, path := parts[0], strings.Join(parts[1:], "/")
	switch {
	case strings.Contains(host, "@"):
		return registry.Reference{}, errors.New("credentials do not belong here: use source.auth.username and source.auth.passwordFile")
	case path == "":
		return registry.Reference{}, fmt.Errorf("%q names no repository: give host[:port]/path, as in %s/spectro-packs/spectro-manifests/manifest", host, host)
	case strings.ContainsAny(path, ":@"):
		return registry.Reference{}, fmt.Errorf("%q ends with a tag or digest: that belongs into source.select", host+"/"+path)
	}
	ref := registry.Reference{Registry: host, Repository: path}
	if err := ref.ValidateRegistry(); err != nil {
		return registry.Reference{}, fmt.Errorf("%q is no host[:port]", host)
	}
	if err := ref.ValidateRepository(); err != nil {
		return registry.Reference{}, fmt.Errorf("%q is no repository's path: lower-case letters, digits and . _ - between slashes", path)
	}
	return ref, nil
}
