package powerloss

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/store"
)

// Any single operation of a sync may fail, or all from one on: the program ends
// with a message or comes to the new view all the same, a whole view stays
// served, and once the fault is gone the next sync completes.
func TestEveryOperationMayFail(t *testing.T) {
	every := 3
	if torture {
		every = 1
	}
	dir := volume(t, "")
	r := newRecording(t, dir)
	one, two := tree("1"), tree("2")
	r.push(one)
	r.command(one, "sync")
	before := r.now
	was := newDisk(r.root)
	for _, op := range r.operations {
		was.rename(op.names)
	}
	for file, contents := range r.contents {
		was.content[file] = contents[len(contents)-1]
	}
	r.push(two)
	r.command(two, "sync")
	after := r.now

	for _, c := range []struct {
		name  string
		errno unix.Errno
		stays bool
		says  string
	}{
		{"an operation fails once", unix.EIO, false, ""},
		{"the disk fails for good", unix.EIO, true, "input/output error"},
		{"the disk is full for a moment", unix.ENOSPC, false, ""},
		{"the disk is full from then on", unix.ENOSPC, true, "not enough space in the store"},
		{"the quota is used up", unix.EDQUOT, true, "not enough space in the store"},
	} {
		t.Run(c.name, func(t *testing.T) {
			results := make(map[int]int)
			runs := 0
			for n := 1; ; n += every {
				base := filepath.Join(dir, fmt.Sprintf("%d-%t-%d", c.errno, c.stays, n))
				require.NoError(t, os.Mkdir(base, 0o755))
				require.NoError(t, was.build(base))
				site := *r.site
				site.t, site.dir = t, filepath.Join(base, "store")
				s := &saboteur{dir: site.dir, errno: c.errno, from: n, stays: c.stays}
				status, out := site.traced(s, "sync")
				where := fmt.Sprintf("call %d, %s: status %d: %s", n, s.first, status, out)
				runs++
				results[status]++

				require.Contains(t, []int{0, 1}, status, where)
				require.NotContains(t, out, "panic", where)
				opened, err := store.Open(context.Background(), store.Options{Dir: site.dir, Keep: 1})
				require.NoError(t, err, where)
				var expected *version
				_, wrong, err := served(opened, func(view string) content {
					expected = find([]*version{before, after}, view)
					require.NotNil(t, expected, "%s: %s", where, view)
					return expected.files
				})
				require.NoError(t, err, where)
				require.Empty(t, wrong, where)
				require.NoError(t, opened.Close())
				if status == 0 {
					require.Equal(t, after, expected, "it says that all went well: %s", where)
				} else if c.says != "" {
					require.Contains(t, out, c.says, where)
				}
				status, out = site.plain(site.dir, "sync")
				require.Zero(t, status, "%s; then: %s", where, out)
				r.checkServed(site.dir, after, where)
				require.NoError(t, os.RemoveAll(base))
				if s.first == "" { // more calls than are made
					break
				}
			}
			require.Positive(t, results[1])
			t.Logf("%d runs, by exit status: %v", runs, results)
		})
	}
}
