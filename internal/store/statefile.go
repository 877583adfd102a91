package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// errState marks a state file that is cut short, altered or of no known format.
var errState = errors.New("not a state file")

// sumField is how the last field of a state file begins: the sha256 of all bytes
// before it. So the file is JSON for who looks at it, and yet a flipped bit in it
// is not taken for another tag or digest.
const sumField = ",\n  \"sha256\": \""

// formatState is what parseState reads.
func formatState(st *state) ([]byte, error) {
	data, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return nil, err
	}
	data = bytes.TrimSuffix(data, []byte("\n}"))
	return append(data, sumLine(data)...), nil
}

func sumLine(data []byte) string { return fmt.Sprintf("%s%x\"\n}\n", sumField, sha256.Sum256(data)) }

// parseState reads what formatState wrote. It returns an error that wraps
// ErrNewer for the file of a newer Specman, and errState for anything else.
func parseState(data []byte) (*state, error) {
	cut := bytes.LastIndex(data, []byte(sumField))
	sealed := cut >= 0 && string(data[cut:]) == sumLine(data[:cut])
	if format := formatOf(data); format > stateFormat && (sealed || !oneBitFromOurs(format)) {
		return nil, fmt.Errorf("%w (format %d, this one knows %d): run the newer version, or give this one an empty store.dir", ErrNewer, format, stateFormat)
	}
	if cut >= 0 && !sealed {
		return nil, fmt.Errorf("%w: its checksum does not match", errState)
	}
	var st state
	if err := json.Unmarshal(data, &st); err != nil {
		return nil, fmt.Errorf("%w: %w", errState, err)
	}
	switch {
	case st.Format != stateFormat:
		return nil, fmt.Errorf("%w: format %d", errState, st.Format)
	case cut < 0:
		return nil, fmt.Errorf("%w: it has no checksum", errState)
	}
	if err := st.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", errState, err)
	}
	return &st, nil
}

// formatOf is the format that a state file says it has, 0 if it says none. A newer
// Specman may seal its file in another way, and have other fields.
func formatOf(data []byte) int {
	var st struct {
		Format int `json:"format"`
	}
	if json.Unmarshal(data, &st) != nil {
		return 0
	}
	return st.Format
}

// oneBitFromOurs says whether a flipped bit makes a format of this Specman's: then
// the disk is to be blamed, and the state before it is still good.
func oneBitFromOurs(format int) bool {
	return format < 10 && bits.OnesCount(uint(format^stateFormat)) == 1
}

// check guards what uses a state against a mistake of the program that wrote it.
func (s *state) check() error {
	for _, r := range s.Releases {
		if err := r.Layer.Validate(); err != nil {
			return fmt.Errorf("release %s: layer %q: %w", r.Tag, r.Layer, err)
		}
	}
	views := s.History
	if s.View != nil {
		views = append(slices.Clone(views), *s.View)
	}
	for _, v := range views {
		if len(v.Releases) == 0 {
			return fmt.Errorf("view %s is of no release", v.ID)
		}
	}
	return nil
}

// readState reads the state of a store. Where state.json cannot be read as
// what Specman writes, the one before it is taken, and damage says why. The store is a
// newer Specman's if either of the two is.
func readState(dir string) (st *state, damage error, err error) {
	st, err = readStateFile(filepath.Join(dir, "state.json"))
	if err == nil || errors.Is(err, ErrNewer) {
		return st, nil, err
	}
	previous, prevErr := readStateFile(filepath.Join(dir, "state.previous.json"))
	switch {
	case prevErr == nil:
		return previous, err, nil
	case errors.Is(prevErr, ErrNewer):
		return nil, nil, prevErr // a new beginning would take from it what it holds
	case errors.Is(err, fs.ErrNotExist) && errors.Is(prevErr, fs.ErrNotExist):
		return &state{Format: stateFormat}, noState(dir), nil
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, errState):
		// Nothing to go on: begin anew. The trees are still there, and the
		// next poll finds them by their digests without a download.
		return &state{Format: stateFormat}, err, nil
	}
	return nil, nil, err
}

// noState tells of trees that no state names, nil where there are none.
func noState(dir string) error {
	layers, err := layersOnDisk(dir)
	if err != nil || len(layers) == 0 {
		return nil
	}
	return fmt.Errorf("%s holds %d trees, but there is no state.json: a first sync was cut off, or somebody removed it", filepath.Join(dir, treesFolder), len(layers))
}

func readStateFile(path string) (*state, error) {
	data, err := readRegular(path, maxStateBytes)
	if errors.Is(err, errTooLarge) {
		err = fmt.Errorf("%w: %w", errState, err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("read the store's state: %w: %s", err, whose(filepath.Dir(path), path))
	}
	if err != nil {
		return nil, fmt.Errorf("read the store's state: %w", err)
	}
	st, err := parseState(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return st, nil
}

// saveAgain writes what was just saved once more, so that it is in the state before, too:
// what a person has decided no sync can bring back.
func (s *Store) saveAgain() {
	if err := s.save(s.state.Load()); err != nil {
		s.log.Warn("The state is saved, but not twice", "error", err)
	}
}

// save makes next the state. After an error the old one goes on to hold here; on
// disk it is the old one or, if only the last flush failed, perhaps the new.
func (s *Store) save(next *state) error {
	if s.closed {
		return errClosed
	}
	next = s.withSuccesses(next)
	data, err := formatState(next)
	if err != nil {
		return fmt.Errorf("write the store's state: %w", err)
	}
	previous := filepath.Join(s.dir, "state.previous.json")
	if s.stateDamaged {
		previous = "" // the one before is what there is to go on with
	}
	step("state: before")
	write := func() error {
		return spaceError(s.writeFileDurably(filepath.Join(s.dir, "state.json"), previous, data))
	}
	err = write()
	if errors.Is(err, ErrNoSpace) && s.giveUpSpare() {
		err = write()
	}
	s.readOnly.Store(errors.Is(err, unix.EROFS))
	if err != nil {
		return fmt.Errorf("write the store's state: %w", err)
	}
	step("state: written")
	s.state.Store(next)
	s.stateDamaged = false
	return nil
}
