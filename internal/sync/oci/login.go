package oci

import (
	"errors"
	"fmt"
	"time"

	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// login is one way to log in. Each has a file of its own, login_*.go, and one
// case in newLogin.
type login struct {
	credential auth.CredentialFunc
	// forget drops credentials that were made on demand, so that the next
	// request makes new ones; nil where there are none such.
	forget func()
	// validUntil is when made credentials are to be renewed; nil: not known.
	validUntil func() time.Time
	// fixedToken says that there is one bearer token and no other.
	fixedToken bool
}

// Providers, as source.auth.provider names them.
const (
	providerAuto      = "auto"
	providerAnonymous = "anonymous"
	providerBasic     = "basic"
	providerDocker    = "docker"
	providerECR       = "ecr"
)

func (a AuthConfig) username() secret {
	return secret{"source.auth.username", a.Username, a.UsernameFile}
}

func (a AuthConfig) password() secret {
	return secret{"source.auth.password", a.Password, a.PasswordFile}
}

func (a AuthConfig) token() secret {
	return secret{"source.auth.token", a.Token, a.TokenFile}
}

// provider is what the settings come to for a host, with auto resolved.
func (a AuthConfig) provider(host string) string {
	switch {
	case a.Provider != "" && a.Provider != providerAuto:
		return a.Provider
	case a.username().given(), a.token().given():
		return providerBasic
	case isECR(host):
		return providerECR
	case dockerConfigPath(a.DockerConfig) != "":
		return providerDocker
	default:
		return providerAnonymous
	}
}

// check finds what is impossible in the settings themselves.
func (a AuthConfig) check(host string) error {
	errs := []error{a.username().check(), a.password().check(), a.token().check(), a.ECR.check()}
	switch a.Provider {
	case "", providerAuto, providerAnonymous, providerDocker:
	case providerBasic:
		if !a.username().given() && !a.token().given() {
			errs = append(errs, errors.New("source.auth.provider is basic: source.auth.username and source.auth.password, or source.auth.token, must be given"))
		}
	case providerECR:
		if !isPublicECR(host) {
			if _, err := ecrRegion(host, a.ECR.Region); err != nil {
				errs = append(errs, err)
			}
		}
	default:
		errs = append(errs, fmt.Errorf("source.auth.provider: %q is none of auto, anonymous, basic, docker, ecr", a.Provider))
	}
	if a.username().given() != a.password().given() {
		errs = append(errs, errors.New("source.auth.username and source.auth.password must be given together"))
	}
	if a.username().given() && a.token().given() {
		errs = append(errs, errors.New("source.auth.username and source.auth.token are both set: remove one of them"))
	}
	return errors.Join(errs...)
}

// files are what a change of makes a new login.
func (a AuthConfig) files(host string) []file {
	var files []file
	if a.Provider == "" || a.Provider == providerAuto || a.Provider == providerDocker {
		// Also where it is not there yet: it may appear.
		files = append(files, dockerConfigFiles(a.DockerConfig)...)
	}
	for _, s := range []secret{a.username(), a.password(), a.token(), a.ECR.accessKey(), a.ECR.secretKey()} {
		files = append(files, s.files()...)
	}
	return files
}

// newLogin reads what is needed to log in for ref.
func newLogin(cfg Config, ref registry.Reference) (login, error) {
	switch a := cfg.Auth; a.provider(ref.Host()) {
	case providerBasic:
		return basicLogin(a, ref.Host())
	case providerDocker:
		return dockerLogin(a.DockerConfig, ref)
	case providerECR:
		return ecrLogin(cfg, ref.Host())
	default:
		return login{}, nil
	}
}
