package httpserve

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func key(n int) cacheKey { return cacheKey{sum: sha256.Sum256(fmt.Append(nil, n))} }

func (c *bodyCache) holds() (bodies int, bytes int64) {
	for n := range c.shards {
		s := &c.shards[n]
		bodies += len(s.items)
		count := 0
		for item := s.newest; item != nil; item = item.older {
			bytes += int64(cap(item.body)) + overhead
			count++
		}
		if count != len(s.items) {
			panic("the list and the map differ")
		}
	}
	return bodies, bytes
}

func TestCacheIsBounded(t *testing.T) {
	for _, size := range []int64{1 << 10, 100 << 10, 1 << 20, 16 << 20} {
		c := newBodyCache(size)
		for n := range 20_000 {
			c.put(key(n), &cached{body: make([]byte, n%5000)})
		}
		bodies, bytes := c.holds()
		assert.LessOrEqual(t, bytes, size)
		assert.Positive(t, bodies)
		if size >= 1<<20 {
			assert.Greater(t, bytes, size*8/10, "and used")
		}
	}
	assert.Nil(t, newBodyCache(0))
	c := newBodyCache(1 << 10)
	c.put(key(1), &cached{body: make([]byte, 4<<10)})
	bodies, _ := c.holds()
	assert.Zero(t, bodies, "what does not fit is not held")
}

func TestCacheKeepsWhatIsUsed(t *testing.T) {
	c := newBodyCache(1 << 20)
	body := bytes.Repeat([]byte("x"), 4<<10)
	for n := range 20 {
		c.put(key(n), &cached{body: body})
	}
	for n := 1000; n < 5000; n++ { // somebody reads the whole tree once
		for hot := range 20 {
			if n%50 == 0 {
				_, ok := c.get(key(hot))
				require.True(t, ok)
			}
		}
		c.put(key(n), &cached{body: body})
	}
}

func TestCacheTellsCodingsApart(t *testing.T) {
	c := newBodyCache(1 << 20)
	plain, coded := key(1), key(1)
	coded.coding = 1
	c.put(plain, &cached{body: []byte("plain")})
	_, ok := c.get(coded)
	assert.False(t, ok)
	c.put(coded, &cached{body: []byte("coded")})
	got, _ := c.get(plain)
	assert.Equal(t, "plain", string(got.body))
}

func TestCacheFromManySides(t *testing.T) {
	c := newBodyCache(64 << 10)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := range 5000 {
				k := key(n % 300)
				if got, ok := c.get(k); ok {
					assert.Equal(t, k.sum[:], got.body)
				} else {
					c.put(k, &cached{body: bytes.Clone(k.sum[:])})
				}
			}
		})
	}
	all.Wait()
	_, bytes := c.holds()
	assert.LessOrEqual(t, bytes, int64(64<<10))
}
