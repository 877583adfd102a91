package httpserve

import (
	"log/slog"
	"math"

	"golang.org/x/sys/unix"
)

// connectionsWithin bounds the connections to half of the files that the process
// may have open: the other half is for the large files that they are sent, and
// for all that is no connection. Without it whoever opens enough connections and
// says nothing takes the tree away from all: no file of the store could be
// opened any more.
func connectionsWithin(wanted int, files uint64, log *slog.Logger) int {
	room := max(files/2, 1)
	if uint64(wanted) <= room { // 0 is a wish, too: no bound
		return wanted
	}
	log.Warn("fewer connections than http.maxConnections are accepted at a time: the process may have too few files open",
		"http.maxConnections", wanted, "accepted", room, "openFiles", files,
		"cure", "raise the limit of open files (ulimit -n, LimitNOFILE), or lower http.maxConnections")
	return int(room)
}

// openFiles is the process's limit. The runtime has raised it to the hard one.
func openFiles() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxUint64 // not known: what was wanted holds
	}
	return limit.Cur
}
