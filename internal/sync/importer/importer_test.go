package importer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/gate"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/testenv"
)

func openStore(t *testing.T, change ...func(*store.Options)) *store.Store {
	t.Helper()
	opts := store.Options{Dir: filepath.Join(t.TempDir(), "store"), Keep: 3}
	for _, f := range change {
		f(&opts)
	}
	st, err := store.Open(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { st.Close() })
	return st
}

// entries are what an archive holds: files by name, a symlink where the content
// begins with "-> ".
type entries map[string]string

// layout is a folder with an OCI image layout that holds archives by tag.
func layout(t *testing.T, archives map[string][]byte) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	repository, err := oci.Open(oci.Config{Repository: "oci-layout:" + dir})
	require.NoError(t, err)
	for _, tag := range slices.Sorted(maps.Keys(archives)) {
		file := filepath.Join(t.TempDir(), "manifests.tgz")
		require.NoError(t, os.WriteFile(file, archives[tag], 0o600))
		_, err := repository.Push(t.Context(), oci.PushRequest{File: file, Tag: tag, Created: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)})
		require.NoError(t, err)
	}
	return dir
}

// served is what a store serves: content by path.
func served(t *testing.T, st *store.Store) map[string]string {
	t.Helper()
	v := st.Acquire()
	if v == nil {
		return nil
	}
	defer v.Close()
	files := make(map[string]string)
	for name, e := range v.All() {
		if e.Kind != store.File {
			continue
		}
		f, err := v.Open(e)
		require.NoError(t, err)
		content, err := io.ReadAll(f)
		f.Close()
		require.NoError(t, err)
		files[name] = string(content)
	}
	return files
}

func imported(t *testing.T, st *store.Store, content []byte, opts Options) Result {
	t.Helper()
	// As it comes from a pipe: a byte at a time must do.
	result, err := Import(t.Context(), st, iotest.OneByteReader(bytes.NewReader(content)), opts)
	require.NoError(t, err)
	return result
}

func leftInStaging(t *testing.T, st *store.Store) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(st.Dir(), "staging", "*"))
	require.NoError(t, err)
	return left
}

func trees(t *testing.T, st *store.Store) []string {
	t.Helper()
	trees, err := filepath.Glob(filepath.Join(st.Dir(), "trees", "*"))
	require.NoError(t, err)
	return trees
}

func TestImportAnArchive(t *testing.T) {
	files := entries{"roar/nickfury/versions.yaml": "versions:\n- version: 4.5.13\n", "a/b": "1", "link": "-> a", "out": "-> ../x"}
	for name, content := range map[string][]byte{"gzip": testenv.TGZ(t, files), "plain": testenv.Tar(t, files)} {
		t.Run(name, func(t *testing.T) {
			st := openStore(t)
			result := imported(t, st, content, Options{})
			require.Len(t, result.Imported, 1)
			r := result.Imported[0]
			assert.Equal(t, digest.FromBytes(content), r.Layer)
			assert.Equal(t, r.Layer, r.Manifest, "there is no other digest to name it by")
			assert.Equal(t, []any{"import", "0.0.0", "manifests.tgz", "4.5.13", int64(len(content)), 3, 1},
				[]any{r.Source, r.Tag, r.Archive, r.IndexVersion, r.Size, r.Files, r.Skipped})
			assert.Equal(t, "out", r.SkippedNames[0].Name)
			assert.WithinDuration(t, time.Now(), r.Created, time.Minute)
			assert.False(t, r.Covered)
			assert.True(t, result.Swapped)
			assert.Equal(t, map[string]string{"roar/nickfury/versions.yaml": files["roar/nickfury/versions.yaml"], "a/b": "1", "link/b": "1"}, served(t, st))
			assert.Empty(t, leftInStaging(t, st))

			again := imported(t, st, content, Options{Tag: "0.0.0"})
			assert.False(t, again.Swapped)
			assert.Len(t, st.Releases(), 1)
		})
	}
}

