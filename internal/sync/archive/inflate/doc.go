// Package inflate decodes DEFLATE (RFC 1951) streams that nobody vouches for.
//
// It is here because unpacking waits for it: of the processor time of a sync,
// half was spent in a general decoder. This one decodes runs of symbols from a
// 64 bit buffer, with tables that say at once what a code means, how long it is
// and how many extra bits follow it, and copies matches eight bytes at a time.
// docs/performance.md has the measurement.
//
// What always holds: memory is fixed (Reader), whatever the stream says; a
// stream ends with io.EOF only behind its last block; of what follows, nothing
// is taken from the bufio.Reader; no input makes it panic or read outside of its
// buffers, for which Go's bounds checks stand: there is no unsafe code. It takes
// and refuses what compress/flate does, which a fuzz test holds against it.
package inflate
