package testenv

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// Distribution runs the CNCF's distribution, the registry behind the image
// "registry:3". Manifests can be deleted.
func Distribution(t testing.TB, o Options) *Registry {
	t.Helper()
	r := newRegistry(t, o)
	config, err := yaml.Marshal(distributionConfig(t, r, o))
	require.NoError(t, err)
	r.serve("registry", "serve", writeFile(t, "distribution.yaml", config))
	return r
}

func distributionConfig(t testing.TB, r *Registry, o Options) object {
	t.Helper()
	http := object{"addr": r.Host, "secret": "only for uploads in parts"}
	if o.CA != nil {
		pair := o.serverPair(t)
		settings := object{"certificate": pair.CertFile, "key": pair.KeyFile}
		if o.ClientCA != nil {
			settings["clientcas"] = []string{o.ClientCA.File}
		}
		http["tls"] = settings
	}
	config := object{
		"version": "0.1",
		"log":     object{"level": "info"},
		"storage": object{
			"filesystem": object{"rootdirectory": r.Dir},
			"delete":     object{"enabled": true},
		},
		"http": http,
	}
	switch {
	case o.Token != nil:
		config["auth"] = object{"token": o.Token.config()}
	case o.Username != "":
		config["auth"] = object{"htpasswd": object{"realm": "specman", "path": o.htpasswd(t)}}
	}
	return config
}

func (a *TokenAuth) config() object {
	config := object{"realm": a.Realm, "service": a.Service, "issuer": a.Issuer}
	if a.RootCertBundle != "" {
		config["rootcertbundle"] = a.RootCertBundle
	}
	if a.JWKS != "" {
		config["jwks"] = a.JWKS
	}
	return config
}