func TestImportALayout(t *testing.T) {
	one := map[string][]byte{"4.5.13": testenv.TGZ(t, entries{"a": "1"})}
	several := map[string][]byte{"4.5.13": testenv.TGZ(t, entries{"a": "1"}), "4.6.0": testenv.TGZ(t, entries{"a": "2"}), "chart": []byte("no archive")}
	untagged := layout(t, one)
	index := filepath.Join(untagged, "index.json")
	raw, err := os.ReadFile(index)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(index, bytes.ReplaceAll(raw, []byte(`"org.opencontainers.image.ref.name":"4.5.13"`), []byte(`"x":"y"`)), 0o600))

	for _, row := range []struct {
		name       string
		content    []byte
		tag        string
		imported   []string
		passedOver []string
		a          string
	}{
		{"one tag", testenv.TarFolder(t, layout(t, one)), "", []string{"4.5.13"}, nil, "1"},
		{"one tag, compressed", testenv.Gzip(t, testenv.TarFolder(t, layout(t, one))), "", []string{"4.5.13"}, nil, "1"},
		{"one tag under another name", testenv.TarFolder(t, layout(t, one)), "9.9.9", []string{"9.9.9"}, nil, "1"},
		{"no tag", testenv.TarFolder(t, untagged), "", []string{"0.0.0"}, nil, "1"},
		{"no tag, named", testenv.TarFolder(t, untagged), "4.5.0", []string{"4.5.0"}, nil, "1"},
		{"several tags", testenv.TarFolder(t, layout(t, several)), "", []string{"4.5.13", "4.6.0"}, []string{"chart"}, "2"},
		{"one of several tags", testenv.TarFolder(t, layout(t, several)), "4.5.13", []string{"4.5.13"}, nil, "1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			st := openStore(t)
			result := imported(t, st, row.content, Options{Tag: row.tag})
			var tags, passedOver []string
			for _, r := range result.Imported {
				tags = append(tags, r.Tag)
				assert.NotEqual(t, r.Layer, r.Manifest)
				assert.Equal(t, 2024, r.Created.Year())
			}
			for _, p := range result.PassedOver {
				passedOver = append(passedOver, p.Tag)
				assert.Contains(t, p.Reason, "no archive")
				assert.True(t, p.Fault, "its title says that it is one")
			}
			assert.Equal(t, row.imported, tags)
			assert.Equal(t, row.passedOver, passedOver)
			assert.Equal(t, map[string]string{"a": row.a}, served(t, st), "and nothing of the layout itself")
			assert.Empty(t, leftInStaging(t, st))
			assert.Len(t, trees(t, st), len(row.imported))
		})
	}
}

