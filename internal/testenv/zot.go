package testenv

import (
	"encoding/json"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// Zot runs a zot. With a ClientCA it wants a certificate of every client that has
// no login, and takes either where both are configured; it knows no token servers.
func Zot(t testing.TB, o Options) *Registry {
	t.Helper()
	require.Nil(t, o.Token, "zot is not run with a token server here: use Distribution")
	r := newRegistry(t, o)
	config, err := json.Marshal(zotConfig(t, r, o))
	require.NoError(t, err)
	r.serve("zot", "serve", writeFile(t, "zot.json", config))
	return r
}

// object is a JSON object of a registry's configuration.
type object map[string]any

func zotConfig(t testing.TB, r *Registry, o Options) object {
	t.Helper()
	host, port, err := net.SplitHostPort(r.Host)
	require.NoError(t, err)
	http := object{"address": host, "port": port}
	if o.CA != nil {
		pair := o.serverPair(t)
		settings := object{"cert": pair.CertFile, "key": pair.KeyFile}
		if o.ClientCA != nil {
			settings["cacert"] = o.ClientCA.File
		}
		http["tls"] = settings
	}
	if o.Username != "" {
		http["auth"] = object{"htpasswd": object{"path": o.htpasswd(t)}}
	}
	return object{
		"distSpecVersion": "1.0.1-dev",
		"storage":         object{"rootDirectory": r.Dir, "gc": false, "dedupe": false},
		"http":            http,
		"log":             object{"level": "info"},
	}
}
