package store

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// harms yields what a disk may make of a file: cut off at every place, and at
// every byte one flipped bit, chosen by a seed.
func harms(data []byte) func(yield func(what string, harmed []byte) bool) {
	random := rand.New(rand.NewPCG(5, 6))
	return func(yield func(string, []byte) bool) {
		for n := range data {
			flipped := bytes.Clone(data)
			flipped[n] ^= 1 << random.IntN(8)
			if !yield("a flipped bit", flipped) || !yield("cut short", data[:n]) {
				return
			}
		}
	}
}

func TestAnyHarmToTheStateIsFound(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	one, two := content{"f": "1"}, content{"f": "2"}
	follow(t, s, hold(t, s, "1.0.0", one))
	follow(t, s, hold(t, s, "1.0.0", two))
	require.NoError(t, s.Close())
	path := filepath.Join(dir, "state.json")
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	previous, err := os.ReadFile(filepath.Join(dir, "state.previous.json"))
	require.NoError(t, err)

	for what, harmed := range harms(good) {
		_, err := parseState(harmed)
		require.ErrorIs(t, err, errState, "%s: %q", what, harmed)
	}
	for n := 0; n < len(good); n += 50 {
		harmed := bytes.Clone(good)
		harmed[n] ^= 4
		require.NoError(t, os.WriteFile(path, harmed, 0o600))
		p, err := Read(dir)
		require.NoError(t, err)
		require.ErrorIs(t, p.Damage, errState)
		require.ErrorContains(t, p.Damage, path)
		require.Equal(t, one, read(t, p.View), "the state before the last change is there")
		p.Close()
	}

	s = openStore(t, dir)
	assert.Equal(t, one, served(t, s))
	kept, err := os.ReadFile(filepath.Join(dir, "state.previous.json"))
	require.NoError(t, err)
	assert.Equal(t, previous, kept, "a damaged state does not take the place of the whole one before it")
	events := s.Events()
	assert.Equal(t, "damage", events[len(events)-1].Kind)
	follow(t, s, hold(t, s, "1.0.0", two))
	require.NoError(t, s.Close())
	assert.Equal(t, two, served(t, openStore(t, dir)))
}

func TestAnyHarmToAnIndexIsFound(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	hold(t, s, "1.0.0", content{"a/b": "1", "a/c%\n": "2", "d": ""})
	data, err := os.ReadFile(filepath.Join(dir, treesFolder, treeName(layerFor(content{"a/b": "1", "a/c%\n": "2", "d": ""})), "index"))
	require.NoError(t, err)
	_, err = parseIndex(data)
	require.NoError(t, err)
	for what, harmed := range harms(data) {
		_, err := parseIndex(harmed)
		require.ErrorIs(t, err, errIndex, "%s: %q", what, harmed)
	}
}

// What was found damaged is never served again, whatever becomes of the note of it.
func TestAnyHarmToTheNoteOfDamageIsFound(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"a": "aaa", "b": "bbb", "c": "ccc"}
	follow(t, s, hold(t, s, "1.0.0", files))
	rot(t, dir, files, "a")
	rot(t, dir, files, "b")
	_, err := s.Verify(context.Background(), VerifyOptions{})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	note := filepath.Join(dir, treesFolder, treeName(layerFor(files)), damageFile)
	good, err := os.ReadFile(note)
	require.NoError(t, err)
	for what, harmed := range harms(good) {
		require.NoError(t, os.WriteFile(note, harmed, 0o600))
		tr, err := openTree(dir, layerFor(files))
		require.NoError(t, err)
		for rec := range tr.records {
			_, err := tr.open(int32(rec))
			if tr.path(int32(rec)) == "c" {
				assert.NoError(t, err, "%s: %q", what, harmed)
			} else {
				require.ErrorIs(t, err, ErrDamaged, "%s: %q", what, harmed)
			}
		}
		tr.root.Close()
	}
}