func TestImportRefuses(t *testing.T) {
	good := testenv.TGZ(t, entries{"a": "1"})
	several := layout(t, map[string][]byte{"1.0.0": good, "2.0.0": testenv.TGZ(t, entries{"b": "1"})})
	damaged := layout(t, map[string][]byte{"1.0.0": good})
	require.NoError(t, os.Truncate(filepath.Join(damaged, "blobs/sha256", digest.FromBytes(good).Encoded()), 3))
	bad := layout(t, map[string][]byte{"1.0.0": []byte("x"), "2.0.0": []byte("y")})
	for _, row := range []struct {
		name    string
		content []byte
		opts    Options
		want    string
		archive bool // the archive is said to be at fault
	}{
		{"what is no archive", []byte("hello"), Options{}, "import: archive refused: a text file is no archive", true},
		{"nothing", nil, Options{}, "import: archive refused: it is empty", true},
		{"an entry that leads outside", testenv.TGZ(t, entries{"a": "1", "b/../../x": "2"}), Options{}, `archive refused at entry "b/../../x"`, true},
		{"a truncated archive", good[:len(good)-5], Options{}, "truncated", true},
		{"an archive over a limit", testenv.TGZ(t, entries{"a": "", "b": ""}), Options{Limits: archive.Limits{Files: 1}}, `at entry "b": with it there are more than 1 files`, true},
		{"a tag that is none", good, Options{Tag: "a b"}, `"a b" is no tag`, false},
		{"a selector for a tag", good, Options{Tag: "versions"}, `"versions" is no tag`, false},
		{"a digest for a tag", good, Options{Tag: digest.FromBytes(good).String()}, "is no tag", false},
		{"a tag that the layout lacks", testenv.TarFolder(t, several), Options{Tag: "3.0.0"}, "none of its 2 tags is 3.0.0: 1.0.0, 2.0.0", false},
		{"a damaged layout", testenv.TarFolder(t, damaged), Options{}, "import 1.0.0 of an OCI layout: ", false},
		{"a layout of which nothing can be had", testenv.TarFolder(t, bad), Options{}, "none of its 2 tags can be served; 1.0.0: ", false},
		{"a layout without a manifest", testenv.Tar(t, entries{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": `{"manifests":[]}`}), Options{}, "it holds 0 manifests", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			st := openStore(t)
			_, err := Import(t.Context(), st, bytes.NewReader(row.content), row.opts)
			require.ErrorContains(t, err, row.want)
			assert.Equal(t, row.archive, errors.As(err, new(*archive.RefusedError)))
			assert.Nil(t, served(t, st))
			assert.Empty(t, st.Releases())
			assert.Empty(t, leftInStaging(t, st))
		})
	}
}

// Of several tags with the same layer each is a release, and judged as such.
func TestImportOfOneLayerUnderSeveralTags(t *testing.T) {
	st := openStore(t)
	archive := testenv.TGZ(t, entries{"a": "1"})
	imported(t, st, testenv.TGZ(t, entries{"old": "1"}), Options{Tag: "2.0.0"})
	content := testenv.TarFolder(t, layout(t, map[string][]byte{"1.0.0": archive, "2.0.0": archive, "3.0.0": archive}))
	opts := Options{Gate: gate.Rules{MaxVanishedPercent: 50, Command: []string{"sh", "-c", `test -e "$0/a"`}, Timeout: time.Minute}}
	for range 2 { // the second time its tree is held
		result := imported(t, st, content, opts)
		assert.Len(t, result.Imported, 2)
		require.Len(t, result.PassedOver, 1)
		assert.Equal(t, "2.0.0", result.PassedOver[0].Tag)
		assert.Equal(t, map[string]string{"a": "1", "old": "1"}, served(t, st))
		assert.Len(t, trees(t, st), 2)
		assert.Empty(t, leftInStaging(t, st))
	}
}

// What looks like a layout by a name or two is a tree like any other.
func TestImportOfNoLayout(t *testing.T) {
	for name, files := range map[string]entries{
		"an index alone":        {"index.json": "{}"},
		"a marker that is none": {"index.json": "{}", "oci-layout": "{}"},
		"a marker alone":        {"oci-layout": `{"imageLayoutVersion":"1.0.0"}`},
	} {
		t.Run(name, func(t *testing.T) {
			st := openStore(t)
			imported(t, st, testenv.TGZ(t, files), Options{})
			assert.Equal(t, map[string]string(files), served(t, st))
		})
	}
}

func TestImportEndsWithItsInput(t *testing.T) {
	st := openStore(t)
	broken := errors.New("the pipe broke")
	_, err := Import(t.Context(), st, io.MultiReader(bytes.NewReader(testenv.TGZ(t, entries{"a": "1"})[:30]), iotest.ErrReader(broken)), Options{})
	assert.ErrorIs(t, err, broken)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Import(ctx, st, bytes.NewReader(testenv.TGZ(t, entries{"a": "1"})), Options{})
	assert.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, leftInStaging(t, st))
}

