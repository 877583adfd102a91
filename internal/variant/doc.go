// Package variant keeps gzip and zstd forms of files, made once and found by
// the sha256 of the file's content: equal files share them, whatever their
// paths, releases and trees are, and a restart makes none anew.
//
//	<dir>/index            what was made, and what was tried in vain: one line each
//	<dir>/ab/<sha256>.gz   the gzip form of the content with that sha256
//	<dir>/ab/<sha256>.zst  the zstd form
//	<dir>/tmp/             what is being made; emptied at start
//
// What is always true:
//
//   - Bytes are checked against the index when they are read: what a crash tore
//     or a disk spoilt is an error, and is forgotten, so that it is made anew.
//     That is why nothing here is flushed to disk file by file.
//   - Losing the folder loses time, nothing else: files are served as they are.
//   - In memory a content takes 32 bytes.
package variant
