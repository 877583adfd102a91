// Package powerloss holds the store against what a disk may do to it: it records
// every file operation of the real program, works out what a file system may
// have kept of them when the power goes, at every moment, and opens the store
// on each of those states; and it has single operations fail.
//
// The recorder (tracer_test.go) follows the program's threads by ptrace(2), as
// a debugger does. Where that is forbidden the tests fail and say so.
//
// What a file system may do (disk_test.go, cut_test.go) is taken as bad as POSIX
// allows, which is worse than ext4, XFS and btrfs are:
//
//   - What a completed fsync(2) of a file covers is kept: its content, not its
//     name. That of a folder keeps the names in it. syncfs(2) keeps all before it.
//   - Each later change of a folder is kept or lost by itself, in any combination
//     in which nobody sees an effect before its cause: changes of the same name keep
//     their order, and a rename takes place at both ends or not at all.
//   - Content written later is there, missing, zero, or partly there, sector by
//     sector, whatever became of the file's names.
//
// SPECMAN_TORTURE=1 looks at many more states and lets every operation fail.
package powerloss