func TestImportsLieInTheSelectorsOrder(t *testing.T) {
	of := func(tag, content string) ([]byte, Options) {
		return testenv.TGZ(t, entries{"which": content, content: ""}), Options{Tag: tag}
	}
	type step struct{ tag, content string }
	steps := []step{{"4.6.0", "4.6"}, {"4.5.13", "4.5"}, {"nightly", "n"}, {"4.5.13", "4.5 again"}}
	for _, order := range [][]int{{0, 1, 2, 3}, {1, 3, 0, 2}, {2, 1, 3, 0}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			st := openStore(t)
			for _, n := range order {
				content, opts := of(steps[n].tag, steps[n].content)
				imported(t, st, content, opts)
			}
			got := served(t, st)
			assert.Equal(t, "4.6", got["which"])
			assert.Contains(t, got, "4.5 again")
			assert.NotContains(t, got, "4.5", "a tag has one release")
			var tags []string
			for _, c := range st.Following(store.ImportSource) {
				tags = append(tags, c.Tag)
				assert.NotEmpty(t, c.Reason)
			}
			assert.Equal(t, []string{"4.6.0", "4.5.13", "nightly"}, tags)
		})
	}
}

// inRegistry has the default source hold a tag, with one file.
func inRegistry(t *testing.T, st *store.Store, tag string) {
	t.Helper()
	layer := digest.FromString("of the registry")
	staging, err := st.NewStaging(layer)
	require.NoError(t, err)
	require.NoError(t, staging.File("a", time.Time{}, 8, strings.NewReader("registry")))
	require.NoError(t, staging.Publish())
	r := store.Release{Source: "default", Tag: tag, Manifest: digest.FromString("manifest"), Layer: layer}
	require.NoError(t, st.Add(r))
	_, err = st.Follow("default", []store.Contribution{{Tag: r.Tag, Manifest: r.Manifest}})
	require.NoError(t, err)
}

func TestImportStandsInForARegistry(t *testing.T) {
	st := openStore(t)
	imported(t, st, testenv.TGZ(t, entries{"a": "imported", "only": ""}), Options{Tag: "1.0.0"})

	inRegistry(t, st, "1.0.0")
	assert.Equal(t, map[string]string{"a": "registry"}, served(t, st))

	result := imported(t, st, testenv.TGZ(t, entries{"a": "imported again"}), Options{Tag: "1.0.0"})
	assert.True(t, result.Imported[0].Covered)
	assert.False(t, result.Swapped)
	assert.Equal(t, map[string]string{"a": "registry"}, served(t, st))

	// Below it, another tag shows through.
	result = imported(t, st, testenv.TGZ(t, entries{"a": "0.9", "b": "0.9"}), Options{Tag: "2.0.0"})
	assert.False(t, result.Imported[0].Covered)
	assert.True(t, result.Swapped)
	assert.Equal(t, map[string]string{"a": "registry", "b": "0.9"}, served(t, st), "below all sources, whatever its version")
}

func TestAnImportThatIsNoLongerNeededMayGo(t *testing.T) {
	st := openStore(t, func(o *store.Options) { o.Keep = 0 })
	imported(t, st, testenv.TGZ(t, entries{"b": "1"}), Options{Tag: "0.9.0"})
	imported(t, st, testenv.TGZ(t, entries{"a": "1"}), Options{Tag: "1.0.0"})
	inRegistry(t, st, "1.0.0")
	garbage, err := st.GC(false)
	require.NoError(t, err)
	require.Len(t, garbage.Releases, 1)

	swapped, err := st.Follow("default", nil)
	require.NoError(t, err, "the import that is gone is in nobody's way")
	assert.True(t, swapped)
	assert.Equal(t, map[string]string{"b": "1"}, served(t, st))
}

