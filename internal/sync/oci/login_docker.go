package oci

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// dockerConfig is the part of Docker's config.json, and of a Secret's
// .dockerconfigjson, that says how to log in.
type dockerConfig struct {
	Auths       map[string]dockerEntry `json:"auths"`
	CredsStore  string                 `json:"credsStore"`
	CredHelpers map[string]string      `json:"credHelpers"`
}

type dockerEntry struct {
	Auth          string `json:"auth"` // base64 of username:password
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"` // OAuth2 refresh token
	RegistryToken string `json:"registrytoken"` // bearer token
}

// dockerConfigFiles is where the configuration is or may come to be.
func dockerConfigFiles(setting string) []file {
	if setting != "" {
		return []file{{"source.auth.dockerConfig", setting}}
	}
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil
		}
		dir = filepath.Join(home, ".docker")
	}
	return []file{{"the user's docker configuration", filepath.Join(dir, "config.json")}}
}

// dockerConfigPath is the configured path, or the usual one if there is a file.
func dockerConfigPath(setting string) string {
	if setting != "" {
		return setting
	}
	for _, f := range dockerConfigFiles("") {
		if _, err := os.Stat(f.path); err == nil {
			return f.path
		}
	}
	return ""
}

// dockerLogin takes the entry for ref's registry. Without one it logs in
// nowhere, as Docker does.
func dockerLogin(setting string, ref registry.Reference) (login, error) {
	files := dockerConfigFiles(setting)
	if len(files) == 0 {
		return login{}, errors.New("source.auth.dockerConfig is not set, and there is no home folder to look in")
	}
	f := files[0]
	content, err := f.read()
	if err != nil {
		return login{}, err
	}
	var config dockerConfig
	if err := json.Unmarshal(content, &config); err != nil {
		return login{}, fmt.Errorf("%s: %s: %w", f.setting, f.path, err)
	}

	key, found := config.find(ref)
	credential, err := config.Auths[key].credential()
	if err != nil {
		return login{}, fmt.Errorf("%s: %s: entry %q: %w", f.setting, f.path, key, err)
	}
	host := ref.Host()
	if credential != auth.EmptyCredential {
		return login{
			credential: auth.StaticCredential(host, credential),
			fixedToken: credential.AccessToken != "",
		}, nil
	}
	if helper := config.helper(ref, found); helper != "" {
		// It matters only if the registry asks for a login at all.
		return login{credential: func(context.Context, string) (auth.Credential, error) {
			return auth.EmptyCredential, &Error{
				Kind: Misconfigured,
				Err:  fmt.Errorf("%s: %s keeps the login for %s in the helper docker-credential-%s, which is not available here", f.setting, f.path, ref.Registry, helper),
				Cure: "write the credentials into auths (kubectl create secret docker-registry does), or use source.auth.username and passwordFile, or source.auth.provider: ecr",
			}
		}}, nil
	}
	return login{}, nil
}

// find returns the key of the entry for ref: the one of its host whose path, if
// any, reaches furthest into the repository's.
func (c dockerConfig) find(ref registry.Reference) (best string, found bool) {
	reach := -1
	for key := range c.Auths {
		host, path := splitKey(key)
		if host != dockerHost(ref.Host()) || len(path) < reach {
			continue
		}
		if path != "" && path != ref.Repository && !strings.HasPrefix(ref.Repository, path+"/") {
			continue
		}
		// Of equal keys the same is taken each time.
		if len(path) > reach || key < best {
			best, reach, found = key, len(path), true
		}
	}
	return best, found
}

func (c dockerConfig) helper(ref registry.Reference, entry bool) string {
	for key, helper := range c.CredHelpers {
		if host, _ := splitKey(key); host == dockerHost(ref.Host()) {
			return helper
		}
	}
	if entry {
		return c.CredsStore // docker login leaves an empty entry beside it
	}
	return ""
}

// splitKey takes a key of auths apart: host, host/path, https://host/v1/.
func splitKey(key string) (host, path string) {
	key = strings.ToLower(key)
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, path, _ = strings.Cut(key, "/")
	path = strings.Trim(path, "/")
	for _, version := range []string{"v1", "v2"} { // of the API, not of a repository
		if path == version {
			path = ""
		} else {
			path = strings.TrimPrefix(path, version+"/")
		}
	}
	return dockerHost(host), path
}

// dockerHost gives Docker Hub's many names, and a host with the default port,
// one name.
func dockerHost(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ":443")
	switch host {
	case "docker.io", "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}

func (e dockerEntry) credential() (auth.Credential, error) {
	credential := auth.Credential{
		Username:     e.Username,
		Password:     e.Password,
		RefreshToken: e.IdentityToken,
		AccessToken:  e.RegistryToken,
	}
	if e.Auth != "" {
		decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(e.Auth))
		if err != nil {
			return auth.EmptyCredential, errors.New("auth is not base64")
		}
		username, password, ok := strings.Cut(string(decoded), ":")
		if !ok {
			return auth.EmptyCredential, errors.New("auth is not base64 of username:password")
		}
		credential.Username, credential.Password = username, strings.TrimRight(password, "\x00")
	}
	return credential, nil
}
