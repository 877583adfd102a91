// Package httpserve gives the tree out: over TLS, with HTTP/1.1 and HTTP/2, to
// whoever may read it.
//
// What is always true:
//
//   - One request is answered from one view, which is held from the first
//     look-up to the last byte. A swap is seen by the next request.
//   - A strong ETag names bytes: it is made of their sha256, the same on every
//     replica, and different for each content coding.
//   - A small file is checked against its published sha256 when it is read from
//     disk; a damaged one is never served.
//   - No error, certificate or password file that is bad takes away what worked
//     before it.
//   - Nothing that a client or an archive chose (a path, a name, a query) gets
//     into a header or a page without being escaped.
//
// A plain GET takes a short way: one look-up, one cached body, one Write. All
// that is odd (ranges, conditions other than one If-None-Match) is decided by
// [net/http.ServeContent], see conditions.go for where it is corrected.
package httpserve