func TestForgetAnImportAndTakeItBack(t *testing.T) {
	st := openStore(t)
	imported(t, st, testenv.TGZ(t, entries{"a": "1"}), Options{Tag: "1.0.0"})
	older, newer := testenv.TGZ(t, entries{"b": "old"}), testenv.TGZ(t, entries{"b": "new"})
	imported(t, st, older, Options{Tag: "2.0.0"})
	imported(t, st, newer, Options{Tag: "2.0.0"})
	_, err := st.Forget(digest.FromBytes(newer).String(), "")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": "1"}, served(t, st))

	imported(t, st, testenv.TGZ(t, entries{"c": "1"}), Options{Tag: "3.0.0"})
	assert.Equal(t, map[string]string{"a": "1", "c": "1"}, served(t, st), "what was forgotten does not come back, nor what it had replaced")
	imported(t, st, newer, Options{Tag: "2.0.0"})
	assert.Equal(t, map[string]string{"a": "1", "b": "new", "c": "1"}, served(t, st))
}

func TestTakeBack(t *testing.T) {
	st := openStore(t)
	imported(t, st, testenv.TGZ(t, entries{"a": "1"}), Options{Tag: "1.0.0"})
	imported(t, st, testenv.TGZ(t, entries{"b": "2"}), Options{Tag: "2.0.0"})
	inRegistry(t, st, "0.9.0")
	all := map[string]string{"a": "registry", "b": "2"}
	require.Equal(t, all, served(t, st))
	back, err := TakeBack(st, "")
	require.NoError(t, err)
	assert.Empty(t, back, "nothing was forgotten")

	for _, tag := range []string{"2.0.0", "0.9.0"} {
		_, err = st.Forget(tag, "")
		require.NoError(t, err)
	}
	require.Equal(t, map[string]string{"a": "1"}, served(t, st))
	back, err = TakeBack(st, "")
	require.NoError(t, err)
	assert.Len(t, back, 1)
	assert.Equal(t, map[string]string{"a": "1", "b": "2"}, served(t, st))
	assert.Empty(t, st.Following("default"), "what a source has brought is for its own sync to take back")
	back, err = TakeBack(st, "", "default")
	require.NoError(t, err)
	assert.Len(t, back, 1)
	assert.Equal(t, all, served(t, st), "unless nothing polls it")
}

func TestImportUnderAPin(t *testing.T) {
	st := openStore(t)
	imported(t, st, testenv.TGZ(t, entries{"a": "1"}), Options{Tag: "1.0.0"})
	require.NoError(t, st.Pin(*st.Served(), "pin", "test"))
	result := imported(t, st, testenv.TGZ(t, entries{"a": "2"}), Options{Tag: "2.0.0"})
	assert.True(t, result.Pinned)
	assert.False(t, result.Swapped)
	assert.Equal(t, map[string]string{"a": "1"}, served(t, st))
	_, err := st.Unpin("")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": "2"}, served(t, st))
}

func TestImportsAtTheSameTime(t *testing.T) {
	st := openStore(t)
	var running sync.WaitGroup
	want := make(map[string]string)
	for n := range 8 {
		name := fmt.Sprintf("file-%d", n)
		want[name] = ""
		content := testenv.TGZ(t, entries{name: ""})
		running.Go(func() {
			_, err := Import(t.Context(), st, bytes.NewReader(content), Options{Tag: fmt.Sprintf("1.0.%d", n)})
			assert.NoError(t, err)
		})
	}
	running.Wait()
	assert.Equal(t, want, served(t, st))
}

func TestImportNeedsSpace(t *testing.T) {
	st := openStore(t, func(o *store.Options) { o.MinFree = 1 << 60 })
	_, err := Import(t.Context(), st, bytes.NewReader(testenv.TGZ(t, entries{"a": "1"})), Options{})
	assert.ErrorIs(t, err, store.ErrNoSpace)
	assert.Empty(t, leftInStaging(t, st))
}

