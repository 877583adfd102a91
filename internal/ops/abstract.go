package ops

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Where no socket can be made in a folder, as on a disk that has become read-only, the
// control socket has an abstract name (unix(7)) made of its path. Such a name has no
// mode: who calls, and who answers, is known by its uid.

func abstractName(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	return fmt.Sprintf("@specman-control-%x", sha256.Sum256([]byte(path)))
}

// listenAbstract listens for calls of root and of this process's user.
func listenAbstract(path string) (net.Listener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: abstractName(path), Net: "unix"})
	if err != nil {
		return nil, err
	}
	return &peerListener{UnixListener: l, uids: []int{0, os.Geteuid()}}, nil
}

// dialAbstract connects to who listens there as root, as this process's user, or as the
// owner of the folder of path.
func dialAbstract(ctx context.Context, path string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", abstractName(path))
	if err != nil {
		return nil, err
	}
	uids := []int{0, os.Geteuid()}
	var folder unix.Stat_t
	if unix.Stat(filepath.Dir(path), &folder) == nil {
		uids = append(uids, int(folder.Uid))
	}
	if !isPeer(conn.(*net.UnixConn), uids) {
		conn.Close()
		return nil, fmt.Errorf("somebody else has taken the name of the control socket: %w", unix.ECONNREFUSED)
	}
	return conn, nil
}

// peerListener accepts connections of some users alone.
type peerListener struct {
	*net.UnixListener
	uids []int
}

func (l *peerListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil || isPeer(conn, l.uids) {
			return conn, err
		}
		conn.Close()
	}
}

// isPeer says whether the other side of a connection is of one of some users.
func isPeer(conn *net.UnixConn, uids []int) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	is := false
	err = raw.Control(func(fd uintptr) {
		peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		for _, uid := range uids {
			is = is || err == nil && int(peer.Uid) == uid
		}
	})
	return err == nil && is
}
