package archive

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// As many symlinks in a row as Linux follows, and one more.
func TestHops(t *testing.T) {
	chain := func(n int) []entry {
		entries := []entry{reg("d/f", "1"), sym("l1", "d/f")}
		for i := 2; i <= n; i++ {
			entries = append(entries, sym(fmt.Sprintf("l%d", i), fmt.Sprintf("l%d", i-1)))
		}
		return entries
	}
	reversed := func(entries []entry) []entry {
		out := []entry{reg("d/f", "1")}
		for i := len(entries) - 1; i > 0; i-- {
			out = append(out, entries[i])
		}
		return out
	}
	for name, order := range map[string]func([]entry) []entry{"tail first": func(e []entry) []entry { return e }, "head first": reversed} {
		sink, report, err := extracted(t, tarOf(order(chain(41))...), Limits{})
		require.NoError(t, err, name)
		assert.Equal(t, []string{"l41"}, skippedNames(report), name)
		assert.Equal(t, "1", sink.tree()["l40"], name)
	}
}

// Hops add up along a path, not only along a chain.
func TestHopsOnOnePath(t *testing.T) {
	entries := []entry{reg("d/f", "1"), sym("d/here", ".")}
	entries = append(entries,
		sym("l39", "d/"+strings.Repeat("here/", 39)+"f"),
		sym("l40", "d/"+strings.Repeat("here/", 40)+"f"),
	)
	sink, report, err := extracted(t, tarOf(entries...), Limits{})
	require.NoError(t, err)
	assert.Equal(t, "1", sink.tree()["l39"])
	assert.Equal(t, []string{"d/here", "l40"}, skippedNames(report))
}

// A chain as long as the archive takes neither the stack nor quadratic time.
func TestLongChain(t *testing.T) {
	const n = 50_000
	entries := make([]entry, 0, n+1)
	for i := range n {
		entries = append(entries, sym(fmt.Sprintf("l%d", i), fmt.Sprintf("l%d", i+1)))
	}
	entries = append(entries, reg(fmt.Sprintf("l%d", n), "1"))
	_, report, err := extracted(t, tarOf(entries...), Limits{})
	require.NoError(t, err)
	assert.Equal(t, maxHops, report.Aliases)
	assert.Equal(t, n-maxHops, report.SkippedTotal)
}

// Ten links in each of forty folders, each to the next folder: 10^40 files. The
// sink hears of none.
func TestFanOut(t *testing.T) {
	for name, last := range map[string]entry{"files": reg("d40/f", "1"), "folders only": dir("d40/f")} {
		t.Run(name, func(t *testing.T) {
			entries := []entry{reg("f", "1")}
			for i := range 40 {
				for j := range 10 {
					entries = append(entries, sym(fmt.Sprintf("d%d/l%d", i, j), fmt.Sprintf("../d%d", i+1)))
				}
			}
			sink, _, err := extracted(t, tarOf(append(entries, last)...), Limits{Files: 20_000})
			require.Error(t, err)
			assert.Contains(t, err.Error(), "store.maxFiles")
			assert.Empty(t, sink.links)
			assert.Empty(t, sink.aliases)
		})
	}
}

// Folders that all link to each other have more paths than there are atoms.
func TestCompleteGraph(t *testing.T) {
	entries := []entry{reg("f", "1")}
	for i := range 30 {
		for j := range 30 {
			if i != j {
				entries = append(entries, sym(fmt.Sprintf("d%d/l%d", i, j), fmt.Sprintf("../d%d", j)))
			}
		}
	}
	_, _, err := extracted(t, tarOf(entries...), Limits{Files: 20_000})
	require.Error(t, err)
	assert.Contains(t, err.Error(), "store.maxFiles")
}

// Looking through a folder of what is skipped counts as well: here it would be
// done 5,000 times.
func TestManyLinksToManySkipped(t *testing.T) {
	entries := []entry{reg("f", "1")}
	for i := range 4_900 {
		entries = append(entries, typed('6', fmt.Sprintf("d/p%d", i)), sym(fmt.Sprintf("l%d", i), "d"))
	}
	_, _, err := extracted(t, tarOf(entries...), Limits{Files: 10_000})
	require.Error(t, err)
	assert.Contains(t, err.Error(), "store.maxFiles")
}

func TestAliasPathsAreBounded(t *testing.T) {
	name := strings.Repeat("n", 250)
	wide := []entry{reg("f", "1"), reg(strings.Repeat(name+"/", 16)+"f", "")}
	_, _, err := extracted(t, tarOf(append(wide, sym("x/y/"+name+"/"+name+"/l", "../../../../"+name))...), Limits{})
	require.Error(t, err)
	assert.Contains(t, err.Error(), "longer than 4096 bytes")

	_, _, err = extracted(t, tarOf(reg("x/"+deep(200), ""), sym(deep(100), strings.Repeat("../", 100)+"x")), Limits{})
	require.Error(t, err)
	assert.Contains(t, err.Error(), "deeper than 256")
}

func TestTargetsAreBounded(t *testing.T) {
	long := strings.Repeat("./", 2000) + "f"
	sink, report, err := extracted(t, tarOf(reg("f", "1"), sym("l", long), sym("m", "./"+strings.Repeat("./", 2100)+"f")), Limits{})
	require.NoError(t, err)
	assert.Equal(t, shown{"f": "1", "l": "1"}, sink.tree())
	assert.Equal(t, []string{"m"}, skippedNames(report))

	huge := strings.Repeat("./", 500_000) + "f"
	entries := []entry{reg("f", "1")}
	for i := range 70 {
		entries = append(entries, sym(fmt.Sprintf("l%d", i), huge))
	}
	_, _, err = extracted(t, tarOf(entries...), Limits{})
	require.Error(t, err)
	assert.Contains(t, err.Error(), "targets")
}

// Cancelling ends the walk through aliases, which reads nothing.
func TestCancelledWhileLinksAreCounted(t *testing.T) {
	entries := []entry{}
	for i := range 2_000 {
		entries = append(entries, reg(fmt.Sprintf("d/f%d", i), ""))
	}
	ctx, cancel := context.WithCancel(t.Context())
	src := &source{ctx: ctx, r: strings.NewReader(string(tarOf(append(entries, sym("l", "d"))...)))}
	x := &extractor{ctx: ctx, limits: Limits{}.withDefaults(), sink: newMemorySink(t), tree: newTree()}
	sink := x.sink.(*memorySink)
	x.sink = &cancelling{memorySink: sink, cancel: cancel}
	require.ErrorIs(t, x.run(src), context.Canceled)
	assert.Less(t, len(sink.aliases), 2_000)
}

// cancelling ends the context when it is told of an alias.
type cancelling struct {
	*memorySink
	cancel func()
}

func (c *cancelling) Alias(name, target string, dir bool) error {
	c.cancel()
	return c.memorySink.Alias(name, target, dir)
}
