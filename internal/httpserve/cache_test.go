package httpserve

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func key(n int) cacheKey { return cacheKey{sum: sha256.Sum256(fmt.Append(nil, n))} }

// holds counts what a cache holds, by its items and by its pages, which must
// agree: each page is in one body or free.
func (c *bodyCache) holds() (bodies int, bytes int64) {
	for n := range c.shards {
		s := &c.shards[n]
		bodies += len(s.index)
		count, used := 0, 0
		seen := make(map[int32]bool)
		see := func(chain int32) (length int) {
			for ; chain != noPage; chain = s.pages.next[chain] {
				if seen[chain] || chain >= s.pages.fresh {
					panic("a page is in two chains, or never was taken")
				}
				seen[chain] = true
				length++
			}
			return length
		}
		for item := s.newest; item != noPage; item = s.items[item].older {
			if s.index[s.items[item].hash] != item {
				panic("the list and the index differ")
			}
			length := see(item)
			if length != pagesFor(len(cacheHeader{})+int(s.items[item].size)) {
				panic("a body has pages that it does not need")
			}
			used += length
			count++
		}
		see(s.pages.free)
		if count != len(s.index) || len(seen) != int(s.pages.fresh) || used+s.pages.left != len(s.items) {
			panic("an item or a page is lost")
		}
		bytes += int64(used) * pageCost
	}
	return bodies, bytes
}

// heapCache is a cache in memory that the race detector watches.
func heapCache(bytes int64) *bodyCache {
	shards, part := divide(bytes)
	return newBodyCacheIn(make([]byte, shards*part), shards)
}

func mustCache(t testing.TB, bytes int64) *bodyCache {
	t.Helper()
	c, err := newBodyCache(bytes)
	require.NoError(t, err)
	return c
}

func TestMemoryThatIsNotToBeHadIsSaidSo(t *testing.T) {
	_, err := newBodyCache(1 << 60)
	assert.Error(t, err)
}

func TestCacheIsBounded(t *testing.T) {
	for _, size := range []int64{1 << 10, 100 << 10, 1 << 20, 16 << 20} {
		c := mustCache(t, size)
		for n := range 20_000 {
			c.put(key(n), make([]byte, n%5000), [32]byte{})
		}
		bodies, bytes := c.holds()
		assert.LessOrEqual(t, bytes, size)
		assert.Positive(t, bodies)
		if size >= 1<<20 {
			assert.Greater(t, bytes, size*8/10, "and used")
		}
	}
	assert.Nil(t, mustCache(t, 0))
	assert.Nil(t, mustCache(t, -1))
	c := mustCache(t, 1<<10)
	c.put(key(1), make([]byte, 4<<10), [32]byte{})
	bodies, _ := c.holds()
	assert.Zero(t, bodies, "what does not fit is not held")
}

// The bound is what the cache really takes, whatever the sizes of bodies are.
func TestCacheTakesWhatItMay(t *testing.T) {
	const size = 16 << 20
	before := heapInUse()
	c := mustCache(t, size)
	reserved := 0
	for n := range c.shards {
		reserved += len(c.shards[n].pages.memory)
	}
	for _, body := range []int{200_000, 5000, 100} {
		for n := range 2 * size / body {
			c.put(key(body+n), make([]byte, body), [32]byte{})
		}
		if _, full := c.holds(); body < 1000 {
			assert.Greater(t, full, int64(size*9/10))
		}
	}
	assert.LessOrEqual(t, int64(reserved)+heapInUse()-before, int64(size))
	runtime.KeepAlive(c)
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestCacheAgainstAMap puts and gets at random, and holds what comes out against
// what went in.
func TestCacheAgainstAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := rand.NewChaCha8([32]byte{7})
	c := heapCache(3 << 20)
	bodies := make(map[int][]byte)
	hits := 0
	for range 20_000 {
		n := r.IntN(600)
		body, ok := bodies[n]
		if !ok {
			size := []int{0, 1, 400, 512 - len(cacheHeader{}), 513 - len(cacheHeader{}), 5000, 40_000, maxCached}[r.IntN(8)]
			body = make([]byte, size)
			random.Read(body)
			bodies[n] = body
		}
		got := make([]byte, len(body))
		if sum, ok := c.get(key(n), got); ok {
			require.Equal(t, body, got)
			require.Equal(t, sha256.Sum256(body), sum)
			hits++
		} else {
			c.put(key(n), body, sha256.Sum256(body))
		}
	}
	assert.Greater(t, hits, 500)
	c.holds()
}

func TestCacheKeepsWhatIsUsed(t *testing.T) {
	c := mustCache(t, 1<<20)
	body := bytes.Repeat([]byte("x"), 4<<10)
	got := make([]byte, len(body))
	for n := range 20 {
		c.put(key(n), body, [32]byte{})
	}
	for n := 1000; n < 5000; n++ { // somebody reads the whole tree once
		for hot := range 20 {
			if n%50 == 0 {
				_, ok := c.get(key(hot), got)
				require.True(t, ok)
			}
		}
		c.put(key(n), body, [32]byte{})
	}
}

func TestCacheTellsCodingsApart(t *testing.T) {
	c := mustCache(t, 1<<20)
	plain, coded, other := key(1), key(1), key(1)
	coded.coding, other.coding, other.tag[3] = 1, 1, 9
	got := make([]byte, 5)
	c.put(plain, []byte("plain"), [32]byte{1})
	for _, k := range []cacheKey{coded, other} {
		_, ok := c.get(k, got)
		assert.False(t, ok)
	}
	c.put(coded, []byte("coded"), [32]byte{2})
	sum, ok := c.get(plain, got)
	assert.True(t, ok)
	assert.Equal(t, [32]byte{1}, sum)
	assert.Equal(t, "plain", string(got))
	_, ok = c.get(plain, make([]byte, 6))
	assert.False(t, ok, "of another size")
}

// Two keys that the index cannot tell apart do not get each other's bytes.
func TestCacheKeysOfOneHash(t *testing.T) {
	c := mustCache(t, 1<<20)
	one, two := key(1), key(1)
	two.sum[31]++
	require.Equal(t, one.hash(), two.hash())
	c.put(one, []byte("one"), one.sum)
	c.put(two, []byte("two"), two.sum)
	got := make([]byte, 3)
	_, ok := c.get(two, got)
	assert.False(t, ok)
	sum, ok := c.get(one, got)
	assert.True(t, ok)
	assert.Equal(t, one.sum, sum)
	assert.Equal(t, "one", string(got))
}

// Many read and write at once, while most of what is read is about to be
// evicted. What comes out is whole, and of its own key.
func TestCacheFromManySides(t *testing.T) {
	c := heapCache(256 << 10)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			buffer := make([]byte, 4000)
			for n := range 5000 {
				k := key(n % 300)
				body := buffer[:1000+10*(n%300)]
				if sum, ok := c.get(k, body); ok {
					assert.Equal(t, k.sum, sum)
					assert.Equal(t, bytes.Repeat(k.sum[:1], len(body)), body)
				} else {
					c.put(k, bytes.Repeat(k.sum[:1], len(body)), k.sum)
				}
			}
		})
	}
	all.Wait()
	_, bytes := c.holds()
	assert.LessOrEqual(t, bytes, int64(256<<10))
}
