package importer

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
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
		lower, upper := testenv.TGZ(t, entries{"a": "1", "b": "1"}), testenv.TGZ(t, entries{"b": "2"})
		rules := Options{Gate: gate.Rules{RequirePaths: []string{"/a", "/b"}}}
		for name, row := range map[string]struct {
			archives map[string][]byte
			want     map[string]string
		}{
			"the first has all":       {map[string][]byte{"1.0.0": lower, "2.0.0": upper}, map[string]string{"a": "1", "b": "2"}},
			"the last has all":        {map[string][]byte{"1.0.0": upper, "2.0.0": lower}, map[string]string{"a": "1", "b": "1"}},
			"each what another lacks": {map[string][]byte{"1.0.0": upper, "2.0.0": testenv.TGZ(t, entries{"a": "2"})}, map[string]string{"a": "2", "b": "2"}},
		} {
			t.Run(name, func(t *testing.T) {
				st := openStore(t)
				result := imported(t, st, testenv.TarFolder(t, layout(t, row.archives)), rules)
				assert.Len(t, result.Imported, 2)
				assert.Empty(t, result.PassedOver)
				assert.Equal(t, row.want, served(t, st))
			})
		}
	})
	t.Run("one release of a layout hides the paths", func(t *testing.T) {
		st := openStore(t)
		content := testenv.TarFolder(t, layout(t, map[string][]byte{
			"1.0.0": testenv.TGZ(t, entries{"a/b": "1"}), "2.0.0": testenv.TGZ(t, entries{"a": "a file"}),
			"3.0.0": testenv.TGZ(t, entries{"c": "3"}), "chart": []byte("no archive"),
		}))
		result := imported(t, st, content, Options{Gate: gate.Rules{RequirePaths: []string{"/a/b"}}})
		assert.Len(t, result.Imported, 2)
		require.Len(t, result.PassedOver, 2)
		assert.Equal(t, []string{"2.0.0", "chart"}, []string{result.PassedOver[0].Tag, result.PassedOver[1].Tag}, "in the order of the input")
		assert.Contains(t, result.PassedOver[0].Reason, "the gate holds it back: the view would lack what gate.requirePaths asks for: /a/b")
		assert.True(t, result.PassedOver[0].Fault)
		assert.Equal(t, map[string]string{"a/b": "1", "c": "3"}, served(t, st))
		assert.Empty(t, leftInStaging(t, st))
		assert.Len(t, trees(t, st), 2)
	})
	t.Run("no release of a layout has the paths", func(t *testing.T) {
		st := openStore(t)
		content := testenv.TarFolder(t, layout(t, map[string][]byte{"1.0.0": testenv.TGZ(t, entries{"a": "1"}), "2.0.0": testenv.TGZ(t, entries{"b": "2"})}))
		opts := Options{Gate: gate.Rules{RequirePaths: []string{"/a", "/c"}}}
		_, err := Import(t.Context(), st, bytes.NewReader(content), opts)
		assert.ErrorContains(t, err, "none of its 2 tags can be served; 1.0.0: the gate holds it back: the view would lack what gate.requirePaths asks for: /c (")
		assert.Empty(t, st.Releases())
		assert.Empty(t, trees(t, st))
		assert.Empty(t, leftInStaging(t, st))
		opts.Force = true
		assert.Len(t, imported(t, st, content, opts).Imported, 2)
	})
}

// An import that ends early imports nothing, now or with the next one.
func TestALayoutThatIsCutOff(t *testing.T) {
	content := testenv.TarFolder(t, layout(t, map[string][]byte{"1.0.0": testenv.TGZ(t, entries{"a": "1"}), "2.0.0": testenv.TGZ(t, entries{"second": "2"})}))
	for name, script := range map[string]string{
		"whoever asked is gone":                 `test ! -e "$1/second" || { touch "$0.asked"; exec sleep 60; }`,
		"the gate cannot be asked for a second": `rm "$0"`,
	} {
		t.Run(name, func(t *testing.T) {
			st := openStore(t)
			program := filepath.Join(t.TempDir(), "gate")
			require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o755))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				for ctx.Err() == nil {
					if _, err := os.Stat(program + ".asked"); err == nil {
						cancel()
					}
					time.Sleep(time.Millisecond)
				}
			}()
			_, err := Import(ctx, st, bytes.NewReader(content), Options{Gate: gate.Rules{Command: []string{program}, Timeout: time.Minute}})
			require.ErrorContains(t, err, "import 2.0.0 of an OCI layout: ")
			assert.Empty(t, st.Releases())
			assert.Empty(t, trees(t, st))
			assert.Empty(t, leftInStaging(t, st))

			imported(t, st, testenv.TGZ(t, entries{"z": "1"}), Options{})
			assert.Equal(t, map[string]string{"z": "1"}, served(t, st))
		})
	}
}
