package importer

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/gate"
	"github.com/specman/specman/internal/testenv"
)

// heldBack imports what the gate is to hold back, and then by force.
func heldBack(t *testing.T, st *store.Store, content []byte, opts Options, want string) {
	t.Helper()
	before, releases := served(t, st), st.Releases()
	_, err := Import(t.Context(), st, bytes.NewReader(content), opts)
	require.ErrorContains(t, err, want)
	assert.ErrorContains(t, err, "--force")
	assert.ErrorAs(t, err, new(*gate.RefusedError))
	assert.Equal(t, before, served(t, st))
	assert.Equal(t, releases, st.Releases())
	assert.Empty(t, leftInStaging(t, st))
	opts.Force = true
	imported(t, st, content, opts)
}

func TestTheGateJudgesAnImport(t *testing.T) {
	half := gate.Rules{MaxVanishedPercent: 50}
	t.Run("made a folder up", func(t *testing.T) {
		st := openStore(t)
		imported(t, st, testenv.TGZ(t, entries{"a": "1", "b": "1"}), Options{Gate: half})
		imported(t, st, testenv.TGZ(t, entries{"www/c": "1"}), Options{Tag: "1.0.0", Gate: half}) // another tag's files stay
		heldBack(t, st, testenv.TGZ(t, entries{"www/a": "2", "www/b": "2"}), Options{Gate: half},
			"import 0.0.0: the gate holds it back: 2 of the 2 files of its last release would vanish")
		assert.Equal(t, map[string]string{"www/a": "2", "www/b": "2", "www/c": "1"}, served(t, st))
	})
	t.Run("what was forgotten is nobody's last release", func(t *testing.T) {
		st := openStore(t)
		imported(t, st, testenv.TGZ(t, entries{"z": "1"}), Options{Tag: "1.0.0"})
		r := imported(t, st, testenv.TGZ(t, entries{"a": "1"}), Options{Tag: "2.0.0"})
		_, err := st.Forget(r.Imported[0].Manifest.String(), "")
		require.NoError(t, err)
		imported(t, st, testenv.TGZ(t, entries{"b": "1"}), Options{Tag: "2.0.0", Gate: half})
	})
	t.Run("required paths", func(t *testing.T) {
		st := openStore(t)
		asks := Options{Tag: "1.0.0", Gate: gate.Rules{RequirePaths: []string{"/a", "/b"}}}
		heldBack(t, st, testenv.TGZ(t, entries{"a": "1"}), asks, "would lack what gate.requirePaths asks for: /b")
		asks.Tag = "2.0.0"
		imported(t, st, testenv.TGZ(t, entries{"b": "1"}), asks) // 1.0.0 has the other
		heldBack(t, st, testenv.TGZ(t, entries{"c": "1"}), asks, "asks for: /b")
	})
	t.Run("required paths that a registry's source has", func(t *testing.T) {
		st := openStore(t)
		inRegistry(t, st, "1.0.0")
		asks := Options{Tag: "1.0.0", Gate: gate.Rules{RequirePaths: []string{"/a"}}}
		result := imported(t, st, testenv.TGZ(t, entries{"b": "1"}), asks)
		assert.True(t, result.Imported[0].Covered)
	})
	t.Run("a command", func(t *testing.T) {
		st := openStore(t)
		opts := Options{Gate: gate.Rules{Command: []string{"sh", "-c", `echo "it says $(cat "$0/a")"; exit 1`}, Timeout: time.Minute}}
		heldBack(t, st, testenv.TGZ(t, entries{"a": "no"}), opts, "it says no")
	})
	t.Run("one release of a layout", func(t *testing.T) {
		st := openStore(t)
		content := testenv.TarFolder(t, layout(t, map[string][]byte{"1.0.0": testenv.TGZ(t, entries{"a": "1"}), "2.0.0": testenv.TGZ(t, entries{"b": "1"})}))
		opts := Options{Gate: gate.Rules{Command: []string{"sh", "-c", `test -e "$0/b"`}, Timeout: time.Minute}}
		result := imported(t, st, content, opts)
		assert.Equal(t, map[string]string{"b": "1"}, served(t, st))
		require.Len(t, result.PassedOver, 1)
		assert.Equal(t, "1.0.0", result.PassedOver[0].Tag)
		assert.True(t, result.PassedOver[0].Fault)
		assert.Contains(t, result.PassedOver[0].Reason, "the gate holds it back")

		opts.Tag = "1.0.0"
		heldBack(t, st, content, opts, "import 1.0.0 of an OCI layout: the gate holds it back")
	})
	t.Run("several releases of a layout have the paths together", func(t *testing.T) {
		st := openStore(t)
		content := testenv.TarFolder(t, layout(t, map[string][]byte{"1.0.0": testenv.TGZ(t, entries{"a": "1", "b": "1"}), "2.0.0": testenv.TGZ(t, entries{"b": "2"})}))
		imported(t, st, content, Options{Gate: gate.Rules{RequirePaths: []string{"/a", "/b"}}})
		assert.Equal(t, map[string]string{"a": "1", "b": "2"}, served(t, st))
	})
}
