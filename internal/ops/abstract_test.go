package ops

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// On a disk that has become read-only the commands still reach the service.
func TestControlSocketOfAReadOnlyDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a volume")
	}
	dir := t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, ""))
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	path := filepath.Join(dir, "control.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}) // of the run before
	require.NoError(t, err)
	stale.SetUnlinkOnClose(false)
	require.NoError(t, stale.Close())
	require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))

	r := newRig(t, func(o *Options) { o.Socket = path })
	r.follow(r.hold("4.5.13", files{"a": "1"}))
	client := Client{Socket: path}
	_, err = client.Status(t.Context())
	require.ErrorIs(t, err, ErrNotRunning)
	r.run()
	st, err := client.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "4.5.13", st.Served.Releases[0].Tag)
	_, err = client.Sync(t.Context(), false) // no token
	require.NoError(t, err)
	assert.Contains(t, r.log.String(), "the control socket")

	_, err = listenControl(path)
	assert.ErrorContains(t, err, "another process listens at")
}

// An abstract name has no mode: it is the uid that counts, on both sides.
func TestAnAbstractSocketIsForItsUser(t *testing.T) {
	for name, mine := range map[string]bool{"own": true, "of another": false} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "control.sock")
			l, err := listenAbstract(path)
			require.NoError(t, err)
			defer l.Close()
			if !mine {
				l.(*peerListener).uids = nil // this one is nobody that it knows
			}
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					conn.Write([]byte("hello"))
					conn.Close()
				}
			}()
			conn, err := dialControl(t.Context(), path)
			require.NoError(t, err)
			defer conn.Close()
			n, _ := conn.Read(make([]byte, 10))
			assert.Equal(t, mine, n == 5)
			assert.False(t, isPeer(conn.(*net.UnixConn), []int{os.Getuid() + 1}), "somebody who has taken the name")
		})
	}
	assert.LessOrEqual(t, len(abstractName(strings.Repeat("/long", 100))), maxSocketPath)
}