// What was imported last is the latest, wherever the clock was set meanwhile.
func TestImportAfterTheClockWasSetBack(t *testing.T) {
	st := openStore(t)
	_, err := Import(t.Context(), st, bytes.NewReader(testenv.TGZ(t, entries{"a": "old"})), Options{})
	require.NoError(t, err)
	old := st.Releases()[0]
	old.Fetched = old.Fetched.Add(24 * time.Hour) // as under a clock that was a day ahead
	require.NoError(t, st.Add(old))
	r, err := Import(t.Context(), st, bytes.NewReader(testenv.TGZ(t, entries{"a": "new"})), Options{})
	require.NoError(t, err)
	assert.True(t, r.Swapped)
	assert.False(t, r.Imported[0].Covered)
	assert.Equal(t, map[string]string{"a": "new"}, served(t, st))
}

// atMessage calls f when that is logged.
type atMessage struct {
	slog.Handler
	message string
	f       func()
}

func (a atMessage) Enabled(context.Context, slog.Level) bool { return true }

func (a atMessage) Handle(_ context.Context, r slog.Record) error {
	if r.Message == a.message {
		a.f()
	}
	return nil
}

// What is held when an import unpacks it may be gone when the import ends: another one
// has ended meanwhile, and the garbage was collected.
func TestWhatWasHeldGoesWhileAnImportRuns(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	defer st.Close()
	held, other, third := testenv.TGZ(t, entries{"a": "held"}), testenv.TGZ(t, entries{"a": "other"}), testenv.TGZ(t, entries{"a": "third"})
	imported(t, st, held, Options{Tag: "1.0.0"})
	imported(t, st, other, Options{Tag: "1.0.0"}) // what was there is out of use
	log := slog.New(atMessage{slog.DiscardHandler, "Persisting 2.0.0", func() {
		imported(t, st, third, Options{Tag: "3.0.0"})
		_, err := st.GC(false)
		assert.NoError(t, err)
	}})
	imported(t, st, held, Options{Tag: "2.0.0", Logger: log})
	assert.Equal(t, map[string]string{"a": "third"}, served(t, st))
	assert.Empty(t, leftInStaging(t, st))
}

// What is imported while another view stands in is followed, and served once all is whole.
func TestImportWhileAnotherStandsIn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	open := func() *store.Store {
		st, err := store.Open(t.Context(), store.Options{Dir: dir, Keep: 3})
		require.NoError(t, err)
		t.Cleanup(func() { st.Close() })
		return st
	}
	publish := func(st *store.Store, text string) {
		s, err := st.NewStaging(digest.FromString(text))
		require.NoError(t, err)
		require.NoError(t, s.File("f", time.Time{}, int64(len(text)), strings.NewReader(text)))
		require.NoError(t, s.Publish())
	}
	follow := func(st *store.Store, tag, text string) {
		publish(st, text)
		r := store.Release{Source: "default", Tag: tag, Manifest: digest.FromString(tag + text), Layer: digest.FromString(text), Fetched: time.Now()}
		require.NoError(t, st.Add(r))
		_, err := st.Follow("default", []store.Contribution{{Tag: tag, Manifest: r.Manifest}})
		require.NoError(t, err)
	}
	st := open()
	follow(st, "1.0.0", "old")
	follow(st, "1.0.0", "new")
	require.NoError(t, st.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, "trees", "sha256-"+digest.FromString("new").Encoded(), "index")))
	st = open()
	require.Equal(t, map[string]string{"f": "old"}, served(t, st))

	_, err := Import(t.Context(), st, bytes.NewReader(testenv.TGZ(t, entries{"g": "imported"})), Options{Tag: "9.0.0"})
	assert.NoError(t, err)
	assert.NotEmpty(t, st.Following(store.ImportSource), "it is held: %+v", st.Releases())

	publish(st, "new") // the registry is there again
	_, err = st.Follow("default", st.Following("default"))
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"f": "new", "g": "imported"}, served(t, st))
}
