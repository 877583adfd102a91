// Package store keeps what Specman has: immutable trees on disk, the releases
// that name them, and the one view that is served.
//
// A store is one folder, owned by one process at a time:
//
//	<dir>/lock                         flock: one process per store
//	<dir>/trees/sha256-<hex>/files/…   the unpacked files of one layer, 0444, for ls, cat and rsync
//	<dir>/trees/sha256-<hex>/index     what files/ must hold: path, size, date, sha256; checked when read
//	<dir>/state.json                   releases, what is followed, the served view, its history
//	<dir>/state.previous.json          the state before, for a disk that loses the other
//	<dir>/spare                        given up so that a full volume can still be rolled back
//	<dir>/staging/…                    everything unfinished; emptied at start, but for a tree whose
//	                                   successor did not come: it gets its name back
//
// What is always true:
//
//   - Nothing has a final name before it is complete and durable. A folder
//     under trees/ is whole, rubbish is only ever under staging/.
//   - Nothing is deleted under its final name: it is renamed into staging/ first.
//   - A tree never changes once it is published. A [View] is immutable, and one
//     atomic pointer says which view is served.
//   - Readers hold the view they read ([Store.Acquire], [View.Close]); what a
//     held view needs is never deleted.
//   - Start and recovery run the code of every day.
//
// A folder of a tree may hold a file "damaged" beside "index": the paths whose
// files are not what was published, and which are not served (damage.go) until the
// tree is made anew from others (mend.go) or fetched again.
//
// The package knows nothing of registries, archives or HTTP.
package store
