// Package poller brings releases in: it decides when a source is asked, which
// of its tags are followed, fetches what is new and tells the store what the
// source contributes to the view.
//
// What is always true:
//
//   - A failure takes nothing away: what a source contributed it goes on
//     contributing until something whole takes its place.
//   - While the registry cannot be asked, what it said last is still what is known.
//   - One sync of a source at a time; a sync makes at most one swap, but for the
//     first release of an empty store, which is served at once.
//   - A sync that finds every digest held asks the registry for one list and one
//     digest a followed tag, and writes nothing, unless a held tree is damaged.
//   - What is refused for good reason is remembered by the store and not fetched
//     again until the configuration that judged it changes, or a person forces it.
package poller
