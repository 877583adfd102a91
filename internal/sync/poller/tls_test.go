package poller

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
	"github.com/specman/specman/internal/testenv"
)

// A TLS failure has a row of its own because crypto/tls needs a real socket, on
// which fake time stands still.
func TestTLSFailure(t *testing.T) {
	fake := ocitest.New("spectro/manifest")
	server := httptest.NewTLSServer(fake)
	defer server.Close()
	fake.Push("1.0.0", "manifests.tgz", tgz(t, files{"a": "one"}), day(1))

	ca := filepath.Join(t.TempDir(), "ca.crt")
	cfg := oci.Config{Repository: strings.TrimPrefix(server.URL, "https://") + "/spectro/manifest"}
	cfg.TLS.CAFile = ca
	trusting := func(text []byte) { require.NoError(t, os.WriteFile(ca, text, 0o644)) }
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	trusting(own)
	repository, err := oci.Open(cfg)
	require.NoError(t, err)
	r := newRig(t, func(c *Config) { c.Source = repository })
	require.Equal(t, Success, r.sync().Result)
	before := len(fake.Requests())

	other, err := os.ReadFile(testenv.NewCA(t).File)
	require.NoError(t, err)
	trusting(other)
	o := r.sync()
	assert.Equal(t, Failed, o.Result)
	require.Len(t, o.Failures, 1)
	f := o.Failures[0]
	assert.Equal(t, StageList, f.Stage)
	assert.Equal(t, oci.TLS, f.kind())
	assert.Contains(t, f.Reason, "certificate")
	assert.Contains(t, f.Cure, "source.tls.caFile")
	assert.Len(t, fake.Requests(), before, "nothing was asked over a connection that is not trusted")
	r.serves(files{"a": "one"})
	assert.Equal(t, Unknown, r.state("1.0.0"))

	var p pace
	assert.InDelta(t, time.Minute, p.next(r.poller, o), 0.21*float64(time.Minute))
	trusting(own)
	assert.Equal(t, Noop, r.sync().Result, "it goes back to work by itself")
}
