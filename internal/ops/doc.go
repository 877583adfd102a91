// Package ops tells how the service is doing, and takes orders: metrics, health,
// a status page, a JSON API, hooks of registries, and the control socket with
// its client.
//
// What is always true:
//
//   - What an answer says of the store is of one moment ([store.Snapshot]).
//   - A call that changes something is a POST, and needs the bearer token on
//     TCP; on the control socket the file's mode has decided who may call.
//   - Ready once is ready for ever: what was served once is never taken away.
//   - No answer waits for a registry, unless it was asked to.
//   - A control socket that cannot be made is a warning: the tree is served.
//
// The same functions describe a store that no service has open ([StatusOf],
// [ReleasesOf], [DiffOf]), so that the commands say the same with the service
// stopped.
package ops
