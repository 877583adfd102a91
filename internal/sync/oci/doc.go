// Package oci reads one repository of OCI artifacts, at a registry or in an OCI
// image layout on disk, and pushes archives to it as `oras push` does.
//
// What is always true:
//
//   - Bytes are what their digest says. A manifest's digest is computed from its
//     bytes, never taken from a header, and a blob's reader gives io.EOF only
//     after size and digest were checked.
//   - Every failure is an *[Error]: what was tried, on what, which [Kind] of
//     failure, how long the registry asks to wait, and the cure.
//   - Nothing is retried behind the caller's back, but for two things that a
//     caller cannot do: logging in again, once, when a token has ended, and
//     taking up a broken download where it stopped, a bounded number of times.
//   - Credentials, CA and key files are read again when their content changes.
//     A new file that is bad is reported, and the old one stays in use.
//   - Secrets are in no error, log line or String.
//
// oras-go logs in and uploads. Manifests and blobs are fetched here: registries
// behind proxies send no length, no digest and no content type, and answer HEAD
// as they like, all of which oras-go refuses, and it cannot resume. Tags are
// listed here for what an idle poll costs.
package oci
