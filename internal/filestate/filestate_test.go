package filestate

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	of := func() State {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return Of(info)
	}
	require.NoError(t, os.WriteFile(path, []byte("one"), 0o600))
	first := of()
	require.Eventually(t, func() bool { return first.Settled() }, 30*time.Second, 10*time.Millisecond)
	assert.Equal(t, first, of())

	require.NoError(t, os.WriteFile(path, []byte("two"), 0o600))
	second := of()
	assert.NotEqual(t, first, second, "a write of as many bytes")
	date := time.Unix(1e9, 0)
	require.NoError(t, os.Chtimes(path, date, date))
	assert.NotEqual(t, second, of(), "and one whose date was forged")

	other := path + ".new"
	require.NoError(t, os.WriteFile(other, []byte("two"), 0o600))
	third := of()
	require.NoError(t, os.Rename(other, path))
	assert.NotEqual(t, third, of(), "a file in its place")
}

func TestNothingIsSettledOfWhatIsNotKnown(t *testing.T) {
	assert.False(t, State{}.Settled())
}

// dated is a file that has changed at another time than it has.
type dated struct {
	os.FileInfo
	changed time.Time
}

func (d dated) Sys() any {
	st := *d.FileInfo.Sys().(*syscall.Stat_t)
	st.Ctim = syscall.NsecToTimespec(d.changed.UnixNano())
	return &st
}

func TestAFileThatHasChangedInTheFuture(t *testing.T) {
	info, err := os.Stat(t.TempDir())
	require.NoError(t, err)
	for by, settled := range map[time.Duration]bool{
		-time.Hour: true, -100 * time.Millisecond: false, 100 * time.Millisecond: false, time.Hour: true,
	} {
		assert.Equal(t, settled, Of(dated{info, time.Now().Add(by)}).Settled(), "%v from now", by)
	}

	soon := dated{info, time.Now().Add(500 * time.Millisecond)}
	before := Of(soon)
	assert.Equal(t, before, Of(soon))
	time.Sleep(time.Until(soon.changed))
	assert.NotEqual(t, before, Of(soon), "a write that comes when the clock is there must show")
}