// What has the right checksum, and yet is not what write writes, is not read.
func TestAnIndexThatNobodyWroteIsRefused(t *testing.T) {
	const file = "\t1\t1\t6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b\n"
	for body, why := range map[string]string{
		"f\tb" + file + "f\ta" + file:                  "does not come after",
		"f\ta" + file + "f\ta" + file:                  "does not come after",
		"f\ta/b" + file:                                "lies in no folder",
		"f\ta" + file + "f\ta/b" + file:                "lies in no folder",
		"d\ta\t0\nd\tb\t0\nf\tc/d" + file:              "lies in no folder",
		"a\ta\tb\n":                                    "no path of the tree",
		"a\ta\ta\n":                                    "no path of the tree",
		"a\ta\tb\na\tb\tc\nf\tc" + file:                "no path of the tree",
		"f\ta\t1\t-1\t" + file[5:]:                     "bad size",
		"f\ta\t1\t1\t6b\n":                             "bad sha256",
		"f\ta" + file[:len(file)-2] + "x\n":            "bad sha256",
		"f\ta" + file[:len(file)-1] + "\tmore\tmore\n": "too many columns",
		"x\ta\n": "unknown line",
		"d\t" + strings.Repeat("a", 1<<16) + "\t0\n": "too long",
		"\n": "unknown line",
	} {
		_, err := parseIndex(seal([]byte(indexHeader + "\n" + body)))
		require.ErrorIs(t, err, errIndex, "%q", body)
		assert.ErrorContains(t, err, why, "%q", body)
	}

	x, err := parseIndex(seal([]byte(indexHeader + "\na\ta\td\na\ta/f\td/f\nd\td\t7\nf\td/f" + file)))
	require.NoError(t, err, "an alias may come before what it shows")
	assert.Equal(t, 2, x.files)
	assert.EqualValues(t, 1, x.bytes)
	assert.Equal(t, "d/f", x.path(x.records[1].real))
	assert.Equal(t, Dir, x.records[0].kind)
}

func FuzzParseIndex(f *testing.F) {
	for _, body := range []string{
		"", "d\ta\t0\nf\ta/b\t5\t1\t" + "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b" + "\na\tl\ta/b\nl\tl\t7\ta/b\ns\tpipe%0A\ta fifo\nn\t1\n",
		"f\ta/b\t0\t0\t00\n", "a\ta\ta\n", "f\ta\t0\t-1\t\n", "n\t99999999999999999999\n",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = parseIndex(body) // mostly without a checksum that matches
		x, err := parseIndex(seal(append([]byte(indexHeader+"\n"), body...)))
		if err != nil {
			require.ErrorIs(t, err, errIndex)
			return
		}
		var again bytes.Buffer
		require.NoError(t, x.write(&again))
		y, err := parseIndex(again.Bytes())
		require.NoError(t, err, "%s", again.Bytes())
		require.Equal(t, x.records, y.records)
		require.Equal(t, x.names, y.names)
		newOverlay([]*tree{{index: x}})
	})
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"format": 1}`))
	f.Add([]byte(`{"format": 99}`))
	f.Add([]byte(`{"format":1,"releases":[{"source":"default","tag":"t","manifest":"x","layer":"y"}],"history":[{"id":"v-","releases":[]}],"view":{"releases":[{"tag":"t"}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, data := range [][]byte{data, append(bytes.Clone(data), sumLine(data)...)} {
			st, err := parseState(data)
			if err != nil {
				continue
			}
			// What is taken for a state can be used: nothing of it is there.
			dir := t.TempDir()
			written, err := formatState(st)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "state.json"), written, 0o600))
			p, err := Read(dir)
			require.NoError(t, err)
			require.NoError(t, p.Damage)
			require.Nil(t, p.View)
			for _, r := range p.Releases {
				_, err := p.AcquireVersion(r.Tag)
				require.ErrorIs(t, err, ErrNotHeld)
			}
			_, _ = p.store.Target("", false)
			_, _ = p.store.Target("t", true)
			p.Close()
		}
	})
}

// A view of no release could not be served: a state that names one is no state.
func TestAViewOfNoReleaseIsNoState(t *testing.T) {
	none, some := ViewRecord{ID: "v-1"}, ViewRecord{ID: "v-1", Releases: []ReleaseKey{{Tag: "0.0.0"}}}
	for name, st := range map[string]state{
		"served": {Format: stateFormat, View: &none, History: []ViewRecord{some}},
		"before": {Format: stateFormat, View: &some, History: []ViewRecord{none}},
	} {
		data, err := formatState(&st)
		require.NoError(t, err)
		_, err = parseState(data)
		assert.ErrorIs(t, err, errState, name)
	}
}
