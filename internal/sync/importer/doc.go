// Package importer puts archives into a store without a registry.
//
// What is imported belongs to the source [store.ImportSource], which lies below all
// others: it is served until a registry's source holds the same tag, or until it is
// forgotten. What always holds:
//
//   - The input is read once, from its beginning to its end, and unpacked as it comes:
//     there is no temporary archive. An OCI layout is unpacked like any archive, and
//     what it holds is imported from there.
//   - What a sync would refuse is refused, by the gate too, unless it is forced past
//     that, and nothing of it is left behind.
//   - What one input holds is imported at its end, all at once: an import that is cut off
//     imports nothing.
//   - A tag has one release, the one that was imported last. The order of the imported
//     releases is that of the selectors (see [selector.Rank]), whatever the order in
//     which they came.
//   - Imports may run beside each other and beside syncs.
package importer
