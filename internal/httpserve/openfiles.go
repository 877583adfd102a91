package httpserve

import (
	"log/slog"
	"math"

	"golang.org/x/sys/unix"
)

// filesForOthers is how many open files are left for what is no connection and
// no answer: the store, a sync, the ops port.
const filesForOthers = 64

// connectionsWithin bounds the connections by the files that the process may
// have open, of which each takes one, and another one while a large file is
// sent. Without it whoever opens enough connections and says nothing takes the
// tree away from all: no file of the store could be opened any more.
func connectionsWithin(wanted int, files uint64, log *slog.Logger) int {
	room := uint64(2) // some are always accepted
	if files > filesForOthers+2*room {
		room = (files - filesForOthers) / 2
	}
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
